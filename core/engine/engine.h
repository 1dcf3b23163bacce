#pragma once
// The engine thread behind two queues: requests in, events out. Owns a model and its sequence.
//
//   any thread ── submit(Request) ──► request queue (bounded) ──► engine thread ──► mailbox of the ticket ── next() ──►

#include <chrono>
#include <memory>
#include <optional>

#include "core/engine/live_feed.h"
#include "core/engine/request.h"
#include "core/engine/runtime.h"
#include "core/engine/sequence_model.h"

namespace millrace {

class Mailbox;

// The caller's end of one request. Destroying it cancels the request.
class Ticket {
public:
    Ticket(Ticket&&) noexcept;
    Ticket& operator=(Ticket&&) noexcept;
    ~Ticket();

    // Blocks until the next event. After kFinished or kFailed there are no more: then it returns the last one again.
    [[nodiscard]] Event next();
    // The same, at most `wait`; nothing if nothing came.
    [[nodiscard]] std::optional<Event> next_within(std::chrono::milliseconds wait);
    // Asks the engine to stop, within a layer of a token or of a prefill chunk; kFinished with kCancelled follows. The same
    // prompt, or prompt and answer (Request::generated), goes on from the last whole chunk or token. Any thread; safe in
    // a signal-driven loop (not in the handler itself).
    void cancel();

private:
    friend class Engine;
    explicit Ticket(std::shared_ptr<Mailbox> mailbox);
    std::shared_ptr<Mailbox> mailbox_;
};

class Engine {
public:
    // Starts the engine thread. The runtime belongs to it from now on; the archive, if any, must outlive it. Fails when
    // there is no memory for a session.
    [[nodiscard]] static Result<std::unique_ptr<Engine>> start(std::unique_ptr<Runtime> runtime,
                                                               const ArchiveUse& archive = {});
    [[nodiscard]] static std::unique_ptr<Engine> start(std::unique_ptr<SequenceModel> model);
    ~Engine();  // cancels what runs and what waits, joins; tickets stay valid

    // Queues a request; requests run one after the other. Refused with a clear error: an empty prompt, ids outside the
    // vocabulary, sampling values out of range, a prompt that leaves no room in the context (kCapacity, with both
    // numbers), a full queue (kCapacity). Any thread.
    [[nodiscard]] Result<Ticket> submit(Request request);

    // Facts that never change: any thread.
    [[nodiscard]] const ModelConfig& config() const;
    [[nodiscard]] const MemoryPlan& memory_plan() const;
    [[nodiscard]] int64_t context_max() const;
    // Of this prompt, what need not be computed if it came next: held by the session, or in the archive. Any thread, at any
    // time; takes a millisecond per 100,000 tokens and disturbs nobody. A page of the archive may turn out broken, and one
    // that another process wrote may not be known yet: `keep` has the last word.
    [[nodiscard]] KeptTokens known(std::span<const TokenId> prompt) const;
    // Counters of the expert cache from the start until now: any thread.
    [[nodiscard]] ExpertCacheStats expert_stats() const;
    // Of experts on a GPU, the same way; nothing without one.
    [[nodiscard]] std::optional<GpuTierStats> gpu_stats() const;
    // What the engine is doing: any thread, as long as the engine lives.
    [[nodiscard]] const LiveFeed& live() const;

    static constexpr size_t kQueueMax = 64;  // waiting requests; more are refused
    static constexpr size_t kMailboxMax =
        4096;  // unread events; then the reader is too slow and the request fails (kCapacity)

private:
    struct Loop;
    explicit Engine(std::unique_ptr<Loop> loop);
    std::unique_ptr<Loop> loop_;
};

}  // namespace millrace
