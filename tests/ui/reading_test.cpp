#include "ui/reading.h"

#include <doctest/doctest.h>

#include "core/base/strings.h"
#include "ui/plot_scale.h"

using namespace millrace;

namespace {

// system, history, thinking, draft; known.
AppState state_with(std::array<int64_t, kContextKinds> tokens, int64_t known, double rate = 0,
                    double rate_before = 0) {
    AppState state;
    state.model.phase = ModelPhase::kReady;
    state.prompt.emplace();
    state.prompt->context.tokens = tokens;
    state.prompt->known = known;
    state.prefill_rate = rate;
    state.prefill_rate_before = rate_before;
    return state;
}

std::string text(const AppState& state) { return short_text(reading_of(state)); }

}  // namespace

TEST_CASE("ready is what the model knows up to the draft; the rest needs reading, with its time") {
    CHECK(text(state_with({40, 9000, 0, 12}, 9040, 100)) == "Ready");
    // The archive keeps whole pages: what is missing of the last is no reason to say that the chat is gone.
    CHECK(text(state_with({40, 9000, 0, 12}, 9040 - 127, 100)) == "Ready");
    CHECK(text(state_with({40, 9000, 0, 12}, 9040 - 128, 100)) == "Needs reading (about 1 s)");
    CHECK(text(state_with({40, 9000, 0, 12}, 0, 37.7)) == "Needs reading (about 4 min)");
    CHECK(text(state_with({40, 9000, 0, 12}, 0)) ==
          cat("Needs reading (", count_text(9052), " tokens)"));
    CHECK(text(state_with({0, 900000, 0, 0}, 0, 50)) == "Needs reading (about 5.0 h)");
    // A short chat that nobody has read is not ready.
    CHECK(text(state_with({1, 60, 0, 3}, 0, 100)) == "Needs reading (under 1 s)");
    // A long draft takes its time, whatever is known before it.
    CHECK(text(state_with({1, 500, 0, 9000}, 501, 100)) == "Ready, reads about 2 min of draft");
}

TEST_CASE("a new chat has nothing to read but what is being written") {
    CHECK(text(state_with({1, 0, 0, 30}, 0, 100)).empty());
    CHECK(text(state_with({1, 0, 0, 9000}, 0, 100)) == "Needs reading (about 2 min)");
    CHECK(text(state_with({0, 0, 0, 0}, 0)).empty());
}

TEST_CASE(
    "what was measured goes before what an earlier answer says; what nobody knows is said so") {
    const Reading both = reading_of(state_with({1, 1000, 0, 3}, 0, 200, 10));
    CHECK(both.measured);
    CHECK(both.rate == 200);
    const Reading before = reading_of(state_with({1, 1000, 0, 3}, 0, 0, 10));
    CHECK_FALSE(before.measured);
    CHECK(before.rate == 10);
    AppState state = state_with({1, 1000, 0, 3}, 0);
    state.prompt.reset();
    CHECK(text(state) == "Not counted yet");
    state.model.phase = ModelPhase::kOpening;
    CHECK(text(state).empty());
}
