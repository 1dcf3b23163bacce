#include "core/text/prompt_meter.h"

#include <doctest/doctest.h>

#include <string>

#include "core/base/random.h"

namespace millrace::test {
namespace {

using Last = MeteredPrompt::Last;

Conversation demo() {
    auto open = Conversation::open(Path(MILLRACE_SOURCE_DIR) / "assets/demo", EffortTable::v0731());
    REQUIRE(open.ok());
    return *std::move(open);
}

RenderOptions thinking(const std::string& effort) {
    return {.mode = ThinkingMode::kThinking, .effort = effort};
}

// What a person may write, also what looks like the template and what joins with its neighbour.
std::string some_text(Random& random) {
    constexpr std::array<std::string_view, 12> words = {"mill ",    "Wasser", "\n\n",  "<｜User｜>",
                                                        "</think>", "水车",   " 1234", "🙂",
                                                        "\n",       "e",      "  ",    "river"};
    std::string text;
    for (uint64_t n = random.below(9); n > 0; --n) text += words[random.below(words.size())];
    return text;
}

void check_exact(const Conversation& talk, PromptMeter& meter, std::span<const Message> messages,
                 const RenderOptions& options, Last last) {
    const auto count = meter.measure(talk, {messages, last, {}}, options);
    const auto prompt = talk.render(messages, options);
    REQUIRE(count.ok());
    REQUIRE(prompt.ok());
    CHECK(count->total() == static_cast<int64_t>(prompt->ids.size()));
    REQUIRE(
        std::equal(meter.ids().begin(), meter.ids().end(), prompt->ids.begin(), prompt->ids.end()));
}

}  // namespace

TEST_CASE("the kinds of a prompt add up to it, and each is what it says") {
    const Conversation talk = demo();
    PromptMeter meter;
    std::vector<Message> messages = {
        {.role = Role::kSystem, .content = "Answer in one sentence."},
        {.role = Role::kUser, .content = "Where does the water go?"},
        {.role = Role::kAssistant, .content = "Over the wheel.", .reasoning = "A mill, a race."},
        {.role = Role::kUser, .content = "And then?"}};
    const auto tokens = [&](std::string_view text) {
        return static_cast<int64_t>(talk.tokenizer().encode(text, Specials::kPlain)->size());
    };
    const RenderOptions chat = {.mode = ThinkingMode::kChat, .effort = ""};
    const auto count = meter.measure(talk, {messages, Last::kDraft, {}}, chat);
    REQUIRE(count.ok());
    CHECK(count->of(ContextKind::kSystem) == 1 + tokens(messages[0].content));
    // <User> question <Assistant> </think> answer <end>
    CHECK(count->of(ContextKind::kHistory) ==
          4 + tokens(messages[1].content) + tokens(messages[2].content));
    CHECK(count->of(ContextKind::kThinking) == 0);
    CHECK(count->of(ContextKind::kDraft) == 3 + tokens(messages[3].content));

    // Reasoning counts where it is kept, and only there.
    RenderOptions keep = thinking("low");
    CHECK(meter.measure(talk, {messages, Last::kDraft, {}}, keep)->of(ContextKind::kThinking) == 0);
    keep.earlier = EarlierReasoning::kKeep;
    CHECK(meter.measure(talk, {messages, Last::kDraft, {}}, keep)->of(ContextKind::kThinking) ==
          1 + tokens(messages[2].reasoning));
    // An effort is part of what is fixed.
    const auto most = meter.measure(talk, {messages, Last::kDraft, {}}, thinking("max"));
    CHECK(most->of(ContextKind::kSystem) > 20 + tokens(messages[0].content));
    CHECK(most->of(ContextKind::kDraft) == 3 + tokens(messages[3].content));
}

TEST_CASE("an answer that goes on counts by its own ids, thinking up to its end") {
    const Conversation talk = demo();
    PromptMeter meter;
    const std::vector<Message> messages = {{.role = Role::kUser, .content = "Why?"}};
    const TokenId end = *talk.tokenizer().find_special("</think>");
    const std::vector<int32_t> so_far = {300, 301, end.value, 302, end.value, 303};
    const auto count = meter.measure(talk, {messages, Last::kSaid, so_far}, thinking("low"));
    REQUIRE(count.ok());
    CHECK(count->of(ContextKind::kThinking) == 3);
    const auto prompt = talk.render(messages, thinking("low"));
    const auto before = meter.measure(talk, {messages, Last::kSaid, {}}, thinking("low"));
    CHECK(before->total() == static_cast<int64_t>(prompt->ids.size()));
    CHECK(count->of(ContextKind::kHistory) == before->of(ContextKind::kHistory) + 3);
    CHECK(count->of(ContextKind::kSystem) == before->of(ContextKind::kSystem));
    CHECK(meter.measure(talk, {messages, Last::kSaid, so_far}, thinking("low"))->total() ==
          static_cast<int64_t>(prompt->ids.size() + so_far.size()));
    CHECK(meter.ids().size() == prompt->ids.size() + so_far.size());
}

TEST_CASE("any conversation, changed in any way: the ids of one that is rendered whole") {
    const Conversation talk = demo();
    PromptMeter meter;
    Random random{11};
    std::vector<Message> messages;
    for (int round = 0; round < 1500; ++round) {
        switch (random.below(8)) {
            case 0: messages.push_back({.role = Role::kUser, .content = some_text(random)}); break;
            case 1:
                messages.push_back({.role = Role::kAssistant,
                                    .content = some_text(random),
                                    .reasoning = some_text(random)});
                break;
            case 2:
                if (messages.size() > 20 || random.below(4) == 0) messages.clear();
                break;
            case 3: messages.insert(messages.begin(), {.role = Role::kSystem}); break;
            case 4:
                if (!messages.empty()) messages.pop_back();
                break;
            default:
                if (messages.empty()) break;
                std::string& text = messages[random.below(messages.size())].content;
                random.below(2) == 0 ? text += some_text(random) : text = some_text(random);
        }
        RenderOptions options = random.below(2) == 0
                                    ? RenderOptions{.mode = ThinkingMode::kChat, .effort = ""}
                                    : thinking("high");
        if (random.below(3) == 0) options.earlier = EarlierReasoning::kKeep;
        const Last last = random.below(2) == 0 ? Last::kSaid : Last::kDraft;
        check_exact(talk, meter, messages, options, last);
    }
}

TEST_CASE("what cannot be tokenized leaves the meter whole") {
    const Conversation talk = demo();
    PromptMeter meter;
    std::vector<Message> messages = {{.role = Role::kUser, .content = "fine"}};
    const RenderOptions chat = {.mode = ThinkingMode::kChat, .effort = ""};
    check_exact(talk, meter, messages, chat, Last::kDraft);
    messages.push_back({.role = Role::kUser, .content = "\xFF"});
    CHECK_FALSE(meter.measure(talk, {messages, Last::kDraft, {}}, chat).ok());
    messages.back().content = "fine too";
    check_exact(talk, meter, messages, chat, Last::kDraft);
}

}  // namespace millrace::test
