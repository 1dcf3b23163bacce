// Streaming never changes a bit: the same logits for every budget from one slot more than a layer needs to all experts,
// through io_uring or preads, direct or buffered.

#include <doctest/doctest.h>

#include "core/base/strings.h"
#include "tests/support/compare.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

struct Run {
    std::vector<float> logits;
    ExpertCacheStats stats;
};

// A prompt in two chunks, then tokens one by one.
Run run(const Path& checkpoint, const RuntimeOptions& options) {
    std::vector<TokenId> tokens;
    for (int32_t i = 0; i < 90; ++i) tokens.push_back({(i * 37 + i / 7) % 256});
    const auto runtime = test::open_runtime(checkpoint, options);
    Session session = test::new_session(*runtime);
    Run result;
    result.logits = test::all_logits(*runtime, session, tokens, {40, 30, 1});
    result.stats = runtime->expert_stats();
    return result;
}

void check_budgets(const Path& checkpoint) {
    const Run resident = run(checkpoint, test::tiny_options());
    CHECK(resident.stats.evictions == 0);
    const int32_t all = resident.stats.slots;
    const int32_t least = test::open_runtime(checkpoint)->config().experts_per_token + 1;
    int64_t values = 0;
    uint64_t guesses = 0;
    for (const int32_t slots : {least, least + 1, all / 4, all / 2, all - 1, all}) {
        for (const IoBackend io : {IoBackend::kUring, IoBackend::kPread}) {
            for (const DirectIo direct : {DirectIo::kAuto, DirectIo::kOff}) {
                RuntimeOptions options = test::tiny_options();
                options.ram_budget_bytes = static_cast<uint64_t>(slots) * resident.stats.slot_bytes;
                // Where io_uring is refused, auto still streams.
                options.io = io == IoBackend::kUring ? IoBackend::kAuto : io;
                options.direct_io = direct;
                const Run streamed = run(checkpoint, options);
                CHECK(streamed.stats.slots == slots);
                if (slots < all / 2) CHECK(streamed.stats.evictions > 0);
                const auto c = test::compare<float>(streamed.logits, resident.logits);
                CHECK_MESSAGE(c.unequal + c.one_ulp == 0, slots, " slots, ", streamed.stats.backend,
                              ": ", c.text());
                values += c.compared;
                guesses += streamed.stats.guess_reads;
            }
        }
    }
    CHECK(guesses > 0);
    MESSAGE(checkpoint.filename().string(), ": ", values,
            " logits of streamed runs compared with resident ones");
}

}  // namespace

TEST_CASE("streamed equals resident, FP4 experts") {
    check_budgets(test::tiny_checkpoint("tiny-clamp"));
}
TEST_CASE("streamed equals resident, FP8 experts") {
    check_budgets(test::tiny_checkpoint("tiny-base"));
}

TEST_CASE("threads and company change nothing") {
    const Path checkpoint = test::tiny_checkpoint("tiny-clamp");
    RuntimeOptions options = test::tiny_options();
    options.threads = 1;
    const Run one = run(checkpoint, options);
    for (const int threads : {2, 3, 5}) {
        options.threads = threads;
        const auto c = test::compare<float>(run(checkpoint, options).logits, one.logits);
        CHECK_MESSAGE(c.unequal + c.one_ulp == 0, threads, " threads: ", c.text());
    }
}

TEST_CASE("a budget that is too small is refused with what would do") {
    RuntimeOptions options = test::tiny_options();
    options.ram_budget_bytes = 4096;
    const auto runtime = Runtime::open(test::demo_checkpoint(), options);
    REQUIRE(!runtime.ok());
    CHECK(runtime.error().code == ErrorCode::kCapacity);
    CHECK(runtime.error().message.find("--ram-budget") != std::string::npos);
}

}  // namespace millrace
