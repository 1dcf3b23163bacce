#pragma once
// What texts have shown about the inputs of experts: how large each input column is, how often an expert is chosen and with
// what weight. The quantizer weighs errors with it. `millrace calibrate` writes it beside the checkpoint, as a file in the
// format of safetensors:
//
//   layers.L.input   F32 [E, d]      mean square of each input column of w1 and w3, over the tokens that chose the expert
//   layers.L.inner   F32 [E, inner]  the same of w2; the router's weight is in it already
//   layers.L.tokens  I64 [E]         tokens that chose the expert
//   layers.L.weight  F32 [E]         mean square of the router's weight
//
// for the trunk's layers. Draft blocks are not calibrated.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"
#include "core/base/types.h"
#include "core/model/config.h"
#include "core/model/safetensors.h"

namespace millrace {

inline constexpr std::string_view kCalibrationFile = "calibration.millrace";

struct LayerCalibration {
    std::vector<float> input;     // [E, d]
    std::vector<float> inner;     // [E, inner]
    std::vector<int64_t> tokens;  // [E]
    std::vector<float> weight;    // [E]

    // Nothing seen yet.
    [[nodiscard]] static LayerCalibration zero(const ModelConfig& config);

    // Mean squares of the columns of w1 and w3, and of w2. Where few tokens came by they lean on the layer's mean: an
    // expert sees a fortieth of what the layer sees.
    [[nodiscard]] std::vector<float> importance_of_input(ExpertId expert) const;
    [[nodiscard]] std::vector<float> importance_of_inner(ExpertId expert) const;
    // How much an error of the expert's output counts: the share of tokens that choose it times the mean square of its
    // weight there; the mean over a layer's experts is not normalised.
    [[nodiscard]] double importance(ExpertId expert) const;
};

// One file, read layer by layer: that of a large model has hundreds of megabytes.
class Calibration {
public:
    // kNotFound when there is none in `directory`; kCorrupt when it is not of a model with these shapes.
    [[nodiscard]] static Result<Calibration> open(const Path& directory, const ModelConfig& config);

    [[nodiscard]] Result<LayerCalibration> layer(LayerId layer) const;

private:
    Calibration(File file, SafetensorsHeader header, const ModelConfig& config)
        : file_(std::move(file)), header_(std::move(header)), config_(config) {}

    File file_;
    SafetensorsHeader header_;
    ModelConfig config_;
};

// Replaces the file in `directory`. `layers`: one of each layer of the trunk.
[[nodiscard]] Status write_calibration(const Path& directory, const ModelConfig& config,
                                       std::span<const LayerCalibration> layers);

}  // namespace millrace
