#include "ui/benchmark.h"

#include <algorithm>
#include <array>

#include "core/base/random.h"
#include "core/base/strings.h"
#include "core/engine/live_feed.h"
#include "ui/plot_scale.h"

namespace millrace {
namespace {

double a_second(int64_t count, int64_t ns) {
    return ns > 0 ? static_cast<double>(count) * 1e9 / static_cast<double>(ns) : 0;
}

}  // namespace

std::string filler_text(int64_t words, uint64_t seed) {
    constexpr std::array<std::string_view, 32> vocabulary = {
        "water", "wheel", "stone",  "river", "mill", "grain", "night", "house",
        "light", "hand",  "road",   "field", "rain", "door",  "wind",  "tree",
        "runs",  "turns", "stands", "falls", "the",  "a",     "and",   "under",
        "over",  "old",   "small",  "white", "slow", "far",   "with",  "to"};
    constexpr int64_t kSentence = 12;
    Random random(seed);
    std::string text;
    for (int64_t i = 0; i < words; ++i) {
        if (i > 0) text += i % kSentence == 0 ? ". " : " ";
        text += vocabulary[random.below(vocabulary.size())];
    }
    return text + ".";
}

std::vector<int64_t> Benchmark::contexts_for(int64_t context_max, int64_t longest) {
    constexpr int64_t kRoom = 256;  // for the template and the answer
    std::vector<int64_t> contexts;
    for (int64_t context = 256; context <= longest; context *= 4) {
        if (context + kRoom <= context_max) contexts.push_back(context);
    }
    if (contexts.empty() && context_max > 1)
        contexts.push_back(std::max<int64_t>(1, context_max / 4));
    return contexts;
}

void Benchmark::start(Desk& desk, const BenchmarkPlan& plan, uint64_t seed) {
    const ModelState& model = desk.state().model;
    if (running() || desk.state().running || model.phase != ModelPhase::kReady) return;
    run_ = {};
    run_.model = model.facts->name;
    run_.memory = cat(model.facts->memory.expert_slots, " of ", model.facts->memory.experts_total,
                      " experts in memory");
    problem_.clear();
    points_.clear();
    if (plan.cold && !plan.contexts.empty()) points_.push_back({plan.contexts.front(), true});
    for (const int64_t context : plan.contexts) points_.push_back({context, false});
    next_ = 0;
    tokens_ = plan.tokens;
    seed_ = seed;
    tokens_a_word_ = 1;
    stopping_ = false;
    if (points_.empty()) return;
    phase_ = Phase::kReady;
    if (plan.cold) {
        phase_ = Phase::kOpening;
        desk.open_model(model.facts->demo ? Path() : model.facts->directory);
    }
}

void Benchmark::stop(Desk& desk) {
    if (!running()) return;
    stopping_ = true;
    if (phase_ == Phase::kAsking) desk.stop();
}

void Benchmark::end(std::string problem) {
    phase_ = Phase::kIdle;
    problem_ = std::move(problem);
    done_ = !run_.points.empty();
}

void Benchmark::tick(Desk& desk, Workshop* workshop) {
    const ModelState& model = desk.state().model;
    if (phase_ == Phase::kOpening) {
        if (model.phase == ModelPhase::kReady) phase_ = Phase::kReady;
        if (model.phase == ModelPhase::kClosed) end(model.text);
    } else if (phase_ == Phase::kAsking && model.phase != ModelPhase::kReady) {
        end("Another model was opened in the middle of it.");
    }
    if (phase_ == Phase::kReady) {
        if (stopping_) {
            end("Stopped: what was measured before is kept.");
        } else if (next_ == points_.size()) {
            end("");
        } else if (!desk.state().running) {
            ask(desk);
        }
    }
    if (done_) {
        done_ = false;
        if (workshop != nullptr) workshop->keep(run_);
    }
}

void Benchmark::ask(Desk& desk) {
    const Point& point = points_[next_];
    words_asked_ = std::max<int64_t>(
        1, static_cast<int64_t>(static_cast<double>(point.context) / tokens_a_word_));
    Ask ask;
    ask.messages.push_back(
        {.role = Role::kUser, .content = filler_text(words_asked_, mix64(seed_ + next_))});
    ask.options.think = "off";
    ask.options.tokens_max = tokens_;
    ask.seed = seed_;
    steps_from_ = 0;
    if (const LiveFeed* feed = desk.feed()) {
        std::vector<StepRecord> before;
        steps_from_ = feed->read_steps(UINT64_MAX, before);
    }
    phase_ = Phase::kAsking;
    const bool asked = desk.probe(std::move(ask), [this, &desk](const ModelReport& report) {
        if (report.kind == ModelReport::Kind::kFinished ||
            report.kind == ModelReport::Kind::kFailed)
            take(desk, report);
    });
    if (!asked) phase_ = Phase::kReady;
}

void Benchmark::take(const Desk& desk, const ModelReport& report) {
    if (phase_ != Phase::kAsking) return;
    if (report.kind == ModelReport::Kind::kFailed) return end(report.text);
    phase_ = Phase::kReady;
    if (report.reason == FinishReason::kCancelled) {
        stopping_ = true;
        return;
    }
    const AnswerStats& stats = report.stats;
    BenchPoint point;
    point.cold = points_[next_].cold;
    point.context = stats.prompt_tokens;
    point.prefill = a_second(stats.prompt_tokens - stats.reused_tokens, stats.prefill_ns);
    // The first token comes out of the prompt.
    point.decode = a_second(std::max<int64_t>(0, stats.generated_tokens - 1), stats.decode_ns);
    int64_t hits = 0, asked = 0;
    if (const LiveFeed* feed = desk.feed()) {
        std::vector<StepRecord> steps;
        feed->read_steps(steps_from_, steps);
        for (const StepRecord& step : steps) {
            if (!step.decode) continue;
            hits += step.hits;
            asked += step.hits + step.misses;
        }
    }
    point.hit_rate = asked > 0 ? static_cast<double>(hits) / static_cast<double>(asked) : 0;
    run_.points.push_back(point);
    // The next text comes nearer to the length that is wanted.
    tokens_a_word_ =
        std::max(0.1, static_cast<double>(stats.prompt_tokens) / static_cast<double>(words_asked_));
    ++next_;
}

std::string Benchmark::text() const {
    if (stopping_ && running()) return "Stopping…";
    if (phase_ == Phase::kOpening) return "Opening the model anew";
    if (!running() || next_ >= points_.size()) return "";
    const Point& point = points_[next_];
    return cat("Point ", next_ + 1, " of ", points_.size(), ": ", count_text(point.context),
               " tokens", point.cold ? ", nothing in memory" : "");
}

double Benchmark::share() const {
    return points_.empty() ? 0 : static_cast<double>(next_) / static_cast<double>(points_.size());
}

}  // namespace millrace
