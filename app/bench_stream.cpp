// A drive that is shared, or that gives what it has saved up, changes its mind within seconds: every slice of a measurement
// stands between two slices of the plain reader on the same files, and share is the median of what they had of those.

#include "app/bench_stream.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <deque>

#include "app/composition.h"
#include "app/plain_reader.h"
#include "core/base/random.h"
#include "core/base/strings.h"
#include "offload/expert_cache.h"

namespace millrace {
namespace {

constexpr double kGiga = 1e-9;

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Bytes and seconds of one slice.
struct Slice {
    double bytes = 0, seconds = 0;
};

class Streamer {
public:
    Streamer(const BenchSetting& setting, const ModelOptions& model, BenchReport& report)
        : setting_(setting), model_(model), report_(report) {}

    Status open() {
        checkpoint_.emplace(TRY(Checkpoint::open(model_.directory)));
        const std::vector<Path>& files = checkpoint_->experts().files();
        const bool tiny = setting_.sizes.drive_bytes <= uint64_t{1} << 20;
        slice_bytes_ = tiny ? uint64_t{1} << 20 : uint64_t{512} << 20;
        plain_ = TRY(PlainReader::open(files, tiny ? uint64_t{64} << 10 : uint64_t{4} << 20));
        return {};
    }

    Status io() {
        if (report_.wants("io.random") || report_.wants("io.cpu")) TRY(random_experts());
        return {};
    }

    Status stream(int64_t prefill) {
        const ModelConfig& config = checkpoint_->config();
        const int32_t all = config.layer_count() * config.experts;
        const uint64_t slot = expert_layout(checkpoint_->experts()).slot_bytes();
        // One layer at work and guesses of the next.
        const int32_t least = std::min(2 * config.experts_per_token + 1, all);
        if (report_.wants("stream.cold")) {
            TRY(decode("stream.cold", static_cast<uint64_t>(least) * slot));
        }
        if (report_.wants("stream.warm")) {
            const uint64_t most = static_cast<uint64_t>(all) * slot;
            const uint64_t budget = model_.ram_budget_bytes.value_or(most / 10 * 8);
            TRY(decode("stream.warm", budget));
        }
        if (report_.wants("stream.prefill") && prefill > 0) {
            // Room for two layers: one at work, one on its way.
            const auto layer = static_cast<uint64_t>(config.experts + 1) * slot;
            TRY(read_prompt(prefill, model_.ram_budget_bytes.value_or(2 * layer)));
        }
        return {};
    }

private:
    // Slices of `run` between slices of the plain reader; a row of the report.
    template <class Run>
    Status measure(const std::string& row, const Run& run) {
        std::vector<double> rates, shares;
        double before = TRY(plain_->read(slice_bytes_, setting_.timing.clock));
        for (int i = 0; i < setting_.timing.repeat; ++i) {
            const Slice slice = TRY(run());
            const double after = TRY(plain_->read(slice_bytes_, setting_.timing.clock));
            rates.push_back(slice.bytes / slice.seconds);
            shares.push_back(rates.back() / ((before + after) / 2));
            before = after;
        }
        const double rate = median(rates);
        report_.add_rate(row, rate * kGiga, "GB/s", rate / median(shares) * kGiga);
        return {};
    }

    // The model's experts in no order, a few batches ahead: what decoding would ask for if it knew.
    Status random_experts() {
        constexpr int32_t kBatch = 4;
        const ExpertLayout layout = expert_layout(checkpoint_->experts());
        const int32_t slots = ExpertCache::kBatchesMax * kBatch + 1;
        ExpertCacheOptions options{
            .ram_budget_bytes = static_cast<uint64_t>(slots) * layout.slot_bytes(),
            .min_slots = 1,
            .backend = model_.runtime.io,
            .direct = model_.runtime.direct_io};
        const auto cache = TRY(ExpertCache::create(layout, options, setting_.timing.clock));
        Random random(7);
        const auto acquire = [&]() -> Result<LeaseBatch> {
            const LayerId layer{
                static_cast<int32_t>(random.below(static_cast<uint64_t>(layout.layers)))};
            std::array<ExpertId, kBatch> ids;
            const auto first = random.below(static_cast<uint64_t>(layout.experts));
            for (uint64_t i = 0; i < ids.size(); ++i) {
                ids[i].value =
                    static_cast<int32_t>((first + i * 7) % static_cast<uint64_t>(layout.experts));
            }
            std::ranges::sort(ids);
            const auto end = std::ranges::unique(ids).begin();
            return cache->acquire(layer, std::span(ids.begin(), end));
        };
        double cpu = 0, bytes = 0;
        const auto run = [&]() -> Result<Slice> {
            const double cpu_before = cpu_seconds();
            const uint64_t begin_bytes = cache->stats().bytes_read;
            const int64_t begin_ns = setting_.timing.clock.now_ns();
            std::deque<LeaseBatch> open;
            uint64_t read = 0;
            while (read < slice_bytes_) {
                while (open.size() + 1 < ExpertCache::kBatchesMax) open.push_back(TRY(acquire()));
                while (TRY(open.front().next())) {
                }
                open.pop_front();
                read = cache->stats().bytes_read - begin_bytes;
            }
            for (LeaseBatch& batch : open) {
                while (TRY(batch.next())) {
                }
            }
            const Slice slice{static_cast<double>(cache->stats().bytes_read - begin_bytes),
                              seconds_since(begin_ns)};
            cpu += cpu_seconds() - cpu_before;
            bytes += slice.bytes;
            return slice;
        };
        TRY(measure("io.random", run));
        constexpr double kCpuMax = 0.05;
        report_.add_time("io.cpu", cpu / (bytes * kGiga), "s/GB", kCpuMax);
        const ExpertCacheStats stats = cache->stats();
        if (stats.bytes_checked > 0) {
            report_.add_time(
                "io.checksum",
                static_cast<double>(stats.check_ns) / static_cast<double>(stats.bytes_checked),
                "s/GB", kCpuMax);
        }
        report_.note(cat(stats.backend,
                         stats.direct ? ", O_DIRECT, " : ", through the page cache, ", stats.drives,
                         " drive(s), experts of ", human_bytes(layout.slot_bytes())));
        return {};
    }

    [[nodiscard]] Result<std::unique_ptr<Runtime>> open_with(uint64_t budget) const {
        ModelOptions model = model_;
        model.ram_budget_bytes = budget;
        model.runtime.context_max = std::min<int64_t>(4096, checkpoint_->config().context_max);
        return open_runtime(model);
    }

    // What was read and used: guesses that nobody wanted do not count.
    static double useful_bytes(const ExpertCacheStats& now, const ExpertCacheStats& before) {
        return static_cast<double>(now.bytes_read - before.bytes_read) -
               static_cast<double>(now.guess_bytes_wasted - before.guess_bytes_wasted) -
               static_cast<double>(now.bytes_called_off - before.bytes_called_off);
    }

    Status decode(const std::string& row, uint64_t budget) {
        const std::unique_ptr<Runtime> runtime = TRY(open_with(budget));
        const ModelConfig& config = runtime->config();
        Session session = TRY(runtime->new_session());
        std::vector<float> logits(static_cast<size_t>(config.vocabulary));
        Random random(3);
        const auto forward = [&]() -> Status {
            const TokenId token{
                static_cast<int32_t>(random.below(static_cast<uint64_t>(config.vocabulary)))};
            return runtime->forward(session, std::span(&token, 1), LogitsWanted::kLast,
                                    {logits.data(), 1, config.vocabulary});
        };
        // Fills the slots, and gives the policy something to go by.
        const int64_t first = setting_.sizes.decode_tokens * 2;
        for (int64_t i = 0; i < first; ++i) TRY(forward());
        const ExpertCacheStats begin = runtime->expert_stats();
        double tokens = 0, seconds = 0;
        const auto run = [&]() -> Result<Slice> {
            const ExpertCacheStats before = runtime->expert_stats();
            const int64_t begin_ns = setting_.timing.clock.now_ns();
            double bytes = 0;
            do {
                TRY(forward());
                ++tokens;
                bytes = useful_bytes(runtime->expert_stats(), before);
            } while (bytes < static_cast<double>(slice_bytes_) && session.length() < 4000);
            const Slice slice{bytes, seconds_since(begin_ns)};
            seconds += slice.seconds;
            return slice;
        };
        TRY(measure(row, run));
        tell(row, *runtime, begin, tokens, seconds);
        return {};
    }

    Status read_prompt(int64_t prefill, uint64_t budget) {
        ModelOptions model = model_;
        model.runtime.prefill_chunk = static_cast<int32_t>(prefill);
        model.runtime.context_max = std::max<int64_t>(prefill, 2);
        model.ram_budget_bytes = budget;
        const std::unique_ptr<Runtime> runtime = TRY(open_runtime(model));
        Session session = TRY(runtime->new_session());
        Random random(3);
        std::vector<TokenId> prompt(static_cast<size_t>(prefill));
        for (TokenId& id : prompt) {
            id.value = static_cast<int32_t>(
                random.below(static_cast<uint64_t>(runtime->config().vocabulary)));
        }
        const ExpertCacheStats begin = runtime->expert_stats();
        double tokens = 0, seconds = 0;
        const auto run = [&]() -> Result<Slice> {
            const ExpertCacheStats before = runtime->expert_stats();
            const int64_t begin_ns = setting_.timing.clock.now_ns();
            session.reset();
            TRY(runtime->forward(session, prompt, LogitsWanted::kNone, {}));
            const Slice slice{useful_bytes(runtime->expert_stats(), before),
                              seconds_since(begin_ns)};
            tokens += static_cast<double>(prefill);
            seconds += slice.seconds;
            return slice;
        };
        TRY(measure("stream.prefill", run));
        tell("stream.prefill", *runtime, begin, tokens, seconds);
        return {};
    }

    // What the rate alone does not say.
    void tell(const std::string& row, const Runtime& runtime, const ExpertCacheStats& begin,
              double tokens, double seconds) {
        const ExpertCacheStats end = runtime.expert_stats();
        const auto since = [](auto now, auto before) { return static_cast<double>(now - before); };
        const double hits = since(end.hits, begin.hits);
        const double asked = hits + since(end.joins, begin.joins) + since(end.misses, begin.misses);
        const double waited = since(end.wait_ns, begin.wait_ns) * kGiga;
        report_.add_part(row + ".hits", 100 * hits / asked, "%", 100);
        report_.add_part(row + ".wait", 1e3 * waited / tokens, "ms/tok", 1e3 * seconds / tokens);
        const auto longest = std::ranges::max_element(end.layer_wait_ns);
        report_.note(cat(
            row, ": ", fixed(tokens / seconds, 2), " tok/s, ", end.slots, " slots, of experts ",
            fixed(100 * since(end.joins, begin.joins) / asked, 1),
            " % were on their way; the drive was busy ",
            fixed(100 * since(end.drive_busy_ns, begin.drive_busy_ns) * kGiga / seconds, 0),
            " % of the time; ",
            human_bytes(static_cast<uint64_t>(since(end.bytes_read, begin.bytes_read) / tokens)),
            " read per token, ", human_bytes(end.guess_bytes_used), " of guesses used, ",
            human_bytes(end.guess_bytes_wasted), " wasted; layer ",
            longest - end.layer_wait_ns.begin(), " waited longest"));
    }

    [[nodiscard]] double seconds_since(int64_t begin_ns) const {
        return static_cast<double>(setting_.timing.clock.now_ns() - begin_ns) * kGiga;
    }

    const BenchSetting& setting_;
    const ModelOptions& model_;
    BenchReport& report_;
    std::optional<Checkpoint> checkpoint_;
    std::unique_ptr<PlainReader> plain_;
    uint64_t slice_bytes_ = 0;
};

}  // namespace

Status bench_io(const BenchSetting& setting, const ModelOptions& model, BenchReport& report) {
    Streamer streamer(setting, model, report);
    TRY(streamer.open());
    return streamer.io();
}

Status bench_stream(const BenchSetting& setting, const ModelOptions& model, int64_t prefill,
                    BenchReport& report) {
    Streamer streamer(setting, model, report);
    TRY(streamer.open());
    return streamer.stream(prefill);
}

}  // namespace millrace
