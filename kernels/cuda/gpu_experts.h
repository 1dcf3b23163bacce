#pragma once
// kernels/gpu_experts.h with CUDA.
//
//   the host's memory ──copies──► room ──slot kernel──► slot        a stream of its own
//                                                        ▲
//   a layer's experts ── entries of a table ─────────────┘          the ops' stream
//
// The copies wait for nothing but earlier fills; the kernel behind them waits, by an event, for what was computed with the
// slots before, launched or replayed. A fill is a few calls of the runtime (most often a copy, a kernel, an event), none of
// which waits.

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/stream.h"
#include "kernels/gpu_experts.h"

namespace millrace::cuda {

class CudaExperts final : public GpuExperts {
public:
    // `compute`: the ops' stream, which must outlive the experts.
    [[nodiscard]] static Result<std::unique_ptr<CudaExperts>> create(const GpuExpertSizes& sizes,
                                                                     Stream compute);
    ~CudaExperts() override;
    CudaExperts(const CudaExperts&) = delete;
    CudaExperts& operator=(const CudaExperts&) = delete;

    [[nodiscard]] Status grow(int32_t count) override;
    [[nodiscard]] bool shrink() override;
    [[nodiscard]] int32_t slots() const override { return static_cast<int32_t>(slots_.size()); }
    [[nodiscard]] Status fill(int32_t slot, const ExpertWeights& from) override;
    [[nodiscard]] Result<bool> landed(int32_t slot) override;
    [[nodiscard]] Status finish(int32_t slot) override;
    void wait_for(int32_t slot) override;
    [[nodiscard]] Status set(int32_t table, ExpertId expert, std::optional<int32_t> slot) override;
    void compute(int32_t table, const Fp8Rows& x, MatrixView<const int32_t> ids,
                 MatrixView<const float> weights, float limit, MatrixView<Bf16> out) override;

private:
    struct Slot {
        std::byte* at = nullptr;
        Event filled;
        ExpertWeights weights;  // as they lie there; null codes: nothing was filled
        bool landed = true;     // that it has is known
        int32_t entries = 0;    // of tables that name it
    };
    struct Slab {
        DeviceMemory memory;
        int32_t slots = 0;
    };
    static constexpr int32_t kNowhere = -1;

    CudaExperts(const GpuExpertSizes& sizes, Stream compute) : sizes_(sizes), compute_(compute) {}
    [[nodiscard]] Status clear_tables();
    [[nodiscard]] Slot& slot_at(int32_t slot);

    GpuExpertSizes sizes_;
    Stream compute_;
    OwnStream fills_;
    Event computed_;  // all that was told before a fill
    DeviceMemory tables_, room_, scratch_;
    std::vector<int32_t> entries_;  // slots, of all tables
    std::vector<Slab> slabs_;
    std::vector<Slot> slots_;
};

}  // namespace millrace::cuda
