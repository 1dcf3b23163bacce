#include "ui/model_host.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace millrace {
namespace {

class ModelHost final : public ModelPort {
public:
    ModelHost(ModelOpener opener, Listener listener)
        : opener_(std::move(opener)),
          listener_(std::move(listener)),
          thread_([this](const std::stop_token& stop) {
              pthread_setname_np(pthread_self(), "model");
              run(stop);
          }) {}

    void open(const Path& directory) override {
        {
            const std::scoped_lock lock(mutex_);
            to_open_ = directory;
            feed_ = nullptr;
        }
        stopped_ = true;
        arrived_.notify_one();
    }
    void ask(Ask ask) override {
        {
            const std::scoped_lock lock(mutex_);
            to_ask_ = std::move(ask);
        }
        stopped_ = false;
        arrived_.notify_one();
    }
    void stop() override { stopped_ = true; }
    void count(CountAsk ask) override {
        {
            const std::scoped_lock lock(mutex_);
            to_count_ = std::move(ask);
        }
        arrived_.notify_one();
    }
    const LiveFeed* feed() const override {
        const std::scoped_lock lock(mutex_);
        return feed_;
    }

private:
    void run(const std::stop_token& stop) {
        while (true) {
            std::optional<Path> directory;
            std::optional<Ask> question;
            {
                std::unique_lock lock(mutex_);
                arrived_.wait(lock, stop, [&] { return to_open_ || to_ask_ || to_count_; });
                if (stop.stop_requested()) return;
                directory.swap(to_open_);
                if (!directory) question.swap(to_ask_);
            }
            if (directory) open_now(*directory, stop);
            if (question) answer(*question, stop);
            count_now();
        }
    }

    void open_now(const Path& directory, const std::stop_token& stop) {
        meter_ = {};
        opened_ = {};  // frees the memory before the next one takes it
        std::string told;
        const auto say = [&](std::string text) {
            {
                const std::scoped_lock lock(mutex_);
                if (to_open_ || stop.stop_requested()) return false;
            }
            if (text == told) return true;
            told = text;
            ModelReport report;
            report.kind = ModelReport::Kind::kOpening;
            report.text = std::move(text);
            listener_(std::move(report));
            return true;
        };
        if (!say("opening")) return;
        Result<OpenedModel> opened = opener_(directory, say);
        ModelReport report;
        if (!opened.ok()) {
            if (opened.error().code == ErrorCode::kCancelled) return;  // another one comes
            report.kind = ModelReport::Kind::kClosed;
            report.text = opened.error().message;
        } else {
            opened_ = std::move(*opened);
            report.kind = ModelReport::Kind::kReady;
            report.facts = opened_.facts;
            const std::scoped_lock lock(mutex_);
            if (!to_open_) feed_ = &opened_.engine->live();
        }
        listener_(std::move(report));
    }

    void fail(uint64_t number, const std::string& why) {
        ModelReport report;
        report.kind = ModelReport::Kind::kFailed;
        report.number = number;
        report.text = why;
        listener_(std::move(report));
    }

    Result<AnswerStream> begin(const Ask& question) {
        if (!opened_.engine) {
            return Error{ErrorCode::kInvalid, "no model is open; choose one under Models"};
        }
        const Conversation& conversation = *opened_.conversation;
        const RenderOptions thinking = TRY(thinking_options(conversation, question.options.think));
        const Prompt prompt = TRY(conversation.render(question.messages, thinking));
        std::vector<TokenId> so_far;
        for (const int32_t id : question.so_far) so_far.push_back(TokenId{id});
        return AnswerStream::start(*opened_.engine, conversation, prompt, question.options,
                                   question.seed, so_far);
    }

    void answer(const Ask& question, const std::stop_token& stop) {
        Result<AnswerStream> stream = begin(question);
        if (!stream.ok()) return fail(question.number, stream.error().message);
        size_t ids_told = question.so_far.size();
        size_t content_told = stream->message().content.size();
        size_t reasoning_told = stream->message().reasoning.size();
        std::vector<StreamPart> parts;
        while (true) {
            constexpr auto kGlance = std::chrono::milliseconds(40);
            const std::optional<Event> event = stream->next(kGlance, parts);
            parts.clear();
            if (stopped_ || stop.stop_requested()) stream->cancel();
            count_now();
            if (!event) continue;
            ModelReport report;
            report.number = question.number;
            const Message& message = stream->message();
            report.content = message.content.substr(content_told);
            report.reasoning = message.reasoning.substr(reasoning_told);
            content_told = message.content.size();
            reasoning_told = message.reasoning.size();
            for (; ids_told < stream->ids().size(); ++ids_told) {
                const TokenId id = stream->ids()[ids_told];
                if (report.ids.empty()) {
                    report.position = event->prefill_total +
                                      static_cast<int64_t>(ids_told - question.so_far.size());
                }
                report.ids.push_back(id.value);
                const Tokenizer& tokenizer = opened_.conversation->tokenizer();
                report.id_bytes.emplace_back(tokenizer.is_special(id) ? ""
                                                                      : tokenizer.token_bytes(id));
            }
            // One request at a time is asked, so what the engine is at is this one.
            report.request = opened_.engine->live().state().request;
            report.done = event->prefill_done;
            report.total = event->prefill_total;
            report.stats = event->stats;
            report.reason = event->reason;
            switch (event->kind) {
                case Event::Kind::kPrefill: report.kind = ModelReport::Kind::kPrefill; break;
                case Event::Kind::kToken: report.kind = ModelReport::Kind::kGrown; break;
                case Event::Kind::kFinished: report.kind = ModelReport::Kind::kFinished; break;
                case Event::Kind::kFailed:
                    report.kind = ModelReport::Kind::kFailed;
                    report.text = event->error->message;
                    break;
            }
            const bool last = report.kind == ModelReport::Kind::kFinished ||
                              report.kind == ModelReport::Kind::kFailed;
            listener_(std::move(report));
            if (last) return;
        }
    }

    void count_now() {
        std::optional<CountAsk> wanted;
        {
            const std::scoped_lock lock(mutex_);
            wanted.swap(to_count_);
        }
        if (!wanted || !opened_.conversation) return;
        ModelReport report;
        report.kind = ModelReport::Kind::kCounted;
        report.number = wanted->number;
        if (Result<PromptCount> counted = measure(*wanted); counted.ok()) report.count = *counted;
        listener_(std::move(report));
    }

    Result<PromptCount> measure(CountAsk& ask) {
        const RenderOptions thinking = TRY(thinking_options(*opened_.conversation, ask.think));
        MeteredPrompt prompt;
        if (ask.draft) {
            ask.messages.push_back({.role = Role::kUser, .content = *std::move(ask.draft)});
            prompt.last = MeteredPrompt::Last::kDraft;
        }
        prompt.messages = ask.messages;
        prompt.so_far = ask.so_far;
        PromptCount count;
        count.context = TRY(meter_.measure(*opened_.conversation, prompt, thinking));
        const KeptTokens known = opened_.engine->known(meter_.ids());
        count.known = known.tokens;
        count.archived = known.archived;
        return count;
    }

    ModelOpener opener_;
    Listener listener_;
    OpenedModel opened_;  // the model thread's, and
    PromptMeter meter_;   // of this model
    std::atomic<bool> stopped_{false};
    mutable std::mutex mutex_;
    std::condition_variable_any arrived_;
    std::optional<Path> to_open_;  // guarded by mutex_, as all below
    std::optional<Ask> to_ask_;
    std::optional<CountAsk> to_count_;
    const LiveFeed* feed_ = nullptr;
    std::jthread thread_;  // last: it uses all of the above
};

}  // namespace

std::unique_ptr<ModelPort> make_model_host(ModelOpener opener, ModelPort::Listener listener) {
    return std::make_unique<ModelHost>(std::move(opener), std::move(listener));
}

}  // namespace millrace
