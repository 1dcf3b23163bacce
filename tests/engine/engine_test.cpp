#include "core/engine/engine.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <semaphore>

#include "core/base/strings.h"

using namespace millrace;

namespace {

constexpr int32_t kVocabulary = 16;

// What the test thread may see and steer of a model that belongs to the engine thread.
struct Strings {
    std::atomic<int> fail_append{-1};  // the append that fails, counted from 0
    std::atomic<bool> nan{false};      // logits are NaN
    std::atomic<bool> gated{false};    // every append waits for `gate`
    std::counting_semaphore<1 << 20> gate{0};
    std::atomic<int> appends{0};
    std::mutex mutex;
    std::vector<size_t> chunks;  // guarded: the size of each append
    std::vector<TokenId> held;   // guarded: the sequence
};

// A model whose next token is the last one plus 1, modulo 16; each append costs 3 expert hits, 1 miss and 100 bytes.
class CountingModel final : public SequenceModel {
public:
    CountingModel(Strings& strings, int64_t context_max)
        : strings_(strings), context_max_(context_max) {
        config_.vocabulary = kVocabulary;
    }
    const ModelConfig& config() const override { return config_; }
    const MemoryPlan& plan() const override { return plan_; }
    int64_t context_max() const override { return context_max_; }
    int64_t chunk_max() const override { return 4; }
    ExpertCacheStats expert_stats() const override { return stats_; }
    ExpertPulse expert_pulse() const override {
        return {.hits = stats_.hits, .misses = stats_.misses, .bytes_read = stats_.bytes_read};
    }
    KeptTokens keep(std::span<const TokenId> prompt) override {
        const auto limit = static_cast<ptrdiff_t>(std::min(tokens_.size(), prompt.size() - 1));
        const auto different =
            std::mismatch(tokens_.begin(), tokens_.begin() + limit, prompt.begin());
        tokens_.erase(different.first, tokens_.end());
        return {static_cast<int64_t>(tokens_.size()), 0};
    }
    Status append(std::span<const TokenId> tokens, std::span<float> logits) override {
        const int number = strings_.appends++;
        if (strings_.gated) strings_.gate.acquire();
        if (number == strings_.fail_append) {
            return Error{ErrorCode::kIo, "the drive is gone"};
        }
        ENSURE(static_cast<int64_t>(tokens_.size() + tokens.size()) < context_max_);
        tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
        stats_.hits += 3;
        stats_.misses += 1;
        stats_.bytes_read += 100;
        for (size_t i = 0; i < logits.size(); ++i) {
            const bool next = static_cast<int32_t>(i) == (tokens.back().value + 1) % kVocabulary;
            logits[i] = strings_.nan ? std::numeric_limits<float>::quiet_NaN() : (next ? 30.0F : 0);
        }
        const std::scoped_lock lock(strings_.mutex);
        strings_.chunks.push_back(tokens.size());
        strings_.held = tokens_;
        return {};
    }
    void reset() override { tokens_.clear(); }

private:
    Strings& strings_;
    ModelConfig config_;
    MemoryPlan plan_;
    ExpertCacheStats stats_;
    int64_t context_max_;
    std::vector<TokenId> tokens_;
};

std::vector<TokenId> ids(std::initializer_list<int32_t> values) {
    std::vector<TokenId> out;
    for (const int32_t value : values) out.push_back({value});
    return out;
}

Request greedy(std::vector<TokenId> prompt, int64_t tokens_max) {
    Request request;
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0;
    request.tokens_max = tokens_max;
    return request;
}

struct Outcome {
    std::vector<int32_t> tokens;
    std::vector<int64_t> prefill;  // what kPrefill events said
    Event last;
};

Outcome read_all(Ticket& ticket) {
    Outcome out;
    while (true) {
        const Event event = ticket.next();
        if (event.kind == Event::Kind::kToken) {
            out.tokens.push_back(event.token.value);
        } else if (event.kind == Event::Kind::kPrefill) {
            out.prefill.push_back(event.prefill_done);
        } else {
            out.last = event;
            return out;
        }
    }
}

struct Fixture {
    explicit Fixture(int64_t context_max = 64)
        : engine(Engine::start(std::make_unique<CountingModel>(strings, context_max))) {}

    Outcome run(Request request) {
        Result<Ticket> ticket = engine->submit(std::move(request));
        REQUIRE(ticket.ok());
        return read_all(*ticket);
    }
    Error refused(Request request) {
        Result<Ticket> ticket = engine->submit(std::move(request));
        REQUIRE(!ticket.ok());
        return ticket.error();
    }

    Strings strings;
    std::unique_ptr<Engine> engine;
};

}  // namespace

TEST_CASE("an answer: chunks of prefill, tokens, reason, stats") {
    Fixture f;
    const Outcome out = f.run(greedy(ids({1, 2, 3, 4, 5, 6, 7, 8, 9, 2}), 5));
    CHECK(out.tokens == std::vector<int32_t>{3, 4, 5, 6, 7});
    CHECK(out.prefill.back() == 10);
    CHECK(std::ranges::is_sorted(out.prefill));
    CHECK(out.last.kind == Event::Kind::kFinished);
    CHECK(out.last.reason == FinishReason::kLength);
    CHECK(f.strings.chunks == std::vector<size_t>{4, 4, 2, 1, 1, 1, 1});
    const AnswerStats& stats = out.last.stats;
    CHECK(stats.prompt_tokens == 10);
    CHECK(stats.reused_tokens == 0);
    CHECK(stats.generated_tokens == 5);
    CHECK(stats.expert_hits == 21);
    CHECK(stats.expert_misses == 7);
    CHECK(stats.drive_bytes == 700);
    CHECK(stats.decode_ns > 0);
    CHECK(f.engine->expert_stats().hits == 21);
}

TEST_CASE("a stop id ends the answer and is delivered") {
    Fixture f;
    Request request = greedy(ids({1}), 0);
    request.stop_ids = ids({12, 5});
    const Outcome out = f.run(request);
    CHECK(out.tokens == std::vector<int32_t>{2, 3, 4, 5});
    CHECK(out.last.reason == FinishReason::kStop);
}

TEST_CASE("the next prompt reuses what it shares with the sequence") {
    Fixture f;
    Outcome out = f.run(greedy(ids({1, 2, 3}), 3));
    CHECK(out.tokens == std::vector<int32_t>{4, 5, 6});
    out = f.run(greedy(ids({1, 2, 3, 4, 5, 6, 9}), 1));  // held: 1 2 3 4 5
    CHECK(out.tokens == std::vector<int32_t>{10});
    CHECK(out.last.stats.reused_tokens == 5);
    out = f.run(greedy(ids({1, 2, 7}), 1));
    CHECK(out.last.stats.reused_tokens == 2);
    CHECK(out.tokens == std::vector<int32_t>{8});
    out = f.run(greedy(ids({1, 2, 7}), 1));  // the same again: one token is computed for its logits
    CHECK(out.last.stats.reused_tokens == 2);
    CHECK(f.strings.held == ids({1, 2, 7}));
}

TEST_CASE("the context limit: refused before, told in the middle") {
    Fixture f(8);
    const Error error = f.refused(greedy(ids({0, 1, 2, 3, 4, 5, 6, 7}), 1));
    CHECK(error.code == ErrorCode::kCapacity);
    CHECK(error.message.find("is 8 tokens") != std::string::npos);
    CHECK(error.message.find("context of 8") != std::string::npos);
    Outcome out = f.run(greedy(ids({0, 1, 2, 3, 4, 5, 6}), 5));
    CHECK(out.tokens == std::vector<int32_t>{7});
    CHECK(out.last.reason == FinishReason::kContext);
    out = f.run(greedy(ids({3}), 0));
    CHECK(out.tokens == std::vector<int32_t>{4, 5, 6, 7, 8, 9, 10});
    CHECK(out.last.reason == FinishReason::kContext);
}

TEST_CASE("requests that make no sense are refused with a sentence") {
    Fixture f;
    CHECK(f.refused(greedy({}, 1)).message.find("empty") != std::string::npos);
    CHECK(f.refused(greedy(ids({3, 16}), 1)).message.find("token 16") != std::string::npos);
    CHECK(f.refused(greedy(ids({-1}), 1)).message.find("token -1") != std::string::npos);
    CHECK(f.refused(greedy(ids({1}), -5)).message.find("tokens_max is -5") != std::string::npos);
    Request request = greedy(ids({1}), 1);
    request.stop_ids = ids({99});
    CHECK(f.refused(request).message.find("stop_ids holds token 99") != std::string::npos);
    request = greedy(ids({1}), 1);
    request.sampling.top_p = 2;
    CHECK(f.refused(request).message.find("top_p") != std::string::npos);
    CHECK(f.strings.appends == 0);
}

TEST_CASE("a failing drive fails one answer; the next one is whole again") {
    for (const int when : {0, 1, 4}) {  // in the first chunk, in the second, while decoding
        Fixture f;
        f.strings.fail_append = when;
        Outcome out = f.run(greedy(ids({1, 2, 3, 4, 5, 6}), 9));
        CHECK(out.last.kind == Event::Kind::kFailed);
        REQUIRE(out.last.error);
        CHECK(out.last.error->code == ErrorCode::kIo);
        CHECK(out.tokens.size() == static_cast<size_t>(std::max(0, when - 1)));
        out = f.run(greedy(ids({1, 2, 3, 4, 5, 6}), 2));
        CHECK(out.last.kind == Event::Kind::kFinished);
        CHECK(out.last.stats.reused_tokens == 0);  // nothing half-done was kept
        CHECK(out.tokens == std::vector<int32_t>{7, 8});
    }
}

TEST_CASE("logits that are no numbers fail the answer and are not kept") {
    Fixture f;
    f.strings.nan = true;
    Outcome out = f.run(greedy(ids({1, 2}), 2));
    CHECK(out.last.kind == Event::Kind::kFailed);
    CHECK(out.last.error->code == ErrorCode::kCorrupt);
    f.strings.nan = false;
    out = f.run(greedy(ids({1, 2}), 2));
    CHECK(out.tokens == std::vector<int32_t>{3, 4});
    CHECK(out.last.stats.reused_tokens == 0);
}

TEST_CASE("cancel stops between two chunks and between two tokens") {
    Fixture f;
    f.strings.gated = true;
    Result<Ticket> ticket =
        f.engine->submit(greedy(ids({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}), 0));
    REQUIRE(ticket.ok());
    f.strings.gate.release();
    CHECK(ticket->next().prefill_done == 4);
    ticket->cancel();
    f.strings.gate.release();  // the second chunk may be running already; a third never starts
    Outcome out = read_all(*ticket);
    CHECK(out.last.reason == FinishReason::kCancelled);
    CHECK(out.tokens.empty());
    CHECK(f.strings.appends <= 2);

    const int before = f.strings.appends;
    ticket = f.engine->submit(greedy(ids({5}), 0));
    REQUIRE(ticket.ok());
    f.strings.gate.release(
        3);  // prefill, two decode steps (one more if the second chunk above never ran)
    while (ticket->next().kind != Event::Kind::kToken) {
    }
    ticket->cancel();
    f.strings.gate.release(2);
    out = read_all(*ticket);
    CHECK(out.last.kind == Event::Kind::kFinished);
    CHECK(out.last.reason == FinishReason::kCancelled);
    CHECK(f.strings.appends - before <= 6);
    // The last event stays.
    CHECK(ticket->next().reason == FinishReason::kCancelled);
    CHECK(ticket->next_within(std::chrono::milliseconds(0))->reason == FinishReason::kCancelled);
}

TEST_CASE("a ticket that goes away cancels; one that waits in the queue makes room") {
    Fixture f;
    f.strings.gated = true;
    std::optional<Ticket> running = *f.engine->submit(greedy(ids({1}), 3));
    while (f.strings.appends == 0) std::this_thread::yield();  // out of the queue
    std::vector<Ticket> waiting;
    for (size_t i = 0; i < Engine::kQueueMax; ++i) {
        Result<Ticket> ticket = f.engine->submit(greedy(ids({2}), 1));
        REQUIRE(ticket.ok());
        waiting.push_back(std::move(*ticket));
    }
    const Error full = f.refused(greedy(ids({2}), 1));
    CHECK(full.code == ErrorCode::kCapacity);
    CHECK(full.message.find("64 requests") != std::string::npos);
    waiting.pop_back();
    Result<Ticket> late = f.engine->submit(greedy(ids({7}), 1));
    REQUIRE(late.ok());
    running.reset();
    f.strings.gated = false;
    f.strings.gate.release(8);
    CHECK(read_all(*late).tokens == std::vector<int32_t>{8});
}

TEST_CASE("a reader that does not read is cancelled when its mailbox is full") {
    Fixture f(1 << 20);
    Result<Ticket> ticket = f.engine->submit(greedy(ids({1}), 10000));
    REQUIRE(ticket.ok());
    while (f.strings.appends < static_cast<int>(Engine::kMailboxMax)) std::this_thread::yield();
    // Another request finishes only after the first was ended.
    CHECK(f.run(greedy(ids({3}), 1)).tokens == std::vector<int32_t>{4});
    const Outcome out = read_all(*ticket);
    CHECK(out.last.kind == Event::Kind::kFailed);
    CHECK(out.last.error->code == ErrorCode::kCapacity);
    CHECK(out.tokens.size() + out.prefill.size() == Engine::kMailboxMax);
}

TEST_CASE("destroying the engine ends what runs and what waits") {
    Fixture f;
    f.strings.gated = true;
    Result<Ticket> running = f.engine->submit(greedy(ids({1}), 0));
    Result<Ticket> waiting = f.engine->submit(greedy(ids({1}), 0));
    while (f.strings.appends == 0) std::this_thread::yield();
    std::jthread destroyer([&] { f.engine.reset(); });
    // The gate opens until the engine has noticed; how many steps it takes is not fixed.
    while (!waiting->next_within(std::chrono::milliseconds(1))) f.strings.gate.release();
    CHECK(read_all(*running).last.reason == FinishReason::kCancelled);
    CHECK(read_all(*waiting).last.reason == FinishReason::kCancelled);
}

TEST_CASE("same seed, same text; another seed, another text") {
    Fixture f;
    Request request = greedy(ids({1, 2, 3}), 40);
    request.sampling.temperature = 20;
    request.sampling.seed = 5;
    const Outcome one = f.run(request);
    CHECK(f.run(request).tokens == one.tokens);
    request.sampling.seed = 6;
    CHECK(f.run(request).tokens != one.tokens);
}
