// The real model behind the desk: what it says of a conversation is what it then does with it.

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "tests/support/archive_world.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/tiny_model.h"
#include "ui/model_host.h"

namespace millrace::test {
namespace {

// The demo model with an archive on a disk that lives longer.
ModelOpener opener(KvArchive* archive, const std::string& identity) {
    return [archive, identity](const Path& directory,
                               const std::function<bool(std::string)>&) -> Result<OpenedModel> {
        OpenedModel opened;
        opened.conversation = std::make_unique<Conversation>(
            TRY(Conversation::open(directory, EffortTable::v0731())));
        RuntimeOptions options = tiny_options();
        options.ops = "cpu";
        options.rollback_tokens = 128;
        opened.engine = TRY(Engine::start(open_runtime(directory, options),
                                          ArchiveUse{archive, identity, "the demo model"}));
        opened.facts.name = "Demo";
        opened.facts.context_max = opened.engine->context_max();
        return opened;
    };
}

class Host {
public:
    Host(KvArchive* archive, const std::string& identity)
        : port_(make_model_host(opener(archive, identity), [this](ModelReport report) {
              {
                  const std::scoped_lock lock(mutex_);
                  reports_.push_back(std::move(report));
              }
              arrived_.notify_one();
          })) {
        port_->open(demo_checkpoint());
        CHECK(wait_for(ModelReport::Kind::kReady).facts->name == "Demo");
    }

    ModelReport wait_for(ModelReport::Kind kind) {
        std::unique_lock lock(mutex_);
        while (true) {
            REQUIRE(arrived_.wait_for(lock, std::chrono::seconds(60),
                                      [&] { return !reports_.empty(); }));
            ModelReport report = std::move(reports_.front());
            reports_.pop_front();
            REQUIRE(report.kind != ModelReport::Kind::kFailed);
            if (report.kind == kind) return report;
        }
    }
    PromptCount count(const std::vector<Message>& messages, const std::string& draft) {
        port_->count({.number = ++number_, .messages = messages, .draft = draft, .think = "off"});
        const ModelReport report = wait_for(ModelReport::Kind::kCounted);
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
        port_->ask(ask);
        Message answer{.role = Role::kAssistant};
        while (true) {
            std::unique_lock lock(mutex_);
            REQUIRE(arrived_.wait_for(lock, std::chrono::seconds(60),
                                      [&] { return !reports_.empty(); }));
            const ModelReport report = std::move(reports_.front());
            reports_.pop_front();
            REQUIRE(report.kind != ModelReport::Kind::kFailed);
            answer.content += report.content;
            if (report.kind != ModelReport::Kind::kFinished) continue;
            messages.push_back(answer);
            return report.stats;
        }
    }

private:
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::deque<ModelReport> reports_;
    uint64_t number_ = 0;
    std::unique_ptr<ModelPort> port_;  // last: it reports to all of the above
};

}  // namespace

TEST_CASE("an answered chat is known, also after a restart, and not to another model") {
    SimulatedDisk disk(1);
    SeededEntropy entropy(2);
    SetCalendar calendar;
    auto archive =
        KvArchive::open({disk, entropy, calendar}, archive_key(1), {"/kv", uint64_t{1} << 32});
    REQUIRE(archive.ok());
    std::string text;
    for (int i = 0; i < 40; ++i) text += "The mill stands on the river and grinds the grain. ";
    std::vector<Message> messages = {{.role = Role::kSystem, .content = "Be brief."},
                                     {.role = Role::kUser, .content = text}};
    const std::string draft = "And in winter?";
    {
        Host host(archive->get(), "demo");
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
        Host again(archive->get(), "demo");
        const PromptCount ready = again.count(before, "And then?");
        CHECK(ready.known >= 256);
        CHECK(ready.archived == ready.known);
        const AnswerStats third = again.answer(messages);
        CHECK(third.prompt_tokens == ready.context.total());
        CHECK(third.reused_tokens == ready.known);
        CHECK(third.archived_tokens == ready.archived);
    }
    CHECK(Host(archive->get(), "another").count(before, "And then?").known == 0);
    CHECK(Host(nullptr, "demo").count(before, "And then?").known == 0);
}

}  // namespace millrace::test
