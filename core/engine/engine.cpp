#include "core/engine/engine.h"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "core/base/strings.h"
#include "core/engine/answer.h"
#include "core/engine/mailbox.h"

namespace millrace {
namespace {

void close_cancelled(Mailbox& mailbox) {
    Event last;
    last.kind = Event::Kind::kFinished;
    last.reason = FinishReason::kCancelled;
    mailbox.close(std::move(last));
}

Status check(const Request& request, const ModelConfig& config, int64_t context_max) {
    if (request.prompt.empty()) {
        return Error{ErrorCode::kInvalid, "the prompt is empty; it needs at least one token"};
    }
    const auto bad_id = [&](std::string_view where, TokenId token) {
        return Error{ErrorCode::kInvalid,
                     cat(where, " holds token ", token.value, "; this model's tokens are 0 to ",
                         config.vocabulary - 1)};
    };
    const auto unknown = [&](TokenId token) {
        return token.value < 0 || token.value >= config.vocabulary;
    };
    for (const TokenId token : request.prompt) {
        if (unknown(token)) return bad_id("the prompt", token);
    }
    for (const TokenId token : request.stop_ids) {
        if (unknown(token)) return bad_id("stop_ids", token);
    }
    if (request.generated < 0 ||
        static_cast<uint64_t>(request.generated) >= request.prompt.size()) {
        return Error{
            ErrorCode::kInvalid,
            cat("an answer of ", request.generated, " tokens cannot be the end of a prompt of ",
                request.prompt.size(), "; at least one token comes before it")};
    }
    if (request.tokens_max < 0) {
        return Error{ErrorCode::kInvalid, cat("tokens_max is ", request.tokens_max,
                                              "; it must be 0 (up to the context limit) or more")};
    }
    if (static_cast<int64_t>(request.prompt.size()) >= context_max) {
        return Error{ErrorCode::kCapacity,
                     cat("the conversation is ", request.prompt.size(),
                         " tokens long and leaves no room for an answer in the context of ",
                         context_max, "; start a new conversation or raise --context")};
    }
    return validate(request.sampling, config.vocabulary);
}

}  // namespace

Ticket::Ticket(std::shared_ptr<Mailbox> mailbox) : mailbox_(std::move(mailbox)) {}
Ticket::Ticket(Ticket&&) noexcept = default;
Ticket& Ticket::operator=(Ticket&& other) noexcept {
    if (this != &other && mailbox_) mailbox_->cancel();
    mailbox_ = std::move(other.mailbox_);
    return *this;
}
Ticket::~Ticket() {
    if (mailbox_) mailbox_->cancel();
}
Event Ticket::next() { return mailbox_->next(); }
std::optional<Event> Ticket::next_within(std::chrono::milliseconds wait) {
    return mailbox_->next_within(wait);
}
void Ticket::cancel() { mailbox_->cancel(); }

struct Engine::Loop {
    struct Job {
        Request request;
        std::shared_ptr<Mailbox> mailbox;
    };

    explicit Loop(std::unique_ptr<SequenceModel> m)
        : model(std::move(m)),
          live(*model),
          recorder(live, *model, clock),
          logits(static_cast<size_t>(model->config().vocabulary)),
          thread([this](const std::stop_token& stop) { run(stop); }) {}

    void run(const std::stop_token& stop) {
        pthread_setname_np(pthread_self(), "engine");
        model->observe(&recorder);
        while (true) {
            std::optional<Job> job = wait_for_job(stop);
            if (!job) return;
            answer({*model, recorder, logits, clock}, job->request, stop, *job->mailbox);
        }
    }

    // Nothing when the engine stops; then all who still wait have been told.
    std::optional<Job> wait_for_job(const std::stop_token& stop) {
        std::unique_lock lock(mutex);
        arrived.wait(lock, stop, [&] { return !queue.empty(); });
        if (stop.stop_requested()) {
            for (const Job& job : queue) close_cancelled(*job.mailbox);
            queue.clear();
            return std::nullopt;
        }
        Job job = std::move(queue.front());
        queue.pop_front();
        return job;
    }

    // A request whose ticket is gone must not keep its place from one that is wanted.
    void drop_cancelled(const std::unique_lock<std::mutex>&) {
        std::erase_if(queue, [](const Job& job) {
            const bool cancelled = job.mailbox->cancelled();
            if (cancelled) close_cancelled(*job.mailbox);
            return cancelled;
        });
    }

    SystemClock clock;
    std::unique_ptr<SequenceModel> model;
    LiveFeed live;
    StepRecorder recorder;
    std::vector<float> logits;  // [vocabulary]
    mutable std::mutex mutex;
    std::condition_variable_any arrived;
    std::deque<Job> queue;  // guarded by mutex, at most kQueueMax
    std::jthread thread;    // last: it uses all of the above
};

Engine::Engine(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::start(std::unique_ptr<Runtime> runtime,
                                              const ArchiveUse& archive) {
    return start(TRY(make_sequence_model(std::move(runtime), archive)));
}

std::unique_ptr<Engine> Engine::start(std::unique_ptr<SequenceModel> model) {
    return std::unique_ptr<Engine>(new Engine(std::make_unique<Loop>(std::move(model))));
}

Result<Ticket> Engine::submit(Request request) {
    TRY(check(request, config(), context_max()));
    auto mailbox = std::make_shared<Mailbox>(kMailboxMax);
    {
        std::unique_lock lock(loop_->mutex);
        if (loop_->queue.size() >= kQueueMax) loop_->drop_cancelled(lock);
        if (loop_->queue.size() >= kQueueMax) {
            return Error{ErrorCode::kCapacity,
                         cat(kQueueMax, " requests wait already; try again when one has finished")};
        }
        loop_->queue.push_back({std::move(request), mailbox});
    }
    loop_->arrived.notify_one();
    return Ticket(std::move(mailbox));
}

const ModelConfig& Engine::config() const { return loop_->model->config(); }
const MemoryPlan& Engine::memory_plan() const { return loop_->model->plan(); }
int64_t Engine::context_max() const { return loop_->model->context_max(); }
KeptTokens Engine::known(std::span<const TokenId> prompt) const {
    return loop_->model->known(prompt);
}
ExpertCacheStats Engine::expert_stats() const { return loop_->model->expert_stats(); }
std::optional<GpuTierStats> Engine::gpu_stats() const { return loop_->model->gpu_stats(); }
const LiveFeed& Engine::live() const { return loop_->live; }

}  // namespace millrace
