#pragma once
// Watches a step and sums up what experts are fed (core/model/calibration.h). It computes the inner activations of every
// expert a second time, so a step takes about half as long again.

#include <vector>

#include "core/engine/observer.h"
#include "core/model/calibration.h"
#include "core/model/config.h"
#include "kernels/ops.h"

namespace millrace {

class Calibrator final : public StepObserver {
public:
    // `ops` are those of the step, which is between two of their calls whenever it calls an observer.
    Calibrator(Ops& ops, const ModelConfig& config);

    // Of every expert, also of those that a GPU would compute where nobody sees its input.
    [[nodiscard]] bool wants_rows() const override { return true; }
    void expert(ExpertKey key, const LinearInput& x, std::span<const int32_t> rows,
                const ExpertWeights& weights, std::span<const float> route_weights) override;

    [[nodiscard]] const std::vector<LayerCalibration>& layers() const { return layers_; }

private:
    Ops& ops_;
    const ModelConfig& config_;
    std::vector<LayerCalibration> layers_;
    // Of the rows at work.
    std::vector<Bf16> input_, gate_, up_;
    std::vector<uint8_t> codes_, scales_;
};

}  // namespace millrace
