// Every layer of every trace from its golden input, and end to end, bit by bit.

#include <doctest/doctest.h>

#include "core/base/strings.h"
#include "core/engine/draft.h"
#include "tests/support/compare.h"
#include "tests/support/tiny_model.h"
#include "tests/support/trace_walk.h"

namespace millrace {
namespace {

using test::compare;
using test::Comparison;

// Compares and counts.
class Checker final : public test::TraceWatcher {
public:
    void see(const test::Traced& traced, std::span<const Bf16> computed,
             std::span<const Bf16> golden) override {
        check(traced, computed, golden);
    }
    void see(const test::Traced& traced, std::span<const float> computed,
             std::span<const float> golden) override {
        check(traced, computed, golden);
    }
    void see(const test::Traced& traced, std::span<const int32_t> computed,
             std::span<const int32_t> golden) override {
        check(traced, computed, golden);
    }
    void see(const test::Traced& traced, std::span<const int64_t> computed,
             std::span<const int64_t> golden) override {
        check(traced, computed, golden);
    }

    Comparison total;

private:
    template <class T>
    void check(const test::Traced& traced, std::span<const T> computed, std::span<const T> golden) {
        const Comparison c = compare<T>(computed, golden);
        CHECK_MESSAGE(c.unequal == 0, traced.name(), ": ", c.text());
        total += c;
    }
};

void check_trace(const std::string& model) {
    CAPTURE(model);
    const test::GoldenTrace trace(model);
    RuntimeOptions options = test::tiny_options();
    options.ops = "reference";
    const auto runtime = test::open_runtime(test::tiny_checkpoint(model), options);

    Checker layers;
    test::walk_layers(*runtime, trace, layers);
    CHECK(layers.total.compared > 0);
    MESSAGE(model, ", layer by layer from golden input: ", layers.total.text());

    // End to end, and the draft block on the trunk's last streams.
    Session session = test::new_session(*runtime);
    Checker whole;
    test::walk_model(*runtime, trace, session, whole);
    CHECK(whole.total.compared == layers.total.compared);
    MESSAGE(model, ", end to end: ", whole.total.text());

    const ModelConfig& config = runtime->config();
    const auto n = static_cast<int64_t>(trace.tokens.size());
    const auto drafter = MtpDrafter::create(runtime->step());
    REQUIRE(drafter.ok());
    std::vector<float> logits(static_cast<size_t>((n - 1) * config.vocabulary));
    const auto streams = runtime->step().streams().slice_rows(0, n - 1);
    REQUIRE((*drafter)
                ->logits(0, streams, std::span(trace.tokens).subspan(1), 0,
                         session.kv().layer({config.layer_count()}),
                         {logits.data(), n - 1, config.vocabulary})
                .ok());
    const auto golden_logits = trace.tensors.values<float>("mtp.0.logits");
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
