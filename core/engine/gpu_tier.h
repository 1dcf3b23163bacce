#pragma once
// Experts in a GPU's memory, the tier above the expert cache: it moves bytes between the two and has the GPU compute what
// it holds. Where an expert is computed:
//
//   on the GPU, it lies there    at once, by the router's ids, while the host looks what is missing
//   not there, few rows          by the CPU, in the cache's slot where it landed; while the GPU does its own
//   not there, many rows         copied and computed on the GPU, two groups in turn: one is copied, one computed
//
// How many are many is measured when a model is opened (gpu_rates.h): some machines copy faster than their CPU computes.
// What the CPU computed and deserves it (offload/gpu_slots.h) is copied behind the layer's work and is there some layers
// later: nobody waits for it. What was copied to be computed stays, if it deserves to. What leaves the GPU is forgotten
// there: its bytes are on the drive and often still in the cache, which gives up first what lies on the GPU too.
//
// The sums of a CPU and of a GPU have different orders, so the bits of a result depend on where an expert lay. Where every
// expert is computed on the GPU (`copied_rows` = 1) they depend on nothing but the input: the tables, the groups and the
// slots never show.
//
// Where a model lies on several GPUs each has a tier of its layers' experts, all over the same cache. One works at a time:
// what the others hold of the cache they give back when it is needed (stand_aside).
//
// Engine thread only, except stats.

#include <array>
#include <atomic>
#include <limits>
#include <memory>
#include <vector>

#include "core/engine/gpu_stats.h"
#include "core/model/expert_source.h"
#include "kernels/gpu_experts.h"
#include "offload/expert_cache.h"
#include "offload/gpu_slots.h"

namespace millrace {

// One layer's routed experts, in the GPU's memory.
struct RoutedRows {
    Fp8Rows x;                      // [n, d]
    MatrixView<const int32_t> ids;  // [n, k]
    MatrixView<const float> weights;
    float limit = 0;
    MatrixView<Bf16> out;  // [n·k, d]
};

struct GpuTierOptions {
    int32_t slots = 0;  // wanted, with those that copies for a layer pass through
    int64_t copied_rows =
        1;  // from so many rows of a chunk on; kNever: the CPU computes all that is missing
    PromotionRule promotion;
    // Consecutive layers, of those that the source has.
    int32_t first_layer = 0, layers = 0;

    static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
};

class GpuTier {
public:
    // Takes as many slots as there is memory for, at most those wanted; kCapacity when there is none for the few it needs.
    // Both and the source must outlive the tier.
    [[nodiscard]] static Result<std::unique_ptr<GpuTier>> create(
        std::unique_ptr<GpuExperts> experts, ExpertCache& cache, const ExpertSource& source,
        const GpuTierOptions& options);
    ~GpuTier();
    GpuTier(const GpuTier&) = delete;
    GpuTier& operator=(const GpuTier&) = delete;

    // What has landed since the last layer is there from now on.
    [[nodiscard]] Status begin_layer();
    // Whether the GPU computes this expert in this layer, in the call below.
    [[nodiscard]] bool has(ExpertKey key) const { return slots_.find(key).has_value(); }
    // Computes what is there when the GPU comes to it, so that it may be recorded (Ops::begin_recording).
    void compute(LayerId layer, const RoutedRows& rows);
    void observe(LayerId layer, MatrixView<const uint8_t> ranks, int32_t chosen) {
        slots_.observe(layer, ranks, chosen);
    }
    // An expert of the layer was there, or the CPU has computed it.
    void count_hit(LayerId layer) {
        count(counts_->hits);
        cache_.count_elsewhere(layer);
    }
    void count_by_cpu() { count(counts_->by_cpu); }

    [[nodiscard]] bool copies(int64_t rows) const { return rows >= options_.copied_rows; }
    // An expert of the layer that has landed in the cache is copied and computed, at end_copies() at the latest.
    [[nodiscard]] Status copy(Lease lease, const ExpertWeights& weights, const RoutedRows& rows);
    [[nodiscard]] Status end_copies(const RoutedRows& rows);

    // An expert that the CPU has computed: whether it is to be promoted; then its lease is kept until it has landed.
    [[nodiscard]] bool wants(ExpertKey key);
    void offer(Lease lease, const ExpertWeights& weights);
    // Begins to copy what was offered.
    [[nodiscard]] Status begin_promotions();

    // Gives leases back, waiting for copies if it must, until the cache has `count` slots to lease.
    [[nodiscard]] Status unlease(int32_t count);
    // The same before another tier's layers, also of what a step that was broken off has left behind.
    [[nodiscard]] Status stand_aside(int32_t count);
    // Gives memory back to the GPU: the last piece of slots and what lies there. False when none can be spared.
    [[nodiscard]] Result<bool> shrink();

    [[nodiscard]] std::shared_ptr<const GpuTierCounts> counts() const { return counts_; }
    // Of the GPU, also those that copies pass through.
    [[nodiscard]] int32_t gpu_slots() const { return experts_->slots(); }

    // Of a GPU's tables, besides one for each layer: for what passes through.
    static constexpr int32_t kPassingTables = 1;
    // Slots of one of the two groups.
    static constexpr int32_t kGroup = 8;
    static constexpr int32_t kPassingMax = 2 * kGroup;
    // Promotions under way at most: they share the bus and the host's memory with what is needed now.
    static constexpr size_t kPromotionsMax = 4;

private:
    struct Copy {
        Lease lease;
        ExpertWeights weights;  // in the cache
        int32_t slot = 0;       // of the GPU
        bool stays = false;     // it has its own slot
    };
    struct Group {
        std::array<Copy, kGroup> copies;
        size_t count = 0;
    };

    GpuTier(std::unique_ptr<GpuExperts> experts, ExpertCache& cache, const ExpertSource& source,
            const GpuTierOptions& options);
    static void count(std::atomic<uint64_t>& number) {
        number.fetch_add(1, std::memory_order_relaxed);
    }
    [[nodiscard]] Status take_slots(int32_t wanted);
    [[nodiscard]] int32_t table_of(LayerId layer) const {
        return layer.value - options_.first_layer;
    }
    // The table of what passes through.
    [[nodiscard]] int32_t passing() const { return options_.layers; }
    [[nodiscard]] int32_t gpu_slot(SlotId slot) const { return passing_slots_ + slot.value; }
    [[nodiscard]] size_t group_size() const { return static_cast<size_t>(passing_slots_) / 2; }
    // A slot for an expert that deserves one. What lay there is forgotten.
    [[nodiscard]] Result<std::optional<int32_t>> take_slot(ExpertKey key);
    [[nodiscard]] Status forget(ExpertKey key);
    // The copy's expert is in its table.
    [[nodiscard]] Status enter(Copy& copy);
    [[nodiscard]] Status landed(Copy& copy);
    [[nodiscard]] Status compute_group(Group& group, const RoutedRows& rows);
    [[nodiscard]] Status turn_groups(const RoutedRows& rows);
    // Waits for what is left of a step that was broken off: nothing that came after it did, and the cache's bytes may be
    // changed in place by the next who uses them.
    [[nodiscard]] Status end_groups();

    std::unique_ptr<GpuExperts> experts_;
    ExpertCache& cache_;
    const GpuTierOptions options_;
    int32_t passing_slots_ = 0;    // the first of all; those behind them are the table's
    std::vector<int32_t> pieces_;  // slots of each, behind the passing ones
    GpuSlots slots_;
    std::array<Group, 2> groups_;
    size_t open_ = 0;  // the group that is being filled
    std::vector<Copy> offers_;
    std::vector<Copy> landing_;  // under way; their leases last until they have landed
    std::shared_ptr<GpuTierCounts> counts_ = std::make_shared<GpuTierCounts>();
};

}  // namespace millrace
