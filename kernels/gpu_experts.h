#pragma once
// Routed experts in a GPU's memory (spec §3 of offload): slots that are filled from the host's memory beside whatever the
// GPU's ops compute, and tables that say to the GPU which expert of a layer lies in which slot. Which experts deserve a slot
// is not decided here.
//
// The experts of a table are computed by the router's ids where those lie, in the GPU's memory: nobody waits for them, and
// what an expert gives for a row is the same whatever else is in the table. All calls by the thread that calls the ops that
// these were made with; their work is done in the order of those ops' calls, except for fills, which go on beside it.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/base/result.h"
#include "core/base/types.h"
#include "kernels/ops.h"

namespace millrace {

class FormatSet {
public:
    constexpr FormatSet() = default;
    constexpr FormatSet(std::initializer_list<WeightFormat> formats) {
        for (const WeightFormat format : formats) add(format);
    }
    constexpr void add(WeightFormat format) { bits_ |= 1U << static_cast<int>(format); }
    [[nodiscard]] constexpr bool has(WeightFormat format) const {
        return (bits_ >> static_cast<int>(format) & 1U) != 0;
    }
    [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }

private:
    uint32_t bits_ = 0;
};

// What formats experts have: a launch for each. w1 and w3 of one expert have the same.
struct ExpertFormats {
    FormatSet gate_up, down;
    void add(const ExpertWeights& expert) {
        gate_up.add(expert.w1.format);
        down.add(expert.w2.format);
    }
    [[nodiscard]] bool has(const ExpertWeights& expert) const {
        return gate_up.has(expert.w1.format) && down.has(expert.w2.format);
    }
};

struct GpuExpertSizes {
    int64_t hidden = 0, inner = 0;
    int32_t tables = 0;       // each with
    int32_t experts = 0;      //   entries for so many
    uint64_t slot_bytes = 0;  // gpu_slot_bytes of the largest
    int64_t pairs = 0;        // of a row and one of its experts, at most, in one compute
    // Of each table, what the experts have that it may name: what a compute launches follows from this and from shapes, so
    // that it may be recorded (Ops::begin_recording). Which experts are there is read when it is replayed.
    std::vector<ExpertFormats> formats;
};

// What an expert takes in a slot: its matrices and scales, row by row, each at a multiple of 256 bytes. Only formats and
// shapes are looked at.
[[nodiscard]] uint64_t gpu_slot_bytes(const ExpertWeights& expert);
// What GpuExperts takes besides slots: tables, scratch, a room where strips lie until they are rows.
[[nodiscard]] uint64_t gpu_expert_bytes(const GpuExpertSizes& sizes);

class GpuExperts {
public:
    virtual ~GpuExperts() = default;

    // Slots are numbered from 0. `grow` adds `count` at the end, one piece of memory; kCapacity when there is no such
    // amount: then nothing has changed. `shrink` gives the last piece back, after all that the GPU was told to do; no table
    // may name its slots any more. False where there is none.
    [[nodiscard]] virtual Status grow(int32_t count) = 0;
    [[nodiscard]] virtual bool shrink() = 0;
    [[nodiscard]] virtual int32_t slots() const = 0;

    // Begins to fill a slot that no table names: behind everything that was told to be computed before this call, beside
    // what is told after it. `from` lies in the host's memory, rows or strips (WeightLayout), anywhere, and stays as it is
    // until the slot has landed. Returns at once where the host's memory is pinned, else when the bytes have been taken.
    [[nodiscard]] virtual Status fill(int32_t slot, const ExpertWeights& from) = 0;
    // Whether the last fill of the slot has ended. Never waits.
    [[nodiscard]] virtual Result<bool> landed(int32_t slot) = 0;
    // Waits until it has.
    [[nodiscard]] virtual Status finish(int32_t slot) = 0;
    // What is computed from now on finds the slot filled: the GPU waits, the caller does not.
    virtual void wait_for(int32_t slot) = 0;

    // From now on `table` has the expert in this slot, or nowhere. The expert has formats of the table's.
    [[nodiscard]] virtual Status set(int32_t table, ExpertId expert,
                                     std::optional<int32_t> slot) = 0;

    // For every pair of row r and its j-th expert that the table has: out[r·k + j] = that expert on row r of x (Ops::expert
    // with weights[r][j]). Rows of other pairs stay as they are. ids and weights [n, k]; out [n·k, hidden].
    virtual void compute(int32_t table, const Fp8Rows& x, MatrixView<const int32_t> ids,
                         MatrixView<const float> weights, float limit, MatrixView<Bf16> out) = 0;
};

}  // namespace millrace
