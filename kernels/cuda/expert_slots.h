#pragma once
// How an expert lies in a slot of the GPU's memory, how it comes there from the host's, and how a table of experts is told
// of it (gpu_experts.h).
//
// A slot has the matrices row by row. In the host's memory they may lie in strips (WeightLayout): the bytes are copied as
// they are into a room of the GPU's memory, and a kernel puts them from there into the slot, each part to its place.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/stream.h"
#include "quant/linear_weight.h"

namespace millrace::cuda {

inline constexpr int kExpertParts = 6;  // codes and scales of three matrices
inline constexpr uint64_t kSlotAlignment = 256;

// The expert as it lies in a slot that begins at `slot`; null asks for offsets alone.
struct PlacedExpert {
    ExpertWeights weights;
    uint64_t bytes = 0;
};
[[nodiscard]] PlacedExpert place_expert(const ExpertWeights& expert, const std::byte* slot);

// Bytes of the host that are copied at once, and where they come to lie in the room: as far from a multiple of 16 as they
// were.
struct RoomCopy {
    const std::byte* from = nullptr;
    uint64_t bytes = 0;
    uint64_t offset = 0;
};
struct RoomCopies {
    std::array<RoomCopy, kExpertParts> copies;
    int count = 0;
    [[nodiscard]] std::span<const RoomCopy> all() const {
        return {copies.data(), static_cast<size_t>(count)};
    }
    // Where in the room something lies that the copies bring.
    [[nodiscard]] uint64_t offset_of(const std::byte* at) const;
};
// Parts that lie together, or less than 64 bytes apart as those of a record do, are one copy.
[[nodiscard]] RoomCopies copies_of(const ExpertWeights& expert);
// Room for any expert whose slot has so many bytes.
[[nodiscard]] uint64_t room_bytes(uint64_t slot_bytes);

// Bytes that go from the room into the slot: rows, of which whole strips at the beginning may lie `unit` bytes of 16 rows
// side by side.
struct SlotPart {
    const uint8_t* from = nullptr;
    uint8_t* to = nullptr;  // at a multiple of 16
    int64_t bytes = 0;
    int64_t strip_bytes = 0;  // of those, in strips
    int64_t row_bytes = 0;    // there; a multiple of 4 units
    int32_t unit = 0;         // 4 or 1
};
inline constexpr int kSlotParts = 9;  // of low-bit scales the bases are a part of their own
struct SlotTask {
    SlotPart parts[kSlotParts];
    int32_t count = 0;
};
// `placed`: as place_expert says, of `expert`, which lies in the room as `copies` say.
[[nodiscard]] SlotTask slot_task(const ExpertWeights& expert, const ExpertWeights& placed,
                                 const RoomCopies& copies, const std::byte* room);

// expert_slots.cu
void fill_slot(const SlotTask& task, Stream stream);
void write_entry(ExpertWeights* entry, const ExpertWeights& value, Stream stream);

}  // namespace millrace::cuda
