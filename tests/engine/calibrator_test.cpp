// What the calibrator sums up is what the step fed to the experts, in whatever chunks; and the file keeps it.

#include "core/engine/calibrator.h"

#include <doctest/doctest.h>

#include <map>
#include <numeric>
#include <vector>

#include "core/base/random.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

std::vector<TokenId> some_tokens(const Runtime& runtime, int64_t count) {
    Random random(11);
    std::vector<TokenId> tokens;
    for (int64_t i = 0; i < count; ++i) {
        const auto bound = static_cast<uint64_t>(runtime.config().vocabulary);
        tokens.push_back({static_cast<int32_t>(random.below(bound))});
    }
    return tokens;
}

std::vector<LayerCalibration> calibrated(Runtime& runtime, std::span<const TokenId> tokens,
                                         int64_t piece) {
    Calibrator calibrator(runtime.step().context().ops, runtime.config());
    runtime.step().observe(&calibrator);
    Session session = test::new_session(runtime);
    static_cast<void>(test::all_logits(runtime, session, tokens, {piece}));
    runtime.step().observe(nullptr);
    return calibrator.layers();
}

// The same from the taps: inputs of the layer and the router's choice, one token after the other.
class NaiveCount final : public StepObserver {
public:
    explicit NaiveCount(const ModelConfig& config) : config_(config) {}

    [[nodiscard]] bool wants_rows() const override { return true; }
    void tap(Tap tap, LayerId, MatrixView<const Bf16> rows) override {
        if (tap == Tap::kMoeInput) input_ = rows;
    }
    void routed(LayerId layer, MatrixView<const int32_t> ids,
                MatrixView<const float> weights) override {
        if (layer.value >= config_.layer_count()) return;
        for (int64_t r = 0; r < ids.rows; ++r) {
            for (int64_t j = 0; j < ids.cols; ++j) {
                const auto at = static_cast<size_t>(j);
                Sums& sums = of[{layer, ExpertId{ids.row(r)[at]}}];
                sums.squares.resize(static_cast<size_t>(config_.hidden));
                ++sums.tokens;
                sums.weight += static_cast<double>(weights.row(r)[at]) * weights.row(r)[at];
                for (size_t c = 0; c < sums.squares.size(); ++c) {
                    const double x = to_float(input_.row(r)[c]);
                    sums.squares[c] += x * x;
                }
            }
        }
    }

    struct Sums {
        int64_t tokens = 0;
        double weight = 0;
        std::vector<double> squares;
    };
    std::map<ExpertKey, Sums> of;

private:
    const ModelConfig& config_;
    MatrixView<const Bf16> input_;
};

}  // namespace

TEST_CASE("counts, weights and input squares are those of the router's choice") {
    const auto runtime = test::open_runtime(test::tiny_checkpoint("tiny-flash"));
    const std::vector<TokenId> tokens = some_tokens(*runtime, 40);
    const std::vector<LayerCalibration> layers = calibrated(*runtime, tokens, 16);
    NaiveCount naive(runtime->config());
    runtime->step().observe(&naive);
    Session session = test::new_session(*runtime);
    static_cast<void>(test::all_logits(*runtime, session, tokens, {40}));
    runtime->step().observe(nullptr);

    int64_t chosen = 0;
    for (const auto& [key, sums] : naive.of) {
        CAPTURE(key.layer.value);
        CAPTURE(key.expert.value);
        const LayerCalibration& layer = layers[static_cast<size_t>(key.layer.value)];
        const auto e = static_cast<size_t>(key.expert.value);
        const auto n = static_cast<double>(sums.tokens);
        CHECK(layer.tokens[e] == sums.tokens);
        CHECK(layer.weight[e] == doctest::Approx(sums.weight / n));
        for (size_t c = 0; c < sums.squares.size(); ++c) {
            REQUIRE(layer.input[e * sums.squares.size() + c] ==
                    doctest::Approx(sums.squares[c] / n));
        }
        chosen += sums.tokens;
    }
    CHECK(chosen == 40 * runtime->config().experts_per_token * runtime->config().layer_count());
    // Experts that nobody chose have seen nothing.
    for (const LayerCalibration& layer : layers) {
        const int64_t sum = std::accumulate(layer.tokens.begin(), layer.tokens.end(), int64_t{0});
        CHECK(sum == 40 * runtime->config().experts_per_token);
    }
}

TEST_CASE("chunks change no count and watching changes no bit") {
    const auto runtime = test::open_runtime(test::tiny_checkpoint("tiny-flash"));
    const std::vector<TokenId> tokens = some_tokens(*runtime, 24);
    const auto whole = calibrated(*runtime, tokens, 24);
    const auto single = calibrated(*runtime, tokens, 1);
    for (size_t l = 0; l < whole.size(); ++l) {
        CHECK(whole[l].tokens == single[l].tokens);
        for (size_t i = 0; i < whole[l].inner.size(); ++i) {
            REQUIRE(whole[l].inner[i] == doctest::Approx(single[l].inner[i]).epsilon(1e-5));
        }
    }
    Session watched = test::new_session(*runtime), alone = test::new_session(*runtime);
    Calibrator calibrator(runtime->step().context().ops, runtime->config());
    runtime->step().observe(&calibrator);
    const auto with = test::all_logits(*runtime, watched, tokens, {5});
    runtime->step().observe(nullptr);
    CHECK(with == test::all_logits(*runtime, alone, tokens, {5}));
}

TEST_CASE("the file keeps every number, and what is no calibration of this model is refused") {
    const auto runtime = test::open_runtime(test::tiny_checkpoint("tiny-flash"));
    const ModelConfig& config = runtime->config();
    const auto layers = calibrated(*runtime, some_tokens(*runtime, 9), 9);
    const test::TempDirectory place;
    const auto absent = Calibration::open(place.path(), config);
    REQUIRE_FALSE(absent.ok());
    CHECK(absent.error().code == ErrorCode::kNotFound);

    REQUIRE(write_calibration(place.path(), config, layers).ok());
    const auto opened = Calibration::open(place.path(), config);
    REQUIRE(opened.ok());
    for (int32_t l = 0; l < config.layer_count(); ++l) {
        const auto layer = opened->layer(LayerId{l});
        REQUIRE(layer.ok());
        const LayerCalibration& should = layers[static_cast<size_t>(l)];
        CHECK(layer->input == should.input);
        CHECK(layer->inner == should.inner);
        CHECK(layer->tokens == should.tokens);
        CHECK(layer->weight == should.weight);
    }
    ModelConfig other = config;
    other.experts += 1;
    const auto wrong = Calibration::open(place.path(), other);
    REQUIRE(wrong.ok());
    CHECK_FALSE(wrong->layer(LayerId{0}).ok());

    auto spoilt = layers;
    spoilt[0].inner[3] = -1;
    REQUIRE(write_calibration(place.path(), config, spoilt).ok());
    const auto read = Calibration::open(place.path(), config)->layer(LayerId{0});
    REQUIRE_FALSE(read.ok());
    CHECK(read.error().code == ErrorCode::kCorrupt);
}

TEST_CASE(
    "importance: what was seen often counts by itself, what was seen never as the layer's mean") {
    LayerCalibration layer;
    layer.tokens = {6400, 0};
    layer.input = {4, 8, 100, 100};
    layer.inner = {1, 2, 0, 0};
    layer.weight = {0.25F, 0};
    CHECK(layer.importance(ExpertId{0}) == doctest::Approx(0.25));
    CHECK(layer.importance(ExpertId{1}) == 0);
    CHECK(layer.importance_of_input(ExpertId{0}) == std::vector<float>{4, 8});
    CHECK(layer.importance_of_input(ExpertId{1}) == std::vector<float>{4, 8});
    layer.tokens = {64, 64};
    layer.input = {4, 8, 2, 0};
    CHECK(layer.importance_of_input(ExpertId{1}) == std::vector<float>{2.5F, 2});
}

}  // namespace millrace
