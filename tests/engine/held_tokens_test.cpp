#include "core/engine/held_tokens.h"

#include <doctest/doctest.h>

#include <thread>

#include "core/base/random.h"
#include "core/engine/kv_cache.h"
#include "tests/support/tiny_model.h"

namespace millrace::test {

TEST_CASE("the copy says of any prompt what the session says") {
    const auto runtime = open_runtime(tiny_checkpoint("tiny-flash"));
    Session session = new_session(*runtime);
    HeldTokens held(session.context_max());
    Random random{5};
    const auto some = [&](size_t count) {
        std::vector<TokenId> tokens(count);
        for (TokenId& token : tokens) token.value = static_cast<int32_t>(random.below(2));
        return tokens;
    };
    int64_t most = 0;
    for (int round = 0; round < 4000; ++round) {
        const auto back = session.length() - static_cast<int64_t>(random.below(80));
        if (session.length() > 900 || random.below(20) == 0) {
            session.reset();
            held.replace(session);
        } else if (random.below(15) == 0) {
            session.take_over(some(random.below(300)));
            held.replace(session);
        } else if (random.below(3) == 0 && back >= 0 && session.can_roll_back_to(back)) {
            session.roll_back(back);
            held.replace(session);
        } else {
            session.append(some(1 + random.below(40)));
            held.extend(session);
        }
        std::vector<TokenId> prompt(session.tokens().begin(), session.tokens().end());
        prompt.resize(random.below(prompt.size() + 1));
        for (const TokenId token : some(random.below(9))) prompt.push_back(token);
        CHECK(held.reusable(prompt) == session.reusable(prompt));
        most = std::max(most, session.reusable(prompt));
    }
    CHECK(most > 300);
}

TEST_CASE("a prompt that is compared while the session changes gets one of the true answers") {
    const auto runtime = open_runtime(tiny_checkpoint("tiny-flash"));
    Session session = new_session(*runtime);
    HeldTokens held(session.context_max());
    const std::vector<TokenId> ones(600, TokenId{1}), twos(600, TokenId{2});
    std::atomic<bool> done{false};
    std::jthread writer([&] {
        for (int round = 0; round < 3000; ++round) {
            session.take_over(round % 2 == 0 ? ones : twos);
            held.replace(session);
        }
        done = true;
    });
    std::vector<TokenId> prompt = ones;
    prompt.push_back(TokenId{3});
    bool exact = true;
    while (!done) {
        const int64_t reusable = held.reusable(prompt);
        exact = exact && (reusable == 0 || reusable == 600);
    }
    CHECK(exact);
}

}  // namespace millrace::test
