// Experts into slots of the GPU's memory, and entries into tables (expert_slots.h).
//
//   slot    row r, bytes [u, u + unit) of a strip lie at 16·u + unit·(r mod 16) of it     reads and writes an expert's bytes
//   entry   one expert of a table                                                       writes 144 bytes
//
// Bound: bandwidth; 13 MB of an expert of Flash are 26 MB of traffic, a small part of the time in which they came over the
// bus. The one idea: neighbouring lanes take the same bytes of neighbouring rows of a strip, so that they read side by side;
// a lane writes 16 bytes of its row (of scales 4), two lanes a whole sector. No shared memory and few blocks: other kernels
// compute meanwhile.

#include "kernels/cuda/expert_slots.h"

#include <algorithm>

#include "core/base/check.h"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/loads.cuh"

namespace millrace::cuda {
namespace {

constexpr int64_t kStripRows = 16;
constexpr uint32_t kSlotThreads = 256;
constexpr int64_t kSlotBlocksMax = 32;  // of a part
constexpr int64_t kUnits = 4;           // that a thread takes
constexpr int64_t kPlainBytes = 16;

template <bool kVectors>
__device__ inline uint32_t load_word(const uint8_t* at) {
    if constexpr (kVectors) return load_vector<uint32_t>(at);
    return load_bytes(at, 4).x;
}

// Four units of a row of a strip, which are `unit`·4 bytes of the row.
template <bool kVectors>
__device__ inline void turn(const SlotPart& part, uint32_t piece) {
    // In 32 bits: divisions of 64 are calls.
    const auto bytes = static_cast<uint32_t>(kUnits * part.unit);
    const uint32_t pieces_of_row = static_cast<uint32_t>(part.row_bytes) / bytes;
    const uint32_t column = piece / static_cast<uint32_t>(kStripRows);
    const int64_t row = piece % static_cast<uint32_t>(kStripRows);
    const int64_t strip = column / pieces_of_row;
    const int64_t first = int64_t{column % pieces_of_row} * bytes;  // of the row
    const int64_t begin = strip * kStripRows * part.row_bytes;
    const uint8_t* from = part.from + begin + first * kStripRows + row * part.unit;
    uint8_t* to = part.to + begin + row * part.row_bytes + first;
    uint32_t units[kUnits];
    if (part.unit == 4) {
        for (int i = 0; i < kUnits; ++i) units[i] = load_word<kVectors>(from + i * 4 * kStripRows);
        store_vector(to, uint4{units[0], units[1], units[2], units[3]});
    } else {
        for (int i = 0; i < kUnits; ++i) units[i] = from[i * kStripRows];
        store_vector(to, units[0] | units[1] << 8 | units[2] << 16 | units[3] << 24);
    }
}

// 16 bytes as they lie, or what is left of them.
template <bool kVectors>
__device__ inline void copy_plain(const SlotPart& part, int64_t at) {
    const int64_t left = part.bytes - at;
    if (left >= kPlainBytes) {
        const uint4 value =
            kVectors ? load_vector<uint4>(part.from + at) : load_bytes(part.from + at, kPlainBytes);
        store_vector(part.to + at, value);
        return;
    }
    for (int64_t i = 0; i < kPlainBytes && i < left; ++i) part.to[at + i] = part.from[at + i];
}

template <bool kVectors>
__global__ void __launch_bounds__(kSlotThreads) slot_kernel(SlotTask t) {
    const SlotPart& part = t.parts[blockIdx.y];
    const int64_t turned = part.strip_bytes / (kUnits * part.unit);
    const int64_t plain = (part.bytes - part.strip_bytes + kPlainBytes - 1) / kPlainBytes;
    const int64_t step = static_cast<int64_t>(gridDim.x) * kSlotThreads;
    int64_t piece = static_cast<int64_t>(blockIdx.x) * kSlotThreads + threadIdx.x;
    for (; piece < turned; piece += step) turn<kVectors>(part, static_cast<uint32_t>(piece));
    for (; piece < turned + plain; piece += step) {
        copy_plain<kVectors>(part, part.strip_bytes + (piece - turned) * kPlainBytes);
    }
}

struct EntryTask {
    ExpertWeights* entry;
    ExpertWeights value;
};

__global__ void entry_kernel(EntryTask t) { *t.entry = t.value; }

}  // namespace

void fill_slot(const SlotTask& task, Stream stream) {
    int64_t most = 0;
    bool vectors = true;
    for (const SlotPart& part : std::span(task.parts).first(static_cast<size_t>(task.count))) {
        most = std::max(most, part.bytes / (kUnits * part.unit));
        vectors = vectors && reinterpret_cast<uintptr_t>(part.from) % 16 == 0;
    }
    ENSURE(most <= INT32_MAX);
    const int64_t blocks = std::min(kSlotBlocksMax, (most + kSlotThreads - 1) / kSlotThreads);
    const LaunchConfig config{{static_cast<uint32_t>(blocks), static_cast<uint32_t>(task.count)},
                              kSlotThreads};
    if (vectors) {
        launch<slot_kernel<true>>(config, stream, task);
    } else {
        launch<slot_kernel<false>>(config, stream, task);
    }
}

void write_entry(ExpertWeights* entry, const ExpertWeights& value, Stream stream) {
    launch<entry_kernel>({{1}, 1}, stream, EntryTask{entry, value});
}

}  // namespace millrace::cuda
