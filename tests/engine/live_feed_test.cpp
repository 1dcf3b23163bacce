// What the feed says is what happened: against the answer's own numbers, the router, and a cache's counters; and readers
// at full speed see whole records or none.

#include "core/engine/live_feed.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <thread>

#include "core/base/random.h"
#include "tests/support/feed_model.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"
#include "tests/support/watched_model.h"

namespace millrace::test {
namespace {

// A small model whose experts stream, and requests for it.
struct World {
    World() {
        const Json config = small_config();
        write_checkpoint(directory.path(), config, synthetic_tensors(config), 1);
    }
    std::unique_ptr<Runtime> open() const {
        RuntimeOptions options = tiny_options();
        options.ops = "cpu";
        options.threads = 1;
        options.prefill_chunk = 64;
        const uint64_t all = open_runtime(directory.path(), options)->plan().expert_bytes;
        options.ram_budget_bytes = all / 2;
        return open_runtime(directory.path(), options);
    }
    std::unique_ptr<SequenceModel> model() const {
        auto model = make_sequence_model(open(), {});
        REQUIRE(model.ok());
        return *std::move(model);
    }
    Request request(int64_t prompt, int64_t tokens_max) {
        Request request;
        for (int64_t i = 0; i < prompt; ++i) {
            request.prompt.push_back({static_cast<int32_t>(random.below(60))});
        }
        request.tokens_max = tokens_max;
        return request;
    }
    TempDirectory directory;
    Random random{4};
};

// A record all of whose fields follow from one number.
StepRecord record_of(uint64_t i) {
    StepRecord record;
    record.request = i;
    record.position = static_cast<int64_t>(i * 3);
    record.tokens = static_cast<int32_t>(i % 1000);
    record.decode = i % 4 != 0;
    record.part_ns.fill(static_cast<int64_t>(i));
    record.drive_bytes = i * 7;
    return record;
}
bool whole(const StepRecord& record) {
    const StepRecord want = record_of(record.number);
    return record.request == want.request && record.position == want.position &&
           record.tokens == want.tokens && record.decode == want.decode &&
           record.part_ns == want.part_ns && record.drive_bytes == want.drive_bytes;
}
std::vector<int16_t> experts_of_number(uint64_t i, size_t count) {
    std::vector<int16_t> out(count);
    std::iota(out.begin(), out.end(), static_cast<int16_t>(i % 20000));
    return out;
}

}  // namespace

TEST_CASE("the records of an answer add up to its stats, and to those of the cache") {
    World world;
    Answerer answerer(world.model());
    const uint64_t layers = static_cast<uint64_t>(answerer.model.config().layer_count());
    uint64_t read = 0, wanted = 0;
    for (const uint64_t request : {0u, 1u, 2u}) {
        const Answered answered = answerer.run(world.request(150, 20));
        const AnswerStats& stats = answered.last.stats;
        std::vector<StepRecord> steps;
        read = answerer.feed.read_steps(read, steps);
        REQUIRE(steps.size() == 3 + 19);
        StepRecord sum;
        sum.hits = sum.misses = 0;
        int64_t at = 0, prefill_ns = 0, decode_ns = 0;
        for (const StepRecord& step : steps) {
            CHECK(step.request == request);
            CHECK(step.finished);
            CHECK(step.decode == (at >= 150));
            CHECK(step.position == at);
            at += step.tokens;
            CHECK(step.number == wanted++);
            CHECK(std::accumulate(step.part_ns.begin(), step.part_ns.end(), int64_t{0}) ==
                  step.step_ns);
            for (const StepPart part :
                 {StepPart::kEnds, StepPart::kHyperConnections, StepPart::kProjections,
                  StepPart::kAttend, StepPart::kRouter, StepPart::kExperts, StepPart::kShared}) {
                CHECK(step.part_ns[static_cast<size_t>(part)] > 0);
            }
            (step.decode ? decode_ns : prefill_ns) += step.step_ns;
            sum.hits += step.hits;
            sum.misses += step.misses;
            sum.drive_bytes += step.drive_bytes;
            sum.drive_busy_ns += step.drive_busy_ns;
        }
        CHECK(at == 150 + 19);
        CHECK(sum.hits == stats.expert_hits);
        CHECK(sum.misses == stats.expert_misses);
        CHECK(sum.misses > 0);
        CHECK(sum.drive_bytes == stats.drive_bytes);
        CHECK(sum.drive_busy_ns == stats.drive_busy_ns);
        CHECK(prefill_ns <= stats.prefill_ns);
        CHECK(decode_ns <= stats.decode_ns);
    }
    const ExpertCacheStats cache = answerer.feed.cache();
    LayerCount sum;
    REQUIRE(answerer.feed.layers().size() >= layers);
    for (const LayerCount& layer : answerer.feed.layers()) {
        sum.hits += layer.hits;
        sum.misses += layer.misses;
        sum.wait_ns += layer.wait_ns;
    }
    CHECK(sum.hits == cache.hits);
    CHECK(sum.misses == cache.misses + cache.joins);
    CHECK(sum.wait_ns == cache.wait_ns);
    CHECK(answerer.feed.memory().expert_bytes > 0);
    // Reads were seen on their way, not only when all had ended.
    const auto steps = answerer.steps();
    CHECK(std::ranges::any_of(
        steps, [](const StepRecord& s) { return s.reads_in_flight + s.reads_waiting > 0; }));
}

TEST_CASE("the experts of a decoded token are those that the router chose") {
    World world;
    Answerer answerer(world.model());
    const size_t count = answerer.feed.experts_a_token();
    const auto k = static_cast<size_t>(answerer.model.config().experts_per_token);
    CHECK(count == static_cast<size_t>(answerer.model.config().layer_count()) * k);
    std::vector<std::vector<int16_t>> routed;  // by step
    answerer.model.on_routed = [&](LayerId layer, MatrixView<const int32_t> ids) {
        if (layer.value == 0) routed.emplace_back(count, int16_t{-1});
        const auto row = ids.row(0);
        std::ranges::transform(
            row,
            routed.back().begin() + static_cast<ptrdiff_t>(static_cast<size_t>(layer.value) * k),
            [](int32_t id) { return static_cast<int16_t>(id); });
    };
    (void)answerer.run(world.request(100, 30));
    (void)answerer.run(world.request(50, 30));
    const auto steps = answerer.steps();
    REQUIRE(routed.size() == steps.size());
    size_t decoded = 0;
    for (const StepRecord& step : steps) {
        std::vector<int16_t> experts(count, -2);
        REQUIRE(answerer.feed.experts_of(step.number, experts) == step.decode);
        if (!step.decode) continue;
        CHECK(experts == routed[step.number]);
        CHECK(step.token == decoded++);
    }
    CHECK(decoded == 58);
    std::vector<int16_t> experts(count);
    CHECK_FALSE(answerer.feed.experts_of(steps.size(), experts));
}

TEST_CASE("the state: idle, the prompt as it is read, the answer as it comes") {
    World world;
    Answerer answerer(world.model());
    CHECK(answerer.feed.state().doing == LiveState::Doing::kIdle);
    std::vector<LiveState> seen;
    answerer.model.on_place = [&](const StepPlace&) { seen.push_back(answerer.feed.state()); };
    const Request request = world.request(130, 5);
    (void)answerer.run(request);
    REQUIRE_FALSE(seen.empty());
    int64_t generated = 0, done = 0;
    for (const LiveState& state : seen) {
        CHECK(state.request == 0);
        CHECK(state.prompt_tokens == 130);
        CHECK(state.began_ns > 0);
        CHECK((state.doing == LiveState::Doing::kDecode) == (state.generated_tokens > 0));
        CHECK(state.prompt_done >= done);
        CHECK(state.generated_tokens >= generated);
        done = state.prompt_done;
        generated = state.generated_tokens;
    }
    CHECK(done == 130);
    CHECK(generated == 4);
    const LiveState idle = answerer.feed.state();
    CHECK(idle.doing == LiveState::Doing::kIdle);
    CHECK(idle.generated_tokens == 5);
    seen.clear();
    (void)answerer.run(request);
    CHECK(seen.back().request == 1);
    CHECK(seen.back().reused_tokens == 129);
}

TEST_CASE("of more steps than are kept the newest are there, however they are read") {
    const FeedModel shape(5, 3);
    LiveFeed feed(shape);
    constexpr uint64_t kSteps = 2 * LiveFeed::kStepsMax + 123;
    std::vector<StepRecord> in_pieces;
    uint64_t next = 0;
    for (uint64_t i = 0; i < kSteps; ++i) {
        feed.add(record_of(i), experts_of_number(i, 15));
        if (i % 1000 == 999) next = feed.read_steps(next, in_pieces);
    }
    next = feed.read_steps(next, in_pieces);
    CHECK(next == kSteps);
    REQUIRE(in_pieces.size() == kSteps);
    for (uint64_t i = 0; i < kSteps; ++i) {
        CHECK(in_pieces[i].number == i);
        CHECK(whole(in_pieces[i]));
    }
    std::vector<StepRecord> late;
    CHECK(feed.read_steps(0, late) == kSteps);
    REQUIRE(late.size() == LiveFeed::kStepsMax);
    CHECK(late.front().number == kSteps - LiveFeed::kStepsMax);
    CHECK(feed.read_steps(kSteps, late) == kSteps);
    CHECK(feed.read_steps(kSteps + 9, late) == kSteps);
    CHECK(late.size() == LiveFeed::kStepsMax);
    // Three of four steps are tokens.
    uint64_t found = 0;
    for (uint64_t i = 0; i < kSteps; ++i) {
        std::vector<int16_t> experts(15);
        if (!feed.experts_of(i, experts)) continue;
        CHECK(experts == experts_of_number(i, 15));
        CHECK(i % 4 != 0);
        ++found;
    }
    CHECK(found == LiveFeed::kTokensMax);
}

TEST_CASE("a step is found by its request and position, or it is said why not") {
    using Kind = LiveFeed::FoundStep::Kind;
    const FeedModel shape(5, 3);
    LiveFeed feed(shape);
    CHECK(feed.find_step(0, 0).kind == Kind::kNone);
    // Each request: a prompt of 100 in two chunks, then 20 tokens, the last of which is never taken in.
    constexpr uint64_t kRequests = 300;
    for (uint64_t request = 0; request < kRequests; ++request) {
        for (const int64_t position : {0, 60}) {
            StepRecord record;
            record.request = request;
            record.position = position;
            feed.add(record, {});
        }
        for (int64_t position = 100; position < 119; ++position) {
            StepRecord record;
            record.request = request;
            record.position = position;
            record.decode = true;
            feed.add(record, experts_of_number(0, 15));
        }
    }
    const uint64_t oldest = kRequests * 21 - LiveFeed::kStepsMax;
    for (uint64_t request = 0; request < kRequests; ++request) {
        for (int64_t position = 100; position < 119; ++position) {
            const uint64_t number = request * 21 + 2 + static_cast<uint64_t>(position - 100);
            const LiveFeed::FoundStep found = feed.find_step(request, position);
            REQUIRE(found.kind == (number >= oldest ? Kind::kFound : Kind::kGone));
            if (number < oldest) continue;
            CHECK(found.record.number == number);
            CHECK(found.record.request == request);
            CHECK(found.record.position == position);
        }
    }
    CHECK(feed.find_step(kRequests - 1, 119).kind == Kind::kNone);
    CHECK(feed.find_step(kRequests - 2, 119).kind == Kind::kNone);
    CHECK(feed.find_step(kRequests - 1, 60).kind == Kind::kNone);  // a chunk is no token
    CHECK(feed.find_step(kRequests, 100).kind == Kind::kNone);
    CHECK(feed.find_step(0, 119).kind == Kind::kGone);
}

TEST_CASE("readers at full speed beside the writer see whole records only") {
    const FeedModel shape(5, 3);
    LiveFeed feed(shape);
    constexpr uint64_t kSteps = 60'000;
    std::atomic<bool> over{false};
    std::atomic<uint64_t> broken{0};
    std::vector<uint64_t> seen(2);
    std::vector<std::jthread> readers;
    for (size_t r = 0; r < seen.size(); ++r) {
        readers.emplace_back([&, r] {
            std::vector<StepRecord> steps;
            std::vector<int16_t> experts(15);
            uint64_t next = 0;
            while (true) {
                const bool last = over;
                steps.clear();
                // One reader keeps up, the other always asks for the oldest, which is about to be written over.
                next = feed.read_steps(r == 0 ? next : 0, steps);
                for (const StepRecord& step : steps) {
                    broken += whole(step) ? 0 : 1;
                    if (r == 1 || !step.decode) continue;
                    if (feed.experts_of(step.number, experts)) {
                        broken += experts == experts_of_number(step.number, 15) ? 0 : 1;
                    }
                }
                seen[r] += steps.size();
                const LiveState state = feed.state();
                broken += state.prompt_done == state.prompt_tokens * 2 ? 0 : 1;
                if (last) return;
            }
        });
    }
    for (uint64_t i = 0; i < kSteps; ++i) {
        feed.add(record_of(i), experts_of_number(i, 15));
        const auto n = static_cast<int64_t>(i);
        feed.set({.prompt_tokens = n, .prompt_done = 2 * n});
    }
    over = true;
    readers.clear();
    CHECK(broken == 0);
    CHECK(seen[0] >= LiveFeed::kStepsMax);
    CHECK(seen[1] >= LiveFeed::kStepsMax);
}

TEST_CASE("an engine is read while it answers") {
    World world;
    const auto engine = Engine::start(world.open());
    REQUIRE(engine.ok());
    const LiveFeed& live = (*engine)->live();
    std::atomic<bool> over{false};
    std::vector<StepRecord> steps;
    uint64_t looks = 0, answering = 0;
    std::jthread reader([&] {
        std::vector<int16_t> experts(live.experts_a_token());
        for (uint64_t next = 0;;) {
            const bool last = over;
            next = live.read_steps(next, steps);
            if (!steps.empty()) (void)live.experts_of(steps.back().number, experts);
            answering += live.state().doing != LiveState::Doing::kIdle ? 1 : 0;
            looks += live.layers().size() > 1 && live.cache().slots > 0 ? 1 : 0;
            looks += (*engine)->expert_stats().slots > 0 ? 1 : 0;
            if (last) return;
        }
    });
    int64_t tokens = 0;
    for (int i = 0; i < 3; ++i) {
        auto ticket = (*engine)->submit(world.request(100, 20));
        REQUIRE(ticket.ok());
        for (Event event = ticket->next(); event.kind != Event::Kind::kFinished;) {
            tokens += event.kind == Event::Kind::kToken ? 1 : 0;
            event = ticket->next();
        }
    }
    over = true;
    reader.join();
    CHECK(tokens == 60);
    CHECK(steps.size() == 3 * (2 + 19));
    CHECK(answering > 0);
    CHECK(looks > 1);
    CHECK(live.state().doing == LiveState::Doing::kIdle);
}

}  // namespace millrace::test
