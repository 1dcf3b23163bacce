#pragma once
// The routed experts of one layer: rows grouped by expert, and each expert computed where it is or lands.

#include "core/engine/moe.h"

namespace millrace {

// One layer's experts and who computes them.
struct RoutedWork {
    Ops& ops;  // of the host
    StepPlace place;
    const Experts& experts;
    const MoeInput& input;
    const MoeScratch& scratch;
    StepObserver* observer = nullptr;
    // With a GPU: what lies there, and the layer's rows there.
    GpuTier* gpu = nullptr;
    RoutedRows on_gpu;

    [[nodiscard]] LayerId layer() const { return {place.layer}; }
    // Rows that chose the expert.
    [[nodiscard]] int64_t rows_of(ExpertId id) const {
        const auto e = static_cast<size_t>(id.value);
        return scratch.begin[e + 1] - scratch.begin[e];
    }
    // Whether the GPU computes an expert that it does not hold.
    [[nodiscard]] bool copies(ExpertId id) const {
        return gpu != nullptr && gpu->copies(rows_of(id));
    }
};

// Groups the pairs of a row and one of its experts by expert, rows ascending; returns the experts used, ascending.
[[nodiscard]] std::span<ExpertId> group_by_expert(MatrixView<const int32_t> ids, int32_t experts,
                                                  const MoeScratch& scratch);

// Gives the pairs of those of `used` that the host computes a row of host_outputs each; returns how many. Without a GPU
// each pair has its own.
[[nodiscard]] int64_t give_homes(const RoutedWork& work, std::span<const ExpertId> used);

// Computes the experts `used`, in waves of what the slots can hold; `meanwhile` runs once, while the first wave's misses are
// on their way.
template <class Meanwhile>
[[nodiscard]] Status run_routed(RoutedWork work, std::span<const ExpertId> used,
                                const Meanwhile& meanwhile);

// The parts of run_routed.
[[nodiscard]] Result<LeaseBatch> acquire_wave(const RoutedWork& work,
                                              std::span<const ExpertId> ids);
[[nodiscard]] Status run_wave(const RoutedWork& work, LeaseBatch& batch,
                              std::span<const ExpertId> ids);

template <class Meanwhile>
Status run_routed(RoutedWork work, std::span<const ExpertId> used, const Meanwhile& meanwhile) {
    const auto wave = static_cast<size_t>(work.experts.cache.max_batch());
    if (used.empty()) return meanwhile();
    for (size_t first = 0; first < used.size(); first += wave) {
        const auto ids = used.subspan(first, std::min(wave, used.size() - first));
        begin_part(work.observer, StepPart::kWait);
        LeaseBatch batch = TRY(acquire_wave(work, ids));
        if (first == 0) TRY(meanwhile());
        work.place.experts_done = static_cast<int32_t>(first);
        TRY(run_wave(work, batch, ids));
    }
    return work.gpu == nullptr ? Status() : work.gpu->end_copies(work.on_gpu);
}

}  // namespace millrace
