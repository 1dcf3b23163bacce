#include "tests/support/trace_walk.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/strings.h"
#include "kernels/reference/canonical.h"
#include "tests/support/tiny_model.h"

namespace millrace::test {
namespace {

template <class T>
std::vector<T> flat(MatrixView<const T> rows) {
    std::vector<T> out;
    for (int64_t r = 0; r < rows.rows; ++r)
        out.insert(out.end(), rows.row(r).begin(), rows.row(r).end());
    return out;
}

// Finds the golden value of each tap.
class Taps final : public StepObserver {
public:
    Taps(const GoldenTrace& trace, TraceWatcher& watcher)
        : golden_(trace.tensors),
          tokens_(static_cast<int64_t>(trace.tokens.size())),
          watcher_(watcher) {}

    [[nodiscard]] bool wants_rows() const override { return true; }
    void tap(Tap what, LayerId layer, MatrixView<const Bf16> rows) override {
        static constexpr const char* kNames[] = {"attn_norm", "attn", "ffn_norm", "ffn", "streams"};
        pass<Bf16>({layer, kNames[static_cast<size_t>(what)], tokens_}, flat(rows));
    }
    void routed(LayerId layer, MatrixView<const int32_t> ids,
                MatrixView<const float> weights) override {
        pass<int32_t>({layer, "router.ids", tokens_}, flat(ids));
        pass<float>({layer, "router.weights", tokens_}, flat(weights));
    }
    void picked(LayerId layer, MatrixView<const int32_t> picks) override {
        std::vector<int64_t> shifted;
        for (const int32_t pick : flat(picks)) shifted.push_back(pick < 0 ? -1 : pick + tokens_);
        pass<int64_t>({layer, "indexer", tokens_}, shifted);
    }
    // Entries lie in the KV state once the layer has run.
    void entries(Ops& ops, LayerId layer, LayerKv& kv) {
        if (kv.kind == LayerKind::kWindow) return;
        const int64_t count = tokens_ / kv.compressor.ratio;
        std::vector<Bf16> values;
        double row[kHeadDim];
        for (int64_t i = 0; i < count; ++i) {
            KvRow entry;
            REQUIRE(ops.read(&entry, kv.entry(i), sizeof(entry)).ok());
            reference::decode_row(entry, row);
            for (const double v : row) values.push_back(to_bf16(static_cast<float>(v)));
        }
        pass<Bf16>({layer, "compressor", count}, values);
    }

private:
    template <class T>
    void pass(const Traced& traced, const std::vector<T>& computed) {
        if (!golden_.has(traced.name())) return;  // draft blocks are judged by their logits
        const std::vector<T> golden = golden_.values<T>(traced.name());
        REQUIRE_MESSAGE(computed.size() == golden.size(), traced.name());
        watcher_.see(traced, std::span<const T>(computed), std::span<const T>(golden));
    }

    const GoldenTensors& golden_;
    int64_t tokens_;
    TraceWatcher& watcher_;
};

}  // namespace

GoldenTrace::GoldenTrace(const std::string& model)
    : tensors("model/" + model + "/trace.safetensors"),
      tokens(token_ids(tensors.values<int32_t>("tokens"))) {}

std::string Traced::name() const { return cat("layers.", layer.value, ".", what); }

void walk_layers(Runtime& runtime, const GoldenTrace& trace, TraceWatcher& watcher) {
    const ModelConfig& config = runtime.config();
    const ModelWeights& weights = runtime.checkpoint().weights();
    const auto n = static_cast<int64_t>(trace.tokens.size());
    Step& step = runtime.step();
    Ops& ops = step.context().ops;
    const int64_t cols = kStreams * config.hidden;
    const auto memory = ops.allocate(static_cast<size_t>(n * cols) * sizeof(Bf16), HugePages::kNo);
    REQUIRE(memory.ok());
    const MatrixView<Bf16> view(memory->as<Bf16>(), n, cols);
    Taps taps(trace, watcher);
    for (int32_t l = 0; l < config.layer_count(); ++l) {
        Session session = new_session(runtime);
        if (l == 0) {
            REQUIRE(step.embed(trace.tokens, view).ok());
        } else {
            const auto streams = trace.tensors.values<Bf16>(cat("layers.", l - 1, ".streams"));
            REQUIRE(ops.write(view.data, streams.data(), streams.size() * sizeof(Bf16)).ok());
        }
        LayerKv& kv = session.kv().layer(LayerId{l});
        step.observe(&taps);
        const Status done = step.run_layer(step.chunk_of(trace.tokens, 0), LayerId{l},
                                           weights.layers[static_cast<size_t>(l)], kv, view);
        step.observe(nullptr);
        REQUIRE(done.ok());
        taps.entries(ops, LayerId{l}, kv);
    }
}

void walk_model(Runtime& runtime, const GoldenTrace& trace, Session& session,
                TraceWatcher& watcher) {
    Taps taps(trace, watcher);
    runtime.step().observe(&taps);
    const Status done = runtime.forward(session, trace.tokens, LogitsWanted::kNone, {});
    runtime.step().observe(nullptr);
    REQUIRE(done.ok());
    for (int32_t l = 0; l < runtime.config().layer_count(); ++l)
        taps.entries(runtime.step().context().ops, LayerId{l}, session.kv().layer({l}));
}

}  // namespace millrace::test
