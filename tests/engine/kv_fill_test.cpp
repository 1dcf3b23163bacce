// A conversation that nobody had behaves like one that somebody had.

#include "core/engine/kv_fill.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/engine/observer.h"
#include "tests/support/tiny_model.h"

namespace millrace::test {
namespace {

const std::vector<TokenId> kNext = {{5}, {9}, {2}, {7}, {11}};

std::vector<float> after(Runtime& runtime, int64_t length, uint64_t seed,
                         const std::vector<int64_t>& pieces) {
    Session session = new_session(runtime);
    REQUIRE(fill_session(session, runtime.config(), length, seed).ok());
    CHECK(session.length() == length);
    return all_logits(runtime, session, kNext, pieces);
}

// The parts in the order in which they began.
class Parts final : public StepObserver {
public:
    void begins(StepPart part) override { begun.push_back(part); }
    std::vector<StepPart> begun;
};

}  // namespace

TEST_CASE("a filled session goes on the same way in any pieces, and depends on what it holds") {
    const auto runtime = open_runtime(tiny_checkpoint("tiny-flash"));
    for (const int64_t length : {1, 3, 127, 128, 700}) {
        CAPTURE(length);
        const std::vector<float> alone = after(*runtime, length, 1, {1});
        for (const float logit : alone) REQUIRE(std::isfinite(logit));
        CHECK(alone == after(*runtime, length, 1, {3, 2}));
        CHECK(alone != after(*runtime, length, 2, {1}));
    }
    CHECK(after(*runtime, 700, 1, {1}) != after(*runtime, 701, 1, {1}));
}

TEST_CASE("filled rows leave no trace once the session was reset") {
    const auto runtime = open_runtime(tiny_checkpoint("tiny-flash"));
    Session fresh = new_session(*runtime), filled = new_session(*runtime);
    REQUIRE(fill_session(filled, runtime->config(), 600, 1).ok());
    filled.reset();
    CHECK(all_logits(*runtime, fresh, kNext, {2}) == all_logits(*runtime, filled, kNext, {2}));
}

TEST_CASE("a step says which part begins, and the same comes out whether anybody listens") {
    const auto runtime = open_runtime(tiny_checkpoint("tiny-flash"));
    const std::vector<float> unwatched = after(*runtime, 300, 1, {5});
    Parts parts;
    runtime->step().observe(&parts);
    const std::vector<float> watched = after(*runtime, 300, 1, {5});
    runtime->step().observe(nullptr);
    CHECK(watched == unwatched);
    REQUIRE(!parts.begun.empty());
    CHECK(parts.begun.front() == StepPart::kEnds);
    CHECK(parts.begun.back() == StepPart::kEnds);
    const auto count = [&](StepPart part) { return std::ranges::count(parts.begun, part); };
    const int32_t layers = runtime->config().layer_count();
    const auto of_kind = [&](LayerKind kind) {
        return std::ranges::count(runtime->config().layers, kind);
    };
    CHECK(count(StepPart::kHyperConnections) == 4 * layers);
    // Once more where the next layer's router was asked for a guess.
    CHECK(count(StepPart::kRouter) >= layers);
    CHECK(count(StepPart::kRouter) <= 2 * layers);
    CHECK(count(StepPart::kShared) == layers);
    CHECK(count(StepPart::kIndexer) == of_kind(LayerKind::kSparse));
    CHECK(count(StepPart::kCompressor) == layers - of_kind(LayerKind::kWindow));
    CHECK(count(StepPart::kWait) > layers);
    CHECK(count(StepPart::kExperts) > layers);
    CHECK(count(StepPart::kProjections) == 2 * layers);
    CHECK(count(StepPart::kAttend) >= 2 * layers);
}

}  // namespace millrace::test
