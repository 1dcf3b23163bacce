// The real model behind the desk: what it says of a conversation is what it then does with it.

#include <doctest/doctest.h>

#include "tests/support/archive_world.h"
#include "tests/support/simulated_disk.h"
#include "tests/ui/host_world.h"

namespace millrace::test {
namespace {

class Asker {
public:
    explicit Asker(const ArchiveUse& archive) : host_(archive) {}

    PromptCount count(const std::vector<Message>& messages, const std::string& draft) {
        host_.port().count(
            {.number = ++number_, .messages = messages, .draft = draft, .think = "off"});
        const ModelReport report = host_.until(ModelReport::Kind::kCounted).back();
        CHECK(report.number == number_);
        REQUIRE(report.count.has_value());
        return *report.count;
    }
    // Asks the last message; appends the answer, and returns what it cost.
    AnswerStats answer(std::vector<Message>& messages) {
        Ask ask;
        ask.number = ++number_;
        ask.messages = messages;
        ask.options.tokens_max = 40;
        ask.options.sampling.temperature = 0;
        host_.port().ask(ask);
        Message answer{.role = Role::kAssistant};
        const std::vector<ModelReport> reports = host_.until(ModelReport::Kind::kFinished);
        for (const ModelReport& report : reports) answer.content += report.content;
        messages.push_back(answer);
        return reports.back().stats;
    }

private:
    HostWorld host_;
    uint64_t number_ = 0;
};

}  // namespace

TEST_CASE("an answered chat is known, also after a restart, and not to another model") {
    SimulatedDisk disk(1);
    SeededEntropy entropy(2);
    SetCalendar calendar;
    auto archive =
        KvArchive::open({disk, entropy, calendar}, archive_key(1), {"/kv", uint64_t{1} << 32});
    REQUIRE(archive.ok());
    const auto use = [&](const std::string& identity) {
        return ArchiveUse{archive->get(), identity, "the demo model"};
    };
    std::string text;
    for (int i = 0; i < 40; ++i) text += "The mill stands on the river and grinds the grain. ";
    std::vector<Message> messages = {{.role = Role::kSystem, .content = "Be brief."},
                                     {.role = Role::kUser, .content = text}};
    const std::string draft = "And in winter?";
    {
        Asker host(use("demo"));
        const PromptCount fresh = host.count({messages[0]}, text);
        CHECK(fresh.known == 0);
        const AnswerStats first = host.answer(messages);
        CHECK(first.prompt_tokens == fresh.context.total());
        const PromptCount ready = host.count(messages, draft);
        // All but what is new is there: the end of the answer was not computed, its text may come back as other tokens.
        CHECK(ready.known >= fresh.context.total());
        CHECK(ready.archived == 0);
        CHECK(ready.context.of(ContextKind::kHistory) + ready.context.of(ContextKind::kSystem) -
                  ready.known <
              128);
        messages.push_back({.role = Role::kUser, .content = draft});
        const AnswerStats second = host.answer(messages);
        CHECK(second.prompt_tokens == ready.context.total());
        CHECK(second.reused_tokens == ready.known);
    }
    messages.push_back({.role = Role::kUser, .content = "And then?"});
    const std::vector<Message> before(messages.begin(), messages.end() - 1);
    {
        Asker again(use("demo"));
        const PromptCount ready = again.count(before, "And then?");
        CHECK(ready.known >= 256);
        CHECK(ready.archived == ready.known);
        const AnswerStats third = again.answer(messages);
        CHECK(third.prompt_tokens == ready.context.total());
        CHECK(third.reused_tokens == ready.known);
        CHECK(third.archived_tokens == ready.archived);
    }
    CHECK(Asker(use("another")).count(before, "And then?").known == 0);
    CHECK(Asker({}).count(before, "And then?").known == 0);
}

}  // namespace millrace::test
