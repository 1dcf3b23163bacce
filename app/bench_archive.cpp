#include "app/bench_archive.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>

#include "app/archive.h"
#include "app/composition.h"
#include "core/base/random.h"
#include "core/base/strings.h"
#include "core/engine/kv_identity.h"
#include "core/engine/session_archive.h"

namespace millrace {
namespace {

constexpr int64_t kPage = static_cast<int64_t>(KvArchive::kPageTokens);

class ArchiveTimer {
public:
    ArchiveTimer(const BenchSetting& setting, const ArchiveBench& bench, BenchReport& report)
        : setting_(setting), bench_(bench), report_(report) {}

    Status run() {
        TRY(open());
        TRY(compute());
        TRY(load());
        return report_sizes();
    }

private:
    Status open() {
        ModelOptions model = bench_.model;
        model.runtime.threads = setting_.threads;
        model.runtime.rollback_tokens = static_cast<int32_t>(kPage);
        tokens_ = std::max(kPage, bench_.tokens / kPage * kPage);
        if (!model.ram_budget_bytes) {
            model.ram_budget_bytes = std::numeric_limits<uint64_t>::max();
        }
        // Behind the known beginning one more token, whose logits are compared.
        model.runtime.context_max = tokens_ + kPage;
        runtime_ = TRY(open_runtime(model));
        Random random(3);
        prompt_.resize(static_cast<size_t>(tokens_) + 1);
        const auto vocabulary = static_cast<uint64_t>(runtime_->config().vocabulary);
        for (TokenId& id : prompt_) id.value = static_cast<int32_t>(random.below(vocabulary));
        constexpr uint64_t kPlenty = uint64_t{1} << 40;
        home_ = TRY(ArchiveHome::open(
            bench_.directory, {.directory = bench_.directory / "kv", .budget_bytes = kPlenty}));
        use_ = {
            .archive = &home_->archive(),
            .identity = TRY(kv_identity(model.directory, runtime_->options())),
            .label = "bench"
        };
        return {};
    }

    Result<std::vector<float>> last_logits(Session& session) {
        std::vector<float> logits(static_cast<size_t>(runtime_->config().vocabulary));
        TRY(runtime_->forward(session, std::span(prompt_).last(1), LogitsWanted::kLast,
                              {logits.data(), 1, runtime_->config().vocabulary}));
        return logits;
    }
    [[nodiscard]] Result<std::unique_ptr<SessionArchive>> link() {
        return SessionArchive::create(use_, runtime_->config(), runtime_->options().context_max);
    }

    // Once: computing a long beginning takes minutes where a model streams.
    Status compute() {
        const std::unique_ptr<SessionArchive> archive = TRY(link());
        Session session = TRY(runtime_->new_session());
        const auto chunk = static_cast<size_t>(runtime_->options().prefill_chunk);
        const auto beginning = std::span(prompt_).first(static_cast<size_t>(tokens_));
        if (archive->keep(session, prompt_).tokens != 0) {
            return Error{ErrorCode::kInvalid,
                         cat(bench_.directory.string(), " holds the beginning already")};
        }
        int64_t computed_ns = 0;
        for (size_t done = 0; done < beginning.size(); done += chunk) {
            const auto piece = beginning.subspan(done, std::min(chunk, beginning.size() - done));
            const int64_t begin_ns = setting_.timing.clock.now_ns();
            TRY(runtime_->forward(session, piece, LogitsWanted::kNone, {}));
            computed_ns += setting_.timing.clock.now_ns() - begin_ns;
            archive->store(session);
            // The rings of a benchmark must not drop anything; a person's next message comes later than this.
            archive->settle();
            archive->store(session);
        }
        archive->settle();
        computed_ = static_cast<double>(computed_ns) * 1e-9;
        expected_ = TRY(last_logits(session));
        return {};
    }

    Status load() {
        std::vector<double> runs, plain;
        for (int i = 0; i < setting_.timing.repeat; ++i) {
            const std::unique_ptr<SessionArchive> archive = TRY(link());
            Session session = TRY(runtime_->new_session());
            const int64_t begin_ns = setting_.timing.clock.now_ns();
            const KeptTokens kept = archive->keep(session, prompt_);
            runs.push_back(seconds_since(begin_ns));
            if (kept.archived != tokens_) {
                return Error{ErrorCode::kIo, cat("the archive gave ", kept.archived, " of ",
                                                 tokens_, " tokens; is the disk full?")};
            }
            const std::vector<float> logits = TRY(last_logits(session));
            if (std::memcmp(logits.data(), expected_.data(), logits.size() * sizeof(float)) != 0) {
                return Error{ErrorCode::kCorrupt,
                             "what came out of the archive goes on with other bits than what was "
                             "computed"};
            }
            plain.push_back(TRY(read_plainly()));
        }
        const double loaded = median(runs);
        report_.add_time("archive.prefill", computed_ * 1e3, "ms", {});
        report_.add_time("archive.load", loaded * 1e3, "ms", median(plain) * 1e3,
                         hash_bytes(std::as_bytes(std::span(expected_))));
        report_.add_rate("archive.gain", computed_ / loaded, "x", {});
        report_.note(cat(tokens_, " tokens loaded, the next one's logits compared bit for bit"));
        return {};
    }

    [[nodiscard]] Result<std::vector<Path>> files(std::string_view ending) {
        std::vector<Path> out;
        for (const std::string& name : TRY(disk_.list(bench_.directory / "kv"))) {
            if (name.ends_with(ending)) out.push_back(bench_.directory / "kv" / name);
        }
        return out;
    }

    // What a load reads, by somebody who only reads, one file behind the other.
    Result<double> read_plainly() {
        std::vector<Path> wanted = TRY(files(".rows"));
        wanted.push_back(TRY(files(".edge")).front());
        const PageBuffer room = TRY(PageBuffer::create(uint64_t{64} << 20, HugePages::kNo));
        const int64_t begin_ns = setting_.timing.clock.now_ns();
        for (const Path& path : wanted) {
            const std::unique_ptr<DiskFile> file =
                TRY(disk_.open(path, OpenFor::kReading, Through::kDrive));
            const uint64_t bytes = std::min<uint64_t>(TRY(file->size()), room.bytes().size());
            TRY(file->read(0, room.bytes().first(bytes)));
        }
        return seconds_since(begin_ns);
    }

    // Of one file, on the average.
    Result<double> mean_bytes(std::string_view ending) {
        double sum = 0;
        const std::vector<Path> all = TRY(files(ending));
        for (const Path& path : all) {
            const std::unique_ptr<DiskFile> file =
                TRY(disk_.open(path, OpenFor::kReading, Through::kPageCache));
            sum += static_cast<double>(TRY(file->size()));
        }
        return all.empty() ? 0 : sum / static_cast<double>(all.size());
    }

    Status report_sizes() {
        const KvPages pages(runtime_->config(), 0);
        report_.add_part("archive.rows", TRY(mean_bytes(".rows")) / kPage, "B/tok",
                         static_cast<double>(pages.rows_bytes()) / kPage);
        report_.add_part("archive.edge", TRY(mean_bytes(".edge")) * 1e-3, "kB",
                         static_cast<double>(pages.edge_bytes()) * 1e-3);
        return {};
    }

    [[nodiscard]] double seconds_since(int64_t begin_ns) const {
        return static_cast<double>(setting_.timing.clock.now_ns() - begin_ns) * 1e-9;
    }

    const BenchSetting& setting_;
    const ArchiveBench& bench_;
    BenchReport& report_;
    SystemDisk disk_;
    std::unique_ptr<ArchiveHome> home_;
    ArchiveUse use_;
    std::unique_ptr<Runtime> runtime_;
    int64_t tokens_ = 0;
    std::vector<TokenId> prompt_;
    double computed_ = 0;  // seconds
    std::vector<float> expected_;
};

}  // namespace

Status bench_archive(const BenchSetting& setting, const ArchiveBench& bench, BenchReport& report) {
    Status status;
    {
        ArchiveTimer timer(setting, bench, report);
        status = timer.run();
    }
    std::error_code ignored;
    std::filesystem::remove_all(bench.directory, ignored);
    return status;
}

}  // namespace millrace
