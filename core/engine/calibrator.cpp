#include "core/engine/calibrator.h"

#include <algorithm>

namespace millrace {
namespace {

// Takes the rows into a mean of squares that `before` rows have made.
void add_squares(MatrixView<const Bf16> rows, int64_t before, std::span<float> mean) {
    const double all = static_cast<double>(before + rows.rows);
    for (size_t c = 0; c < mean.size(); ++c) {
        double sum = static_cast<double>(mean[c]) * static_cast<double>(before);
        for (int64_t r = 0; r < rows.rows; ++r) {
            const double value = to_float(rows.row(r)[c]);
            sum += value * value;
        }
        mean[c] = static_cast<float>(sum / all);
    }
}

template <class T>
MatrixView<T> sized(std::vector<T>& memory, int64_t rows, int64_t cols) {
    memory.resize(static_cast<size_t>(rows * cols));
    return {memory.data(), rows, cols};
}

}  // namespace

Calibrator::Calibrator(Ops& ops, const ModelConfig& config) : ops_(ops), config_(config) {
    for (int32_t l = 0; l < config.layer_count(); ++l) {
        layers_.push_back(LayerCalibration::zero(config));
    }
}

void Calibrator::expert(ExpertKey key, const LinearInput& x, std::span<const int32_t> rows,
                        const ExpertWeights& weights, std::span<const float> route_weights) {
    if (key.layer.value >= config_.layer_count() || rows.empty()) return;
    const auto n = static_cast<int64_t>(rows.size());
    const MatrixView<Bf16> input = sized(input_, n, config_.hidden);
    for (int64_t r = 0; r < n; ++r) {
        std::ranges::copy(x.rows.row(rows[static_cast<size_t>(r)]), input.row(r).begin());
    }
    const Fp8Rows quantised{sized(codes_, n, config_.hidden),
                            sized(scales_, n, (config_.hidden + 127) / 128)};
    ops_.quantise(input, quantised);
    const MatrixView<Bf16> gate = sized(gate_, n, config_.expert_inner);
    const MatrixView<Bf16> up = sized(up_, n, config_.expert_inner);
    ops_.linear({input, quantised}, weights.w1, gate);
    ops_.linear({input, quantised}, weights.w3, up);
    ops_.swiglu(gate, up, route_weights, config_.swiglu_limit, gate);

    LayerCalibration& layer = layers_[static_cast<size_t>(key.layer.value)];
    const auto e = static_cast<size_t>(key.expert.value);
    const auto of_expert = [&](std::vector<float>& squares, int64_t width) {
        const auto columns = static_cast<size_t>(width);
        return std::span(squares).subspan(e * columns, columns);
    };
    const int64_t before = layer.tokens[e];
    add_squares(input, before, of_expert(layer.input, config_.hidden));
    add_squares(gate, before, of_expert(layer.inner, config_.expert_inner));
    double weight = static_cast<double>(layer.weight[e]) * static_cast<double>(before);
    for (const float w : route_weights) weight += static_cast<double>(w) * w;
    layer.tokens[e] += n;
    layer.weight[e] = static_cast<float>(weight / static_cast<double>(layer.tokens[e]));
}

}  // namespace millrace
