// A request that is stopped, in the middle of a chunk or of a token, loses nothing but that: the next one goes on from
// the last whole chunk or token, and its bits and its draws are those of a request that nobody stopped.

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <semaphore>
#include <utility>

#include "core/base/random.h"
#include "core/engine/kv_identity.h"
#include "tests/support/archive_world.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"
#include "tests/support/watched_model.h"

namespace millrace::test {
namespace {

// Says no at the question number `stop_at`.
class Stopper final : public StepWatch {
public:
    explicit Stopper(int64_t stop_at) : stop_at_(stop_at) {}
    bool cancelled() const override { return asked_++ == stop_at_; }
    int64_t asked() const { return asked_; }

private:
    int64_t stop_at_;
    mutable int64_t asked_ = 0;
};

struct Setting {
    int32_t chunk = 64;
    int32_t rollback = 8;
    uint64_t budget = 0;  // for experts; 0: all
};

// A small model with every kind of layer, and a text.
struct World {
    World() {
        const Json config = small_config();
        write_checkpoint(directory.path(), config, synthetic_tensors(config), 1);
        for (int i = 0; i < 600; ++i) tokens.push_back({static_cast<int32_t>(random.below(60))});
    }
    RuntimeOptions options(const Setting& setting) const {
        RuntimeOptions options = tiny_options();
        options.ops = "cpu";
        options.threads = 1;
        options.prefill_chunk = setting.chunk;
        options.rollback_tokens = setting.rollback;
        options.ram_budget_bytes = setting.budget;
        return options;
    }
    std::unique_ptr<Runtime> open(const Setting& setting) const {
        return open_runtime(directory.path(), options(setting));
    }
    std::unique_ptr<SequenceModel> model(const Setting& setting, const ArchiveUse& use = {}) const {
        auto model = make_sequence_model(open(setting), use);
        REQUIRE(model.ok());
        return *std::move(model);
    }
    Request request(size_t prompt, int64_t tokens_max) const {
        Request request;
        request.prompt.assign(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(prompt));
        request.tokens_max = tokens_max;
        request.sampling.seed = 77;
        return request;
    }

    TempDirectory directory;
    Random random{11};
    std::vector<TokenId> tokens;
};

int64_t finished_tokens(std::span<const StepRecord> steps) {
    int64_t total = 0;
    for (const StepRecord& step : steps) total += step.finished ? step.tokens : 0;
    return total;
}

}  // namespace

TEST_CASE("a step that is stopped anywhere leaves the session as it was, to the last bit") {
    World world;
    constexpr int64_t kText = 420;
    const auto text = std::span(world.tokens).first(kText);
    // Chunks that fit into the rollback, that overwrite a part of the rings, all of the small ones, and all of all.
    for (const Setting setting : {Setting{16, 16}, Setting{40, 8}, Setting{150, 8}, Setting{300, 0},
                                  Setting{300, 64, 300'000}}) {
        CAPTURE(setting.chunk);
        CAPTURE(setting.rollback);
        const auto runtime = world.open(setting);
        const auto vocabulary = static_cast<size_t>(runtime->config().vocabulary);
        Session whole = new_session(*runtime);
        const auto expected = all_logits(*runtime, whole, text, {setting.chunk});
        Session session = new_session(*runtime);
        Random random(static_cast<uint64_t>(setting.chunk));
        int64_t stopped = 0;
        while (session.length() < kText) {
            const int64_t before = session.length();
            const int64_t longest = std::min<int64_t>(setting.chunk, kText - before);
            // Other tokens than the text's, so that what they leave behind would show.
            std::vector<TokenId> other(static_cast<size_t>(longest), TokenId{61});
            for (int64_t stop_at = 0;; stop_at += 1 + static_cast<int64_t>(random.below(9))) {
                Stopper stopper(stop_at);
                runtime->step().watch(&stopper);
                const Status status = runtime->forward(session, other, LogitsWanted::kNone, {});
                runtime->step().watch(nullptr);
                if (status.ok()) break;
                CHECK(status.error().code == ErrorCode::kCancelled);
                CHECK(stopper.asked() == stop_at + 1);
                REQUIRE(session.length() == before);
                ++stopped;
                if (random.below(3) == 0) break;
            }
            if (session.length() > before) {
                // Nobody stopped it; it is taken back where that is possible.
                if (!session.can_roll_back_to(before)) {
                    session.reset();
                    (void)all_logits(*runtime, session, text.first(static_cast<size_t>(before)),
                                     {setting.chunk});
                } else {
                    session.roll_back(before);
                }
            }
            // What could be gone back to still can be.
            const int64_t back = std::min<int64_t>(setting.rollback / 2, before);
            if (session.can_roll_back_to(before - back)) session.roll_back(before - back);
            const auto first = static_cast<size_t>(session.length());
            const auto n = static_cast<size_t>(std::min<int64_t>(
                kText - session.length(),
                back + 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(longest)))));
            const auto logits =
                all_logits(*runtime, session, text.subspan(first, n), {setting.chunk});
            const bool same =
                std::equal(logits.begin(), logits.end(),
                           expected.begin() + static_cast<ptrdiff_t>(first * vocabulary));
            REQUIRE_MESSAGE(same, "tokens ", first, " to ", first + n - 1);
        }
        CHECK(stopped > 5);
    }
}

TEST_CASE(
    "a prompt that is stopped in a chunk keeps its whole chunks, and the answer is the same") {
    World world;
    const Request request = world.request(330, 12);
    for (const Setting setting : {Setting{128, 8}, Setting{64, 64}, Setting{128, 8, 300'000}}) {
        Answerer answerer(world.model(setting));
        const Answered whole = answerer.run(request);
        REQUIRE(whole.tokens.size() == 12);
        answerer.model.reset();
        Request prompt_only = request;
        prompt_only.tokens_max = 1;
        (void)answerer.run(prompt_only);
        const int64_t questions = answerer.questions;
        Random random(3);
        for (int i = 0; i < 6; ++i) {
            answerer.model.reset();
            const auto stop_at =
                static_cast<int64_t>(random.below(static_cast<uint64_t>(questions)));
            CAPTURE(stop_at);
            const uint64_t from = answerer.steps().back().number + 1;
            const Answered stopped = answerer.run(request, stop_at);
            CHECK(stopped.last.reason == FinishReason::kCancelled);
            CHECK(answerer.questions == stop_at + 1);  // nothing was asked after the no
            const auto steps = answerer.steps(from);
            CHECK_FALSE(steps.back().finished);
            const int64_t kept = finished_tokens(steps);
            const Answered again = answerer.run(request);
            CHECK(again.last.stats.reused_tokens == kept);
            CHECK(again.tokens == whole.tokens);
        }
    }
}

TEST_CASE("an answer that is stopped and continued is the answer, token for token") {
    World world;
    constexpr int64_t kTokens = 40;
    Answerer answerer(world.model({64, 8}));
    for (const SamplingParams& params :
         {SamplingParams{.temperature = 0, .frequency_penalty = 1.5F}, SamplingParams{},
          SamplingParams{.presence_penalty = 1, .frequency_penalty = 0.7F},
          SamplingParams{.temperature = 1.3F,
          .top_k = 30,
          .top_p = 0.9F,
          .repetition_penalty = 1.3F,
          .frequency_penalty = 0.5F},
          SamplingParams{.min_p = 0.01F}}) {
        Request request = world.request(100, kTokens);
        request.sampling = params;
        request.sampling.seed = 5;
        answerer.model.reset();
        const Answered whole = answerer.run(request);
        REQUIRE(whole.tokens.size() == kTokens);
        Random random(8);
        for (int round = 0; round < 4; ++round) {
            std::vector<TokenId> tokens;
            int stops = 0;
            while (true) {
                Request next = request;
                next.prompt.insert(next.prompt.end(), tokens.begin(), tokens.end());
                next.generated = static_cast<int64_t>(tokens.size());
                next.tokens_max = kTokens - next.generated;
                const bool last = stops == 3;
                const Answered part =
                    answerer.run(next, last ? -1 : 60 + static_cast<int64_t>(random.below(300)));
                tokens.insert(tokens.end(), part.tokens.begin(), part.tokens.end());
                CHECK(part.last.stats.generated_tokens == static_cast<int64_t>(part.tokens.size()));
                if (part.last.reason != FinishReason::kCancelled) break;
                ++stops;
            }
            CHECK(stops > 0);
            CHECK(tokens == whole.tokens);
        }
    }
}

TEST_CASE("what was stopped goes on after a restart, out of the archive") {
    World world;
    SimulatedDisk disk(1);
    SeededEntropy entropy(2);
    SetCalendar calendar;
    const Setting setting{128, 8};
    const Request request = world.request(580, 10);
    Answerer resident(world.model(setting));
    const Answered whole = resident.run(request);
    const auto identity = kv_identity(world.directory.path(), world.options(setting));
    REQUIRE(identity.ok());
    const auto start = [&](KvArchive& archive) {
        return Answerer(world.model(setting, {&archive, *identity, "small"}));
    };
    const auto open = [&] {
        auto opened =
            KvArchive::open({disk, entropy, calendar}, archive_key(1), {"/kv", uint64_t{1} << 32});
        REQUIRE(opened.ok());
        return *std::move(opened);
    };
    int64_t kept = 0;
    {
        const auto archive = open();
        Answerer first = start(*archive);
        // In the third chunk; the model's destructor writes what it was given.
        const Answered stopped = first.run(request, resident.questions * 2 / 5);
        CHECK(stopped.last.reason == FinishReason::kCancelled);
        kept = finished_tokens(first.steps());
        CHECK(kept > 0);
        CHECK(kept < 580);
        CHECK_FALSE(first.steps().back().finished);
    }
    const auto archive = open();
    Answerer second = start(*archive);
    const Answered again = second.run(request);
    CHECK(again.last.stats.archived_tokens == kept / 128 * 128);
    CHECK(again.last.stats.archived_tokens > 0);
    CHECK(again.tokens == whole.tokens);
    CHECK(second.logits == resident.logits);
}

TEST_CASE("a ticket that is cancelled stops the engine within a layer") {
    World world;
    auto model = std::make_unique<WatchedModel>(world.model({512, 8}));
    std::optional<Ticket> ticket;
    int after = 0;
    std::binary_semaphore submitted{0};
    bool waited = false;
    model->on_place = [&](const StepPlace& place) {
        if (!std::exchange(waited, true)) submitted.acquire();
        if (place.layer == 1 && place.experts_done == 0) ticket->cancel();
        after += place.layer > 1 ? 1 : 0;
    };
    const auto engine = Engine::start(std::move(model));
    auto result = engine->submit(world.request(512, 10));
    REQUIRE(result.ok());
    ticket.emplace(*std::move(result));
    submitted.release();
    Event event;
    do event = ticket->next();
    while (event.kind == Event::Kind::kPrefill);
    CHECK(event.reason == FinishReason::kCancelled);
    CHECK(after == 0);
}

TEST_CASE("while a chunk is computed the progress moves on, up to its end and never back") {
    World world;
    Answerer answerer(world.model({128, 8}));
    std::vector<int64_t> seen;
    answerer.model.on_place = [&](const StepPlace&) {
        const LiveState state = answerer.feed.state();
        if (state.doing == LiveState::Doing::kPrefill) seen.push_back(state.prompt_done);
    };
    const Answered answered = answerer.run(world.request(300, 1));
    CHECK(answered.last.stats.prompt_tokens == 300);
    CHECK(std::ranges::is_sorted(seen));
    CHECK(seen.back() < 300);  // the last expert is not the whole chunk
    const auto end = std::unique(seen.begin(), seen.end());
    const auto different = end - seen.begin();
    CHECK(different > 3 * 2 * answerer.model.config().layer_count());
}

TEST_CASE("an answer that goes on must lie in the prompt") {
    World world;
    const auto engine = Engine::start(world.open({64, 8}));
    REQUIRE(engine.ok());
    for (const int64_t generated : {-1, 10, 11}) {
        Request request = world.request(10, 1);
        request.generated = generated;
        const auto ticket = (*engine)->submit(request);
        REQUIRE(!ticket.ok());
        CHECK(ticket.error().message.find(std::to_string(generated)) != std::string::npos);
    }
}

}  // namespace millrace::test
