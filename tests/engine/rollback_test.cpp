// Taking a session back is exact: whatever was drafted and forgotten, what follows has the bits of a run that never
// drafted. And the rules of when it is allowed.

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "core/base/random.h"
#include "core/engine/kv_cache.h"
#include "core/engine/runtime.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/synthetic.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

constexpr int64_t kTokens = 290;  // past the second 128-token entry and the window twice over

// A small model with every kind of layer, a text, and the logits of a run that never went back.
struct Rollback {
    explicit Rollback(int32_t rollback_tokens) {
        const Json config = test::small_config();
        test::write_checkpoint(directory.path(), config, test::synthetic_tensors(config), 1);
        RuntimeOptions options = test::tiny_options();
        options.threads = 1;
        options.context_max = kTokens + rollback_tokens;
        options.prefill_chunk = 256;
        options.rollback_tokens = rollback_tokens;
        runtime = test::open_runtime(directory.path(), options);
        vocabulary = static_cast<size_t>(runtime->config().vocabulary);
        for (int64_t i = 0; i < kTokens; ++i) tokens.push_back(random_token());
        Session session = test::new_session(*runtime);
        expected = test::all_logits(*runtime, session, tokens, {256});
    }

    TokenId random_token() { return {static_cast<int32_t>(random.below(vocabulary))}; }

    // Extends the session by the next `count` tokens of the text, in one chunk, and compares all their logits.
    void go_on(Session& session, int64_t count) {
        if (count == 0) return;
        const auto first = static_cast<size_t>(session.length());
        const auto n = static_cast<size_t>(count);
        const auto logits =
            test::all_logits(*runtime, session, std::span(tokens).subspan(first, n), {256});
        const bool same =
            std::equal(logits.begin(), logits.end(),
                       expected.begin() + static_cast<std::ptrdiff_t>(first * vocabulary));
        CHECK_MESSAGE(same, "tokens ", first, " to ", first + n - 1);
        compared += count;
    }

    enum class How { kOneByOne, kChunk };
    void garbage(Session& session, int64_t count, How how) {
        std::vector<TokenId> draft;
        for (int64_t i = 0; i < count; ++i) draft.push_back(random_token());
        const int64_t piece = how == How::kChunk ? count : 1;
        for (int64_t at = 0; at < count; at += piece) {
            const auto part =
                std::span(draft).subspan(static_cast<size_t>(at), static_cast<size_t>(piece));
            REQUIRE(runtime->forward(session, part, LogitsWanted::kNone, {}).ok());
        }
    }
    void draft_and_forget(Session& session, int64_t count, How how) {
        CAPTURE(session.length());
        CAPTURE(count);
        const int64_t length = session.length();
        garbage(session, count, how);
        REQUIRE(session.can_roll_back_to(length));
        session.roll_back(length);
        CHECK(session.length() == length);
    }

    test::TempDirectory directory;
    std::unique_ptr<Runtime> runtime;
    size_t vocabulary = 64;
    std::vector<TokenId> tokens;
    std::vector<float> expected;
    Random random{2024};
    int64_t compared = 0;
};

using How = Rollback::How;

// A session that holds nothing computed, for the rules alone.
Session empty_session(int64_t context_max, int64_t rollback_max) {
    ModelConfig config;
    config.layers = {LayerKind::kWindow, LayerKind::kSparse};
    // Of one thread, which never has anything to do.
    static Pool pool(1, Pinning::kNo);
    static const std::unique_ptr<Ops> ops = make_reference_ops(pool);
    auto kv = KvCache::create(*ops, config, 0, {context_max, rollback_max});
    REQUIRE(kv.ok());
    return Session(*std::move(kv));
}

std::vector<TokenId> ascending(int32_t from, int32_t count) {
    std::vector<TokenId> out;
    for (int32_t i = 0; i < count; ++i) out.push_back({from + i});
    return out;
}

}  // namespace

TEST_CASE("drafts of 1 to 8 tokens at every position, forgotten, leave no trace") {
    Rollback test(8);
    Session session = test::new_session(*test.runtime);
    // The stride of 5 meets every length from 1 to 8 at every place of a block of 4, in either way of drafting.
    int64_t count = 0;
    while (session.length() < kTokens) {
        count = (count + 5) % 8;
        const How how = session.length() / 8 % 2 == 0 ? How::kOneByOne : How::kChunk;
        test.draft_and_forget(session, count + 1, how);
        test.go_on(session, 1);
    }
    CHECK(test.compared == kTokens);
}

TEST_CASE("drafts as long as the ring allows, around blocks and windows, and long continuations") {
    for (const int32_t rollback : {1, 4, 64}) {
        CAPTURE(rollback);
        Rollback test(rollback);
        Session session = test::new_session(*test.runtime);
        for (const int64_t from : {3, 63, 124, 127, 128, 191, 192, 252, 255, 256}) {
            test.go_on(session, std::max<int64_t>(0, from - session.length()));
            const bool slow = rollback == 64 && from % 64 != 63;
            test.draft_and_forget(session, rollback, slow ? How::kChunk : How::kOneByOne);
            test.draft_and_forget(session, (rollback + 1) / 2, How::kChunk);
            test.go_on(session, 1);
        }
        test.go_on(session, kTokens - session.length());
        CHECK(test.compared == kTokens);
    }
}

TEST_CASE("going back in several steps, forward again and back further, within the farthest") {
    Rollback test(16);
    for (const int64_t from : {4, 125, 130, 254}) {
        Session session = test::new_session(*test.runtime);
        test.go_on(session, from);
        test.go_on(session, 6);
        test.garbage(session, 10, How::kOneByOne);  // the farthest: from + 16
        session.roll_back(from + 12);
        session.roll_back(from + 9);
        test.garbage(session, 2, How::kChunk);
        session.roll_back(from + 3);
        CHECK(!session.can_roll_back_to(from - 1));
        test.garbage(session, 5, How::kOneByOne);
        session.roll_back(from);
        test.go_on(session, 20);
        session.roll_back(from + 4);
        test.go_on(session, 16);
    }
}

TEST_CASE("after a reset a sequence has the bits of a fresh session") {
    Rollback test(8);
    Session session = test::new_session(*test.runtime);
    for (const int64_t before : {1, 3, 6, 130, 270}) {
        CAPTURE(before);
        test.garbage(session, std::min<int64_t>(before, 256), How::kChunk);
        if (before > 256) test.garbage(session, before - 256, How::kChunk);
        session.reset();
        CHECK(session.length() == 0);
        test.go_on(session, 5);
        test.go_on(session, 135);
        session.reset();
    }
}

TEST_CASE("how far a session can go back counts from the farthest token ever computed") {
    Session session = empty_session(100, 8);
    CHECK(session.can_roll_back_to(0));
    CHECK(!session.can_roll_back_to(1));
    session.append(ascending(0, 20));
    for (int64_t length = 0; length <= 22; ++length) {
        CAPTURE(length);
        CHECK(session.can_roll_back_to(length) == (length == 0 || (length >= 12 && length <= 20)));
    }
    session.roll_back(15);
    CHECK(session.can_roll_back_to(12));
    CHECK(!session.can_roll_back_to(11));
    CHECK(!session.can_roll_back_to(16));
    session.append(ascending(50, 2));  // 17, still short of the farthest
    CHECK(session.can_roll_back_to(12));
    CHECK(!session.can_roll_back_to(11));
    session.roll_back(13);
    CHECK(!session.can_roll_back_to(11));
    session.append(ascending(50, 12));  // 25: a new farthest
    CHECK(session.can_roll_back_to(17));
    CHECK(!session.can_roll_back_to(16));
    CHECK(session.tokens()[12] == TokenId{12});
    CHECK(session.tokens()[13] == TokenId{50});
    session.reset();
    session.append(ascending(0, 5));  // an empty sequence forgets the farthest too
    CHECK(session.can_roll_back_to(1));

    Session rigid = empty_session(100, 0);
    rigid.append(ascending(0, 3));
    CHECK(rigid.can_roll_back_to(3));
    CHECK(!rigid.can_roll_back_to(2));
    CHECK(rigid.can_roll_back_to(0));
}

TEST_CASE("what of a prompt a session can keep") {
    Session session = empty_session(100, 8);
    const std::vector<TokenId> held = ascending(0, 20);
    const auto prompt = [&](size_t common, int32_t others) {
        std::vector<TokenId> out(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(common));
        for (int32_t i = 0; i < others; ++i) out.push_back({90 + i});
        return out;
    };
    CHECK(session.reusable(prompt(20, 3)) == 0);
    session.append(held);
    CHECK(session.reusable({}) == 0);
    CHECK(session.reusable(prompt(20, 1)) == 20);  // a longer prompt: nothing to take back
    CHECK(session.reusable(prompt(20, 30)) == 20);
    CHECK(session.reusable(prompt(20, 0)) == 19);  // the same: the last token's logits are wanted
    CHECK(session.reusable(prompt(15, 5)) == 15);
    CHECK(session.reusable(prompt(15, 0)) == 14);
    CHECK(session.reusable(prompt(12, 1)) == 12);  // as far back as the rings reach
    CHECK(session.reusable(prompt(11, 1)) == 0);
    CHECK(session.reusable(prompt(12, 0)) == 0);
    CHECK(session.reusable(prompt(1, 0)) == 0);
    CHECK(session.reusable(prompt(0, 4)) == 0);
    session.roll_back(16);  // the farthest stays 20
    CHECK(session.reusable(prompt(20, 0)) == 16);
    CHECK(session.reusable(prompt(12, 2)) == 12);
    CHECK(session.reusable(prompt(11, 2)) == 0);
}

TEST_CASE("a full context refuses and leaves the session as it was") {
    Rollback test(8);
    Session session = test::new_session(*test.runtime);
    test.go_on(session, kTokens);
    test.garbage(session, 8, How::kChunk);  // to the brim
    const std::vector<TokenId> one_more = {test.random_token()};
    CHECK(!test.runtime->forward(session, one_more, LogitsWanted::kNone, {}).ok());
    CHECK(session.length() == kTokens + 8);
    session.roll_back(kTokens);
    session.roll_back(kTokens);
    CHECK(session.length() == kTokens);
    CHECK(session.reusable(test.tokens) ==
          0);  // one less than the text is nine less than the farthest
    test.tokens.push_back(test.random_token());
    CHECK(session.reusable(test.tokens) == kTokens);
}

}  // namespace millrace
