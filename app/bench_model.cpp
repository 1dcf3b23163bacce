// Prefill and decode of a whole model. The limit of decoding is reading: every byte that a token needs, once. The limit of
// a prompt is arithmetic: its multiply-adds at the peak of the dot product that the activations ask for.

#include "app/bench_model.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "app/composition.h"
#include "core/base/random.h"
#include "core/base/strings.h"
#include "core/engine/kv_fill.h"
#include "core/engine/observer.h"
#include "core/model/inspect.h"
#include "core/model/token_cost.h"

namespace millrace {
namespace {

constexpr std::array<std::string_view, kStepParts> kPartNames = {
    "ends",   "hc",     "projections", "compressor", "indexer",
    "attend", "router", "experts",     "shared",     "wait"};

// Where the time goes, by part.
class PartTimer final : public StepObserver {
public:
    explicit PartTimer(Clock& clock) : clock_(clock) {}

    void begins(StepPart part) override {
        const int64_t now = clock_.now_ns();
        if (part_) spent_[static_cast<size_t>(*part_)] += now - since_;
        part_ = part;
        since_ = now;
    }
    void ends() {
        if (part_) spent_[static_cast<size_t>(*part_)] += clock_.now_ns() - since_;
        part_.reset();
    }
    [[nodiscard]] double seconds(size_t part) const {
        return static_cast<double>(spent_[part]) * 1e-9;
    }

private:
    Clock& clock_;
    std::optional<StepPart> part_;
    int64_t since_ = 0;
    std::array<int64_t, kStepParts> spent_{};
};

// "decode" of the shortest length if that is a short one; "decode.64k", "decode.2000" of others.
std::string context_suffix(int64_t context, int64_t shortest) {
    constexpr int64_t kLong = 65536;
    if (context == shortest && context < kLong) return "";
    return context % 1024 == 0 ? cat(".", context / 1024, "k") : cat(".", context);
}

// The limits of the machine, and what is measured against them.
class ModelTimer {
public:
    ModelTimer(const BenchSetting& setting, const ModelBench& bench, BenchReport& report)
        : setting_(setting), bench_(bench), report_(report), pool_(setting.threads) {}

    Status run() {
        const Inspection inspection = TRY(inspect(bench_.model.directory));
        config_ = inspection.config;
        weight_bytes_ = inspection.token_bytes_total();
        choose_contexts();
        TRY(measure_limits());
        TRY(run_mode(Activations::kFp8, DotProduct::kBf16));
        if (bench_.prefill == 0 || !report_.wants("prefill.int8")) return {};
        if (bench_.model.runtime.ops == "reference") return {};
        return run_mode(Activations::kInt8, DotProduct::kInt8);
    }

private:
    // Those that the model allows, with room for the tokens that are timed.
    void choose_contexts() {
        for (const int64_t context : bench_.contexts) {
            if (context + timed_tokens() <= config_.context_max) {
                contexts_.push_back(context);
            } else {
                report_.note(cat("a context of ", context, " is left out: the model holds ",
                                 config_.context_max, " tokens"));
            }
        }
        std::ranges::sort(contexts_);
        prefill_ = std::min(bench_.prefill, config_.context_max);
    }

    // One to warm up, then `repeat` runs, then one that is watched.
    [[nodiscard]] int64_t timed_tokens() const {
        return setting_.sizes.decode_tokens * (setting_.timing.repeat + 2);
    }

    Status measure_limits() {
        memory_ = TRY(filled_memory(pool_, setting_.sizes.dram_bytes, HugePages::kIfGranted));
        report_.add_rate("dram.read", read_bandwidth(setting_, pool_, memory_.bytes()) * 1e-9,
                         "GB/s", {});
        for (const DotProduct dot : {DotProduct::kBf16, DotProduct::kInt8}) {
            double& peak = peaks_[static_cast<size_t>(dot)];
            peak = dot_peak(setting_, pool_, setting_.isa, dot);
            report_.add_rate(cat("peak.", dot_name(dot)), peak * 1e-9, "GMAC/s", {});
        }
        return {};
    }

    Result<std::unique_ptr<Runtime>> open(Activations activations) const {
        ModelOptions model = bench_.model;
        RuntimeOptions& runtime = model.runtime;
        runtime.cpu.activations = activations;
        runtime.threads = setting_.threads;
        const int64_t longest = contexts_.empty() ? 0 : contexts_.back();
        runtime.context_max = std::max<int64_t>({longest + timed_tokens(), prefill_, 1});
        // A drive is no part of this unless somebody asks for it.
        if (!model.ram_budget_bytes) {
            model.ram_budget_bytes = std::numeric_limits<uint64_t>::max();
        }
        return open_runtime(model);
    }

    // Every expert into its slot, if there are as many slots: what is timed afterwards does not wait for the drive.
    [[nodiscard]] Status bring_experts(Runtime& runtime) const {
        const MemoryPlan& plan = runtime.plan();
        if (plan.expert_slots < plan.experts_total) return {};
        ExpertCache& cache = runtime.step().experts().cache;
        const int32_t batch = std::min(cache.max_batch(), config_.experts);
        std::vector<ExpertId> ids;
        for (int32_t layer = 0; layer < config_.layer_count(); ++layer) {
            for (int32_t first = 0; first < config_.experts; first += batch) {
                ids.clear();
                for (int32_t e = first; e < std::min(first + batch, config_.experts); ++e) {
                    ids.push_back({e});
                }
                LeaseBatch leases = TRY(cache.acquire(LayerId{layer}, ids));
                while (TRY(leases.next())) {
                }
            }
        }
        return {};
    }

    Status run_mode(Activations activations, DotProduct dot) {
        const std::unique_ptr<Runtime> runtime = TRY(open(activations));
        TRY(bring_experts(*runtime));
        logits_.resize(static_cast<size_t>(config_.vocabulary));
        const std::string row = activations == Activations::kFp8 ? "prefill.fp8" : "prefill.int8";
        if (prefill_ > 0 && report_.wants(row)) TRY(time_prefill(*runtime, row, dot));
        if (activations != Activations::kFp8) return {};
        for (const int64_t context : contexts_) {
            const std::string suffix = context_suffix(context, contexts_.front());
            if (report_.wants("decode" + suffix)) TRY(time_decode(*runtime, context, suffix));
        }
        return {};
    }

    Status time_prefill(Runtime& runtime, const std::string& row, DotProduct dot) {
        const std::vector<TokenId> prompt = tokens(prefill_);
        uint64_t hash = 0;
        std::vector<double> runs;
        // The first run touches every page of the weights; it is not counted.
        for (int i = 0; i <= setting_.timing.repeat; ++i) {
            Session session = TRY(runtime.new_session());
            const int64_t begin_ns = setting_.timing.clock.now_ns();
            const auto chunk = static_cast<size_t>(runtime.options().prefill_chunk);
            for (size_t done = 0; done < prompt.size(); done += chunk) {
                const size_t count = std::min(chunk, prompt.size() - done);
                const bool last = done + count == prompt.size();
                TRY(runtime.forward(session, std::span(prompt).subspan(done, count),
                                    last ? LogitsWanted::kLast : LogitsWanted::kNone,
                                    last ? logits_row() : MatrixView<float>()));
            }
            if (i > 0) runs.push_back(seconds_since(begin_ns));
            hash = hash_bytes(std::as_bytes(std::span(logits_)));
        }
        const double limit = static_cast<double>(prefill_) * peaks_[static_cast<size_t>(dot)] /
                             static_cast<double>(prefill_macs(config_, prefill_));
        report_.add_rate(row, static_cast<double>(prefill_) / median(runs), "tok/s", limit, hash);
        return {};
    }

    Status time_decode(Runtime& runtime, int64_t context, const std::string& suffix) {
        Session session = TRY(runtime.new_session());
        TRY(fill_session(session, config_, context, 1));
        const std::vector<TokenId> ids = tokens(timed_tokens());
        const auto a_run = static_cast<size_t>(setting_.sizes.decode_tokens);
        size_t next = 0;
        const auto decode = [&]() -> Result<double> {
            const int64_t begin_ns = setting_.timing.clock.now_ns();
            for (size_t i = 0; i < a_run; ++i) {
                TRY(runtime.forward(session, std::span(ids).subspan(next++, 1), LogitsWanted::kLast,
                                    logits_row()));
            }
            return seconds_since(begin_ns) / static_cast<double>(a_run);
        };
        static_cast<void>(TRY(decode()));
        const uint64_t hash = hash_bytes(std::as_bytes(std::span(logits_)));
        const double bytes =
            static_cast<double>(weight_bytes_ + kv_bytes_read(config_, session.length() - 1));
        // Memory is shared with whoever else is on the machine, and what it gives can change from one second to the next:
        // every run is held against what was read just before and just behind it.
        BenchTiming once = setting_.timing;
        once.repeat = 1;
        const BenchSetting quick = {.timing = once,
                                    .sizes = setting_.sizes,
                                    .isa = setting_.isa,
                                    .threads = setting_.threads};
        std::vector<double> runs, shares;
        double before = read_bandwidth(quick, pool_, memory_.bytes());
        for (int i = 0; i < setting_.timing.repeat; ++i) {
            runs.push_back(TRY(decode()));
            const double after = read_bandwidth(quick, pool_, memory_.bytes());
            shares.push_back(bytes / runs.back() / ((before + after) / 2));
            before = after;
        }
        const double rate = 1 / median(runs);
        report_.add_rate("decode" + suffix, rate, "tok/s", rate / median(shares), hash);

        PartTimer timer(setting_.timing.clock);
        runtime.step().observe(&timer);
        const Result<double> watched = decode();
        runtime.step().observe(nullptr);
        timer.ends();
        const double whole = TRY(watched);
        for (size_t part = 0; part < kStepParts; ++part) {
            const double spent = timer.seconds(part) / static_cast<double>(a_run);
            report_.add_part(cat("part.", kPartNames[part], suffix), spent * 1e6, "us",
                             whole * 1e6);
        }
        return {};
    }

    [[nodiscard]] MatrixView<float> logits_row() { return {logits_.data(), 1, config_.vocabulary}; }
    [[nodiscard]] double seconds_since(int64_t begin_ns) const {
        return static_cast<double>(setting_.timing.clock.now_ns() - begin_ns) * 1e-9;
    }
    [[nodiscard]] std::vector<TokenId> tokens(int64_t count) const {
        Random random(3);
        std::vector<TokenId> ids(static_cast<size_t>(count));
        for (TokenId& id : ids) {
            id.value =
                static_cast<int32_t>(random.below(static_cast<uint64_t>(config_.vocabulary)));
        }
        return ids;
    }

    const BenchSetting& setting_;
    const ModelBench& bench_;
    BenchReport& report_;
    ModelConfig config_;
    uint64_t weight_bytes_ = 0;
    std::vector<int64_t> contexts_;
    int64_t prefill_ = 0;
    Pool pool_;  // reads memory_ beside the model's own threads
    PageBuffer memory_;
    std::array<double, 3> peaks_{};
    std::vector<float> logits_;
};

}  // namespace

Status bench_model(const BenchSetting& setting, const ModelBench& bench, BenchReport& report) {
    return ModelTimer(setting, bench, report).run();
}

}  // namespace millrace
