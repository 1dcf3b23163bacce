// What is no kernel: memory, and scratch for the ops that need some.

#include "kernels/cuda/cuda_ops.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "core/base/strings.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/status.cuh"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/gpu_experts.h"
#include "kernels/cuda/indexer.h"

namespace millrace::cuda {
namespace {

// Many rows at once want much; a few at a time are as fast.
constexpr int64_t kScratchMax = int64_t{256} << 20;

uint64_t scratch_for(int64_t rows, int64_t bytes_of_row) {
    const int64_t most = std::max(bytes_of_row, kScratchMax / bytes_of_row * bytes_of_row);
    return static_cast<uint64_t>(std::min(rows * bytes_of_row, most));
}

cudaStream_t handle_of(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

}  // namespace

CudaOps::ScratchBytes CudaOps::scratch_bytes(const CudaOptions& options) {
    ScratchBytes out;
    out.mix = static_cast<uint64_t>(mix_scratch_bytes(options.rows_max, options.hidden_max));
    if (options.heads_max > 0 && options.keys_max > 0) {
        out.attention = scratch_for(options.rows_max,
                                    attend_scratch_bytes(options.heads_max, options.keys_max));
    }
    if (options.entries_max > 0 && options.picks_max > 0) {
        out.index = scratch_for(options.rows_max,
                                index_scratch_bytes(options.entries_max, options.picks_max));
    }
    if (options.inner_max > 0) {
        out.experts = static_cast<uint64_t>(
            expert_scratch_bytes(options.rows_max, options.inner_max, kCallsTogether));
    }
    out.choice = choice_scratch_bytes(options.vocabulary_max);
    return out;
}

uint64_t CudaOps::bytes_of(const CudaOptions& options) {
    const ScratchBytes bytes = scratch_bytes(options);
    return bytes.mix + bytes.attention + bytes.index + bytes.experts + bytes.choice;
}

Result<CudaOps> CudaOps::create(const CudaOptions& options, OwnStream own) {
    CudaOps ops(options.stream, std::move(own));
    use_device(options.stream);
    const ScratchBytes bytes = scratch_bytes(options);
    ops.read_ = TRY(Event::create(options.stream.device));
    ops.scratch_ = TRY(DeviceMemory::allocate(bytes.mix));
    ops.attention_scratch_ = TRY(DeviceMemory::allocate(bytes.attention));
    ops.index_scratch_ = TRY(DeviceMemory::allocate(bytes.index));
    ops.expert_scratch_ = TRY(DeviceMemory::allocate(bytes.experts));
    ops.choice_scratch_ = TRY(DeviceMemory::allocate(bytes.choice));
    return Result<CudaOps>(std::move(ops));
}

Result<OpsMemory> CudaOps::allocate(uint64_t bytes, HugePages) {
    use_device(stream_);
    auto memory = std::make_shared<DeviceMemory>();
    *memory = TRY(DeviceMemory::allocate(bytes));
    const std::span<std::byte> all(memory->as<std::byte>(), memory->bytes());
    return OpsMemory{all, std::move(memory)};
}

Status CudaOps::read(void* host, const void* from, size_t bytes) {
    if (bytes == 0) return {};
    use_device(stream_);
    cudaError_t error =
        cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, handle_of(stream_));
    if (error == cudaSuccess) error = cudaStreamSynchronize(handle_of(stream_));
    return status_after(error);
}

Status CudaOps::begin_read(std::span<const ReadPiece> pieces) {
    use_device(stream_);
    for (const ReadPiece& piece : pieces) {
        TRY(status_after(cudaMemcpyAsync(piece.host, piece.from, piece.bytes,
                                         cudaMemcpyDeviceToHost, handle_of(stream_))));
    }
    read_.record(stream_);
    return {};
}

Status CudaOps::end_read() { return read_.wait(); }

Status CudaOps::write(void* to, const void* host, size_t bytes) {
    if (bytes == 0) return {};
    use_device(stream_);
    // From memory that is not pinned: the driver has its own copy when the call returns.
    return status_after(
        cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, handle_of(stream_)));
}

void CudaOps::copy(void* to, const void* from, size_t bytes) {
    if (bytes == 0) return;
    use_device(stream_);
    // A failure is the last error, which read() tells.
    static_cast<void>(
        cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, handle_of(stream_)));
}

Result<std::unique_ptr<GpuExperts>> CudaOps::make_experts(const GpuExpertSizes& sizes) {
    std::unique_ptr<CudaExperts> experts = TRY(CudaExperts::create(sizes, stream_));
    return Result<std::unique_ptr<GpuExperts>>(std::move(experts));
}

Result<std::shared_ptr<void>> CudaOps::pin(std::span<std::byte> memory) {
    if (memory.empty()) return std::shared_ptr<void>();
    use_device(stream_);
    // For all GPUs: the cache's experts go to each, and streams from one to the next.
    const cudaError_t error =
        cudaHostRegister(memory.data(), memory.size(), cudaHostRegisterPortable);
    if (error != cudaSuccess) {
        static_cast<void>(cudaGetLastError());  // whoever asked is told
        const Status status = status_of(error, "pinning the host's memory for the GPU");
        const bool too_much =
            error == cudaErrorMemoryAllocation || error == cudaErrorOperatingSystem;
        return Error{too_much ? ErrorCode::kCapacity : status.error().code,
                     cat(status.error().message, " (", memory.size() >> 20, " MiB)")};
    }
    const auto unpin = [stream = stream_](void* at) {
        use_device(stream);
        // Copies from it that are under way would go on with memory that may move.
        static_cast<void>(cudaDeviceSynchronize());
        static_cast<void>(cudaHostUnregister(at));
    };
    return std::shared_ptr<void>(memory.data(), unpin);
}

void CudaOps::index_topk(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                         std::span<const IndexRow> entries, std::span<const int32_t> visible,
                         MatrixView<int32_t> picks) {
    cuda::index_topk(q, weights, entries, visible, picks, index_scratch_, stream_);
}

void CudaOps::attend(MatrixView<const Bf16> q, const KeyLists& keys, std::span<const float> sink,
                     MatrixView<Bf16> out) {
    cuda::attend(q, keys.lists, keys.longest, sink, out, attention_scratch_, stream_);
}

void CudaOps::expert(const LinearInput& x, std::span<const int32_t> rows,
                     const ExpertWeights& weights, std::span<const float> route_weights,
                     float limit, MatrixView<Bf16> out) {
    const ExpertCall call{weights, rows, route_weights, out};
    experts(x, {&call, 1}, limit);
}

void CudaOps::experts(const LinearInput& x, std::span<const ExpertCall> calls, float limit) {
    cuda::experts(x, calls, limit, expert_scratch_, stream_);
}

}  // namespace millrace::cuda
