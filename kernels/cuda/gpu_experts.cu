// Slots, fills and tables of experts on a GPU: the host's side.

#include "kernels/cuda/gpu_experts.h"

#include <cuda_runtime.h>

#include <utility>

#include "core/base/strings.h"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/status.cuh"
#include "kernels/cuda/expert_slots.h"

namespace millrace::cuda {
namespace {

cudaStream_t handle_of(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

// Failures of anything but too little memory are those of a GPU that is gone.
Error lost_unless_full(const Error& error) {
    if (error.code == ErrorCode::kCapacity) return error;
    return {ErrorCode::kDeviceLost, error.message};
}

}  // namespace

Result<std::unique_ptr<CudaExperts>> CudaExperts::create(const GpuExpertSizes& sizes,
                                                         Stream compute) {
    ENSURE(sizes.tables > 0 && sizes.experts > 0 && sizes.pairs > 0 &&
           sizes.formats.size() == static_cast<size_t>(sizes.tables));
    if (sizes.hidden % kBlockOutputs != 0 || sizes.inner % kBlockOutputs != 0 ||
        sizes.experts > kExpertsTotalMax) {
        return Error{ErrorCode::kUnsupported,
                     cat("experts of ", sizes.inner, " by ", sizes.hidden, " numbers, ",
                         sizes.experts, " a layer, cannot be computed on the GPU: multiples of ",
                         kBlockOutputs, " are needed, and at most ", kExpertsTotalMax)};
    }
    use_device(compute);
    std::unique_ptr<CudaExperts> out(new CudaExperts(sizes, compute));
    out->fills_ = TRY(OwnStream::create(compute.device));
    out->computed_ = TRY(Event::create(compute.device));
    const size_t entries = static_cast<size_t>(sizes.tables) * static_cast<size_t>(sizes.experts);
    out->tables_ = TRY(DeviceMemory::allocate(entries * sizeof(ExpertWeights)));
    out->room_ = TRY(DeviceMemory::allocate(room_bytes(sizes.slot_bytes)));
    out->scratch_ = TRY(DeviceMemory::allocate(
        static_cast<size_t>(expert_scratch_bytes(sizes.pairs, sizes.inner, sizes.experts))));
    out->entries_.assign(entries, kNowhere);
    TRY(out->clear_tables());
    return Result<std::unique_ptr<CudaExperts>>(std::move(out));
}

Status CudaExperts::clear_tables() {
    const std::vector<ExpertWeights> nobody(entries_.size());
    TRY(tables_.upload(std::as_bytes(std::span(nobody)), 0, compute_));
    return cuda::finish(compute_);
}

// What is under way reads and writes slots.
CudaExperts::~CudaExperts() {
    use_device(compute_);
    static_cast<void>(cuda::finish(fills_.get()));
    static_cast<void>(cuda::finish(compute_));
}

Status CudaExperts::grow(int32_t count) {
    ENSURE(count > 0);
    use_device(compute_);
    const uint64_t bytes = sizes_.slot_bytes;
    auto memory = DeviceMemory::allocate(static_cast<uint64_t>(count) * bytes);
    if (!memory.ok()) return lost_unless_full(memory.error());
    std::vector<Slot> added(static_cast<size_t>(count));
    for (size_t i = 0; i < added.size(); ++i) {
        auto event = Event::create(compute_.device);
        if (!event.ok()) return lost_unless_full(event.error());
        added[i].filled = *std::move(event);
        added[i].at = memory->as<std::byte>() + i * bytes;
    }
    for (Slot& slot : added) slots_.push_back(std::move(slot));
    slabs_.push_back({*std::move(memory), count});
    return {};
}

bool CudaExperts::shrink() {
    if (slabs_.empty()) return false;
    use_device(compute_);
    static_cast<void>(cuda::finish(fills_.get()));
    static_cast<void>(cuda::finish(compute_));
    for (int32_t i = 0; i < slabs_.back().slots; ++i) {
        ENSURE(slots_.back().entries == 0);
        slots_.pop_back();
    }
    slabs_.pop_back();
    return true;
}

CudaExperts::Slot& CudaExperts::slot_at(int32_t slot) {
    ENSURE(slot >= 0 && slot < slots());
    return slots_[static_cast<size_t>(slot)];
}

Status CudaExperts::fill(int32_t slot, const ExpertWeights& from) {
    Slot& to = slot_at(slot);
    const PlacedExpert placed = place_expert(from, to.at);
    ENSURE(to.entries == 0 && placed.bytes <= sizes_.slot_bytes && computes(placed.weights) &&
           from.w1.cols == sizes_.hidden && from.w1.rows == sizes_.inner);
    use_device(compute_);
    to.weights = {};
    to.landed = false;
    const Stream fills = fills_.get();
    const RoomCopies copies = copies_of(from);
    auto* room = room_.as<std::byte>();
    for (const RoomCopy& copy : copies.all()) {
        ENSURE(copy.offset + copy.bytes <= room_.bytes());
        TRY(status_after(cudaMemcpyAsync(room + copy.offset, copy.from, copy.bytes,
                                         cudaMemcpyHostToDevice, handle_of(fills))));
    }
    // Also where nothing was computed since the last fill, which nobody knows of what is replayed.
    computed_.record(compute_);
    computed_.hold(fills);
    fill_slot(slot_task(from, placed.weights, copies, room), fills);
    to.filled.record(fills);
    TRY(status_after(cudaSuccess));
    to.weights = placed.weights;
    return {};
}

Result<bool> CudaExperts::landed(int32_t slot) {
    Slot& of = slot_at(slot);
    if (!of.landed) of.landed = TRY(of.filled.passed());
    return bool{of.landed};
}

Status CudaExperts::finish(int32_t slot) {
    Slot& of = slot_at(slot);
    if (of.landed) return {};
    TRY(of.filled.wait());
    of.landed = true;
    return {};
}

void CudaExperts::wait_for(int32_t slot) {
    const Slot& of = slot_at(slot);
    if (!of.landed) of.filled.hold(compute_);
}

Status CudaExperts::set(int32_t table, ExpertId expert, std::optional<int32_t> slot) {
    ENSURE(table >= 0 && table < sizes_.tables && expert.value >= 0 &&
           expert.value < sizes_.experts);
    ENSURE(!slot || (slot_at(*slot).weights.w1.codes != nullptr &&
                     sizes_.formats[static_cast<size_t>(table)].has(slot_at(*slot).weights)));
    const size_t place = static_cast<size_t>(table) * static_cast<size_t>(sizes_.experts) +
                         static_cast<size_t>(expert.value);
    int32_t& entry = entries_[place];
    const int32_t wanted = slot.value_or(kNowhere);
    if (entry == wanted) return {};
    if (entry != kNowhere) slot_at(entry).entries -= 1;
    entry = wanted;
    if (entry != kNowhere) slot_at(entry).entries += 1;
    const ExpertWeights weights = entry == kNowhere ? ExpertWeights{} : slot_at(entry).weights;
    write_entry(tables_.as<ExpertWeights>() + place, weights, compute_);
    return status_of_gpu(cudaPeekAtLastError());
}

void CudaExperts::compute(int32_t table, const Fp8Rows& x, MatrixView<const int32_t> ids,
                          MatrixView<const float> weights, float limit, MatrixView<Bf16> out) {
    ENSURE(table >= 0 && table < sizes_.tables && ids.rows * ids.cols <= sizes_.pairs);
    const auto experts_count = static_cast<size_t>(sizes_.experts);
    const ExpertTable of{
        {tables_.as<ExpertWeights>() + static_cast<size_t>(table) * experts_count, experts_count},
        sizes_.hidden,
        sizes_.inner,
        sizes_.formats[static_cast<size_t>(table)]};
    experts(of, x, ids, weights, limit, out, scratch_, compute_);
}

}  // namespace millrace::cuda
