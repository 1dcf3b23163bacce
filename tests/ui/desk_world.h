#pragma once
// A desk with a real store in a temporary directory, everything on one thread, and a model that says what the test tells it.

#include <memory>
#include <string>
#include <vector>

#include "tests/support/temp_directory.h"
#include "tests/ui/refusing_store.h"
#include "ui/desk.h"

namespace millrace::test {

class ScriptedPort final : public ModelPort {
public:
    explicit ScriptedPort(Listener listener) : listener_(std::move(listener)) {}

    void open(const Path& directory) override { opened.push_back(directory); }
    void ask(Ask ask) override { asked.push_back(std::move(ask)); }
    void stop() override { ++stops; }
    // A token is a byte.
    void count(CountAsk ask) override {
        ModelReport report;
        report.kind = ModelReport::Kind::kCounted;
        report.number = ask.number;
        PromptCount& count = report.count.emplace();
        count.known = known;
        count.archived = archived;
        const auto add = [&](ContextKind kind, size_t tokens) {
            count.context.tokens[static_cast<size_t>(kind)] += static_cast<int64_t>(tokens);
        };
        for (const Message& message : ask.messages) {
            const bool system = message.role == Role::kSystem;
            add(system ? ContextKind::kSystem : ContextKind::kHistory, message.content.size());
            add(ContextKind::kThinking, message.reasoning.size());
        }
        add(ContextKind::kDraft, ask.draft.value_or("").size());
        add(ContextKind::kHistory, ask.so_far.size());
        counted.push_back(std::move(ask));
        listener_(std::move(report));
    }
    const LiveFeed* feed() const override { return fed; }

    void ready() {
        ModelReport report;
        report.kind = ModelReport::Kind::kReady;
        report.facts.emplace();
        report.facts->name = "Scripted";
        report.facts->context_max = 8192;
        report.facts->layers = 3;
        report.facts->experts = 16;
        report.facts->efforts = {"high", "max"};
        listener_(std::move(report));
    }
    void say(ModelReport report) { listener_(std::move(report)); }
    void opening() {
        ModelReport report;
        report.kind = ModelReport::Kind::kOpening;
        listener_(std::move(report));
    }
    void closed(const std::string& why) {
        ModelReport report;
        report.kind = ModelReport::Kind::kClosed;
        report.text = why;
        listener_(std::move(report));
    }
    void prefill(int64_t done, int64_t total) {
        ModelReport report = last(ModelReport::Kind::kPrefill);
        report.done = done;
        report.total = total;
        listener_(std::move(report));
    }
    void grow(const std::string& content, const std::string& reasoning = "") {
        ModelReport report = last(ModelReport::Kind::kGrown);
        report.content = content;
        report.reasoning = reasoning;
        report.ids = {next_id++};
        report.position = next_position++;
        listener_(std::move(report));
    }
    // Tokens of these bytes came, and this text became certain with them.
    void grow_tokens(std::vector<std::string> bytes, const std::string& content,
                     const std::string& reasoning = "") {
        ModelReport report = last(ModelReport::Kind::kGrown);
        report.content = content;
        report.reasoning = reasoning;
        report.position = next_position;
        next_position += static_cast<int64_t>(bytes.size());
        for (size_t i = 0; i < bytes.size(); ++i) report.ids.push_back(next_id++);
        report.id_bytes = std::move(bytes);
        listener_(std::move(report));
    }
    void finish(FinishReason reason = FinishReason::kStop) {
        ModelReport report = last(ModelReport::Kind::kFinished);
        report.reason = reason;
        report.stats = stats;
        listener_(std::move(report));
    }
    void fail(const std::string& why) {
        ModelReport report = last(ModelReport::Kind::kFailed);
        report.text = why;
        listener_(std::move(report));
    }

    std::vector<Path> opened;
    std::vector<Ask> asked;
    std::vector<CountAsk> counted;
    int64_t known = 0, archived = 0;  // what counts say
    AnswerStats stats = {.generated_tokens = 7,
                         .decode_ns = 1'000'000'000,
                         .expert_hits = 81,
                         .expert_misses = 19};  // what answers end with
    int stops = 0;
    const LiveFeed* fed = nullptr;
    int32_t next_id = 100;
    int64_t next_position = 100;  // of the next token in the sequence
    uint64_t request = 0;         // of the engine, that is answered

private:
    [[nodiscard]] ModelReport last(ModelReport::Kind kind) const {
        ModelReport report;
        report.kind = kind;
        report.number = asked.empty() ? 0 : asked.back().number;
        report.request = request;
        return report;
    }
    Listener listener_;
};

// `directory` outlives it, so that a second world can open what a first one left.
class DeskWorld {
public:
    explicit DeskWorld(const Path& directory) : directory_(directory) {
        DeskParts parts;
        Result<std::unique_ptr<ChatStore>> opened = ChatStore::open(directory / "state");
        if (opened.ok()) {
            auto refusing = std::make_unique<RefusingStore>(std::move(*opened));
            store = refusing.get();
            parts.store = std::move(refusing);
        } else {
            parts.store_text = opened.error().message;
        }
        parts.store_lane = inline_lane();
        parts.make_port = [this](ModelPort::Listener listener) {
            auto made = std::make_unique<ScriptedPort>(std::move(listener));
            port = made.get();
            return made;
        };
        parts.wake = [] {};
        parts.now_s = [this] { return now_s; };
        parts.seed = [this] { return ++seeds; };
        parts.home = directory;
        desk = Desk::open(std::move(parts), {});
        settle();
    }

    // Everything that is on its way arrives.
    void settle() {
        for (int quiet = 0; quiet < 2;) quiet = desk->tick() ? 0 : quiet + 1;
    }
    void later(double seconds) {
        now_s += seconds;
        settle();
    }
    void ready() {
        port->ready();
        settle();
    }
    void send(const std::string& text) {
        desk->set_draft(text);
        desk->send();
        settle();
    }
    void answer(const std::string& text) {
        port->grow(text);
        port->finish();
        settle();
    }
    [[nodiscard]] const AppState& state() const { return desk->state(); }
    // "user: a | assistant: b" of the branch that is shown.
    [[nodiscard]] std::string shown() const {
        std::string out;
        if (!state().chat) return out;
        for (const MessageId id : state().chat->branches.shown()) {
            const StoredMessage* message = state().chat->branches.find(id);
            if (!out.empty()) out += " | ";
            out += (message->author == Author::kUser ? "user: " : "assistant: ") + message->content;
        }
        return out;
    }
    [[nodiscard]] MessageId at(size_t index) const {
        return state().chat->branches.shown().at(index);
    }

    double now_s = 1000;
    uint64_t seeds = 0;
    ScriptedPort* port = nullptr;
    RefusingStore* store = nullptr;  // null: it could not be opened
    std::unique_ptr<Desk> desk;

private:
    Path directory_;
};

}  // namespace millrace::test
