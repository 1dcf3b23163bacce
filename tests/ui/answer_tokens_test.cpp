// Bytes of an answer and the tokens that gave them.

#include "ui/answer_tokens.h"

#include <doctest/doctest.h>

#include "core/base/random.h"
#include "core/base/utf8.h"

namespace millrace::test {
namespace {

constexpr MessageId kMessage{7};

// An answer that grows, as the desk would tell of it.
struct Growing {
    void grow(std::vector<std::string> bytes, const std::string& more_content,
              const std::string& more_reasoning = "") {
        ModelReport report;
        report.kind = ModelReport::Kind::kGrown;
        report.request = request;
        report.position = position;
        report.content = more_content;
        report.reasoning = more_reasoning;
        report.ids.resize(bytes.size());
        position += static_cast<int64_t>(bytes.size());
        const AnswerTokens::Before before = {content.size(), reasoning.size(), tokens};
        tokens += bytes.size();
        report.id_bytes = std::move(bytes);
        content += more_content;
        reasoning += more_reasoning;
        map.grow(message, report, before);
    }
    // The index of the token of a byte of the content; −1: none.
    int64_t at(size_t byte, bool of_reasoning = false) const {
        const auto token = map.at(message, of_reasoning, byte, byte + 1, 0.5F);
        return token ? token->index : -1;
    }

    MessageId message = kMessage;
    uint64_t request = 3;
    int64_t position = 50;
    size_t tokens = 0;
    std::string content, reasoning;
    AnswerTokens map;
};

}  // namespace

TEST_CASE("each byte belongs to the token that gave it") {
    Growing answer;
    answer.grow({"The"}, "The");
    answer.grow({" mill", " grinds"}, " mill grinds");
    CHECK(answer.at(0) == 0);
    CHECK(answer.at(2) == 0);
    CHECK(answer.at(3) == 1);
    CHECK(answer.at(8) == 2);
    CHECK(answer.at(14) == 2);
    CHECK(answer.at(15) == -1);
    const auto token = answer.map.at_step(3, 51);
    REQUIRE(token);
    CHECK(*token ==
          AnswerToken{
              .message = kMessage, .request = 3, .position = 51, .index = 1, .begin = 3, .end = 8});
    CHECK(token_text(*token, answer.content) == "“ mill”");
    CHECK_FALSE(answer.map.at_step(3, 49));
    CHECK_FALSE(answer.map.at_step(3, 53));
    CHECK_FALSE(answer.map.at_step(4, 51));
    CHECK_FALSE(answer.map.at(MessageId{8}, false, 0, 1, 0));
}

TEST_CASE("a character of several tokens: where in it one points says which") {
    Growing answer;
    answer.grow({"a\xE2"}, "a");
    answer.grow({"\x9C"}, "");
    answer.grow({"\x93", "b"}, "✓b");
    for (const auto& [along, index] : {std::pair(0.1F, 0), std::pair(0.5F, 1), std::pair(0.9F, 2)})
        CHECK(answer.map.at(kMessage, false, 1, 4, along)->index == index);
    CHECK(answer.at(4) == 3);
    const AnswerToken middle = *answer.map.at_step(3, 51);
    CHECK(middle.begin == 2);
    CHECK(middle.end == 3);
    CHECK(token_text(middle, answer.content) == "part of “✓”");
    CHECK(token_text(*answer.map.at_step(3, 50), answer.content) == "part of “a✓”");
}

TEST_CASE("what is held back or never shown is no other token's") {
    Growing answer;
    answer.grow({"So"}, "", "So");
    answer.grow({"\n"}, "");  // may belong to the marker
    answer.grow({"\n"}, "");
    answer.grow({"x"}, "", "\n\nx");
    answer.grow({"\n"}, "");
    answer.grow({""}, "");  // </think>
    answer.grow({"\n\n"}, "");
    answer.grow({"Yes"}, "Yes");
    answer.grow({" ST"}, "");  // a stop string begins
    answer.grow({"ILL"}, " STILL");
    answer.grow({""}, "");  // the end
    CHECK(answer.at(0, true) == 0);
    CHECK(answer.at(2, true) == 1);
    CHECK(answer.at(3, true) == 2);
    CHECK(answer.at(4, true) == 3);
    CHECK(answer.at(5, true) == -1);
    CHECK(answer.at(0) == 7);
    CHECK(answer.at(3) == 8);
    CHECK(answer.at(6) == 9);
    for (const int64_t hidden : {54, 55, 56, 60}) {
        const AnswerToken token = *answer.map.at_step(3, hidden);
        CHECK(token.begin == token.end);
        CHECK(token_text(token, answer.content) == "nothing that is shown");
    }
}

TEST_CASE("a token whose end is dropped keeps what it gave") {
    Growing answer;
    answer.grow({"end\n"}, "", "end");
    answer.grow({""}, "");
    answer.grow({"A"}, "A");
    CHECK(answer.at(2, true) == 0);
    CHECK(answer.at(0) == 2);
    CHECK(answer.map.at_step(3, 50)->end == 3);
}

TEST_CASE("broken characters: those that wait share what came of them") {
    Growing answer;
    answer.grow({"ok"}, "ok");
    answer.grow({"\xFF"}, "\xEF\xBF\xBD");
    answer.grow({"\xE2"}, "");
    answer.grow({"\xE2", "a"},
                "\xEF\xBF\xBD\xEF\xBF\xBD"
                "a");
    CHECK(answer.at(2) == 2 - 1);
    CHECK(answer.map.at(kMessage, false, 5, 8, 0.1F)->index == 2);
    CHECK(answer.map.at(kMessage, false, 11, 12, 0.9F)->index == 4);
    CHECK(answer.at(1) == 0);
}

TEST_CASE("an answer that is gone on with is one answer of two requests") {
    Growing answer;
    answer.grow({"one", " two"}, "one two");
    answer.request = 9;
    answer.position = 400;
    answer.grow({" three"}, " three");
    CHECK(answer.at(1) == 0);
    CHECK(answer.at(8) == 2);
    CHECK(answer.map.at(kMessage, false, 8, 9, 0)->position == 400);
    CHECK(answer.map.at_step(3, 51)->begin == 3);
    // Another answer comes to have its id: the store is not there.
    answer.tokens = 0;
    answer.content.clear();
    answer.request = 10;
    answer.grow({"new"}, "new");
    CHECK(answer.at(1) == 0);
    CHECK(answer.at(8) == -1);
    CHECK(answer.map.size() == 1);
    answer.map.clear();
    CHECK(answer.at(1) == -1);
    CHECK_FALSE(answer.map.at_step(10, answer.position - 1));
}

TEST_CASE("memory is bounded: of too many tokens the oldest are forgotten") {
    Growing answer;
    const auto all = static_cast<int64_t>(AnswerTokens::kTokensMax);
    for (int64_t i = 0; i < all + 10; ++i) answer.grow({"x"}, "x");
    CHECK(answer.map.size() <= AnswerTokens::kTokensMax);
    CHECK(answer.map.size() >= AnswerTokens::kTokensMax / 2);
    CHECK(answer.at(static_cast<size_t>(all + 9)) == all + 9);
    CHECK(answer.at(0) == -1);
    // A call of tools gives no text for a long time.
    answer.grow({std::string(AnswerTokens::kWaitingMax + 1, 'y')}, "");
    answer.grow({"z"}, "z");
    CHECK(answer.at(static_cast<size_t>(all + 10)) == all + 11);
    // A second answer: the first goes as a whole.
    answer.message = MessageId{8};
    answer.tokens = 0;
    answer.content.clear();
    answer.request = 4;
    for (int64_t i = 0; i < all; ++i) answer.grow({"x"}, "x");
    CHECK(answer.map.size() == AnswerTokens::kTokensMax);
    CHECK_FALSE(answer.map.at(kMessage, false, 70000, 70001, 0));
}

TEST_CASE("any text in any tokens, held back anyhow: every byte has its token") {
    Random random(11);
    for (int round = 0; round < 300; ++round) {
        Growing answer;
        std::string text;
        constexpr std::array<std::string_view, 8> letters = {"a", "b", "\n", "é",
                                                             "ש", "✓", "😀",  " "};
        const size_t length = 1 + random.below(60);
        for (size_t i = 0; i < length; ++i) text += letters[random.below(letters.size())];
        std::vector<int64_t> owner;
        size_t told = 0, fed = 0;
        for (int64_t token = 0; fed < text.size(); ++token) {
            const size_t bytes = std::min(text.size() - fed, 1 + random.below(6));
            owner.insert(owner.end(), bytes, token);
            const std::string piece = text.substr(fed, bytes);
            fed += bytes;
            // Up to a whole character, or less.
            size_t until = fed - incomplete_utf8_tail(std::string_view(text).substr(0, fed));
            if (fed < text.size() && random.below(3) == 0) until = told;
            answer.grow({piece}, text.substr(told, until - told));
            told = until;
        }
        for (size_t byte = 0; byte < text.size(); ++byte) {
            CAPTURE(text);
            CAPTURE(byte);
            CHECK(answer.at(byte) == owner[byte]);
        }
    }
}

}  // namespace millrace::test
