// Every layer of every trace from its golden input, and end to end, bit by bit.

#include <doctest/doctest.h>

#include "core/base/strings.h"
#include "core/engine/draft.h"
#include "core/engine/kv_cache.h"
#include "kernels/reference/canonical.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

using test::compare;
using test::Comparison;

template <class T>
std::vector<T> flat(MatrixView<const T> rows) {
    std::vector<T> out;
    for (int64_t r = 0; r < rows.rows; ++r)
        out.insert(out.end(), rows.row(r).begin(), rows.row(r).end());
    return out;
}

// Compares each tap with the golden of its name as the layer runs.
class TraceChecker final : public StepObserver {
public:
    TraceChecker(const test::GoldenTensors& golden, int64_t tokens)
        : golden_(golden), tokens_(tokens) {}

    void tap(Tap what, LayerId layer, MatrixView<const Bf16> rows) override {
        static constexpr const char* kNames[] = {"attn_norm", "attn", "ffn_norm", "ffn", "streams"};
        check<Bf16>(layer, kNames[static_cast<size_t>(what)], flat(rows));
    }
    void routed(LayerId layer, MatrixView<const int32_t> ids,
                MatrixView<const float> weights) override {
        check<int32_t>(layer, "router.ids", flat(ids));
        check<float>(layer, "router.weights", flat(weights));
    }
    void picked(LayerId layer, MatrixView<const int32_t> picks) override {
        std::vector<int64_t> shifted;
        for (const int32_t pick : flat(picks)) shifted.push_back(pick < 0 ? -1 : pick + tokens_);
        check<int64_t>(layer, "indexer", shifted);
    }
    void entries(LayerId layer, LayerKv& kv) {
        if (kv.kind == LayerKind::kWindow) return;
        std::vector<Bf16> values;
        double row[kHeadDim];
        for (int64_t i = 0; i < tokens_ / kv.compressor.ratio; ++i) {
            reference::decode_row(*kv.entry(i), row);
            for (const double v : row) values.push_back(to_bf16(static_cast<float>(v)));
        }
        check<Bf16>(layer, "compressor", values);
    }

    Comparison total;

private:
    template <class T>
    void check(LayerId layer, const char* what, const std::vector<T>& computed) {
        const std::string name = cat("layers.", layer.value, ".", what);
        if (!golden_.has(name)) return;  // draft blocks are judged by their logits
        const std::vector<T> golden = golden_.values<T>(name);
        const Comparison c = compare<T>(std::span<const T>(computed), std::span<const T>(golden));
        CHECK_MESSAGE(c.unequal == 0, name, ": ", c.text());
        total += c;
    }

    const test::GoldenTensors& golden_;
    int64_t tokens_;
};

void check_trace(const std::string& model) {
    CAPTURE(model);
    const test::GoldenTensors golden("model/" + model + "/trace.safetensors");
    const auto tokens = test::token_ids(golden.values<int32_t>("tokens"));
    const auto n = static_cast<int64_t>(tokens.size());
    const auto runtime = test::open_runtime(test::tiny_checkpoint(model));
    const ModelConfig& config = runtime->config();
    Step& step = runtime->step();

    Comparison layers;
    for (int32_t l = 0; l < config.layer_count(); ++l) {
        Session session = test::new_session(*runtime);
        TraceChecker checker(golden, n);
        std::vector<Bf16> streams(static_cast<size_t>(n * kStreams * config.hidden));
        const MatrixView<Bf16> view(streams.data(), n, kStreams * config.hidden);
        if (l == 0) {
            step.context().ops.embed(runtime->checkpoint().weights().embed, tokens, view);
        } else {
            std::ranges::copy(golden.values<Bf16>(cat("layers.", l - 1, ".streams")),
                              streams.begin());
        }
        step.observe(&checker);
        LayerKv& kv = session.kv().layer(LayerId{l});
        const Status done = step.run_layer(
            step.chunk_of(tokens, 0), LayerId{l},
            runtime->checkpoint().weights().layers[static_cast<size_t>(l)], kv, view);
        REQUIRE(done.ok());
        checker.entries(LayerId{l}, kv);
        step.observe(nullptr);
        layers += checker.total;
    }
    CHECK(layers.unequal == 0);
    MESSAGE(model, ", layer by layer from golden input: ", layers.text());

    // End to end, and the draft block on the trunk's last streams.
    Session session = test::new_session(*runtime);
    TraceChecker checker(golden, n);
    step.observe(&checker);
    REQUIRE(runtime->forward(session, tokens, LogitsWanted::kNone, {}).ok());
    for (int32_t l = 0; l < config.layer_count(); ++l)
        checker.entries(LayerId{l}, session.kv().layer({l}));
    step.observe(nullptr);
    CHECK(checker.total.unequal == 0);
    MESSAGE(model, ", end to end: ", checker.total.text());

    const auto drafter = MtpDrafter::create(step);
    REQUIRE(drafter.ok());
    std::vector<float> logits(static_cast<size_t>((n - 1) * config.vocabulary));
    const auto streams = step.streams().slice_rows(0, n - 1);
    REQUIRE((*drafter)
                ->logits(0, streams, std::span(tokens).subspan(1), 0,
                         session.kv().layer({config.layer_count()}),
                         {logits.data(), n - 1, config.vocabulary})
                .ok());
    const auto golden_logits = golden.values<float>("mtp.0.logits");
    const Comparison mtp = compare<float>(logits, golden_logits);
    CHECK(mtp.unequal == 0);
    MESSAGE(model, ", MTP logits: ", mtp.text());
}

}  // namespace

TEST_CASE("trace of tiny-flash") { check_trace("tiny-flash"); }
TEST_CASE("trace of tiny-pro") { check_trace("tiny-pro"); }
TEST_CASE("trace of tiny-base") { check_trace("tiny-base"); }
TEST_CASE("trace of tiny-clamp") { check_trace("tiny-clamp"); }

}  // namespace millrace
