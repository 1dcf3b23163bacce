#include <charconv>
#include <cmath>

#include "app/trace_file.h"
#include "app/verbs.h"
#include "core/base/json.h"
#include "core/base/strings.h"
#include "offload/replay.h"

namespace millrace {
namespace {

// "300" or "12%" of `experts`.
Result<int32_t> parse_slots(const std::string& text, int32_t experts) {
    double number = 0;
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, number);
    const bool share = error == std::errc() && std::string_view(at, end) == "%";
    const bool whole = error == std::errc() && at == end;
    const double slots = std::round(share ? number * experts / 100 : number);
    if ((!share && !whole) || !(slots >= 2) || slots > experts) {
        return Error{
            ErrorCode::kInvalid,
            cat("--slots ", quote_text(text), " is no size of a cache; it is a number from 2 to ",
                experts, " (all experts of the trace) or a share such as 12%")};
    }
    return static_cast<int32_t>(slots);
}

Result<RouterTrace> read_traces(const ReplayOptions& options) {
    if (options.synthetic) {
        if (!options.traces.empty()) {
            return Error{ErrorCode::kInvalid, "--synthetic makes a trace: name none beside it"};
        }
        return make_trace({.seed = *options.synthetic, .tokens = options.tokens});
    }
    std::optional<RouterTrace> all;
    for (const Path& path : options.traces) {
        RouterTrace trace = TRY(read_trace(path));
        if (!all) {
            all = std::move(trace);
        } else if (all->shape() == trace.shape()) {
            all->append(trace);
        } else {
            return Error{ErrorCode::kInvalid,
                         cat(path.string(), " is of another model than ",
                             options.traces.front().string(), "; replay them one at a time")};
        }
    }
    if (!all || all->steps().empty()) {
        return Error{ErrorCode::kInvalid,
                     "there is nothing to replay; name a TRACE with at least one token, or "
                     "--synthetic SEED"};
    }
    return *std::move(all);
}

// Right-aligned columns for people, or a line of JSON for each row.
class Report {
public:
    Report(bool json, int32_t experts, Terminal& terminal)
        : json_(json), experts_(experts), terminal_(terminal) {}

    void begin() {
        if (json_) return;
        terminal_.text(cat(cell("slots"), cell("share"), cell("lru"), cell("lfu"), cell("lfu 256"),
                           cell("millrace"), cell("belady"), cell("misses", 12),
                           cell("gap closed", 12), "\n"));
    }
    void row(const ReplayRow& row) {
        if (json_) return line(row);
        const auto hits = [&](uint64_t misses) {
            const double share = static_cast<double>(misses) / static_cast<double>(row.asked);
            return cell(cat(fixed(100 * (1 - share), 1), " %"));
        };
        terminal_.text(cat(cell(cat(row.slots)), cell(cat(fixed(100 * share(row), 1), " %")),
                           hits(row.lru), hits(row.lfu), hits(row.lfu_decayed), hits(row.millrace),
                           hits(row.belady), cell(cat(row.millrace), 12),
                           cell(cat(fixed(100 * row.gap_closed(), 1), " %"), 12), "\n"));
    }

private:
    [[nodiscard]] double share(const ReplayRow& row) const {
        return static_cast<double>(row.slots) / experts_;
    }
    void line(const ReplayRow& row) {
        Json out;
        out.set("slots", int64_t{row.slots});
        out.set("share", share(row));
        out.set("asked", static_cast<int64_t>(row.asked));
        out.set("lru", static_cast<int64_t>(row.lru));
        out.set("lfu", static_cast<int64_t>(row.lfu));
        out.set("lfu_decayed", static_cast<int64_t>(row.lfu_decayed));
        out.set("millrace", static_cast<int64_t>(row.millrace));
        out.set("belady", static_cast<int64_t>(row.belady));
        out.set("gap_closed", row.gap_closed());
        terminal_.text(cat(out.dump(), "\n"));
    }
    static std::string cell(std::string text, size_t columns = 10) {
        text.insert(0, columns > text.size() ? columns - text.size() : 0, ' ');
        return text;
    }

    bool json_;
    int32_t experts_;
    Terminal& terminal_;
};

Status compare(const ReplayOptions& options, Terminal& terminal) {
    const RouterTrace trace = TRY(read_traces(options));
    const int32_t experts = trace.shape().layers * trace.shape().experts;
    std::vector<int32_t> sizes;
    for (const std::string& text : options.slots) sizes.push_back(TRY(parse_slots(text, experts)));
    Report report(options.json, experts, terminal);
    report.begin();
    for (const int32_t slots : sizes) {
        report.row(replay_all(trace, slots));
        TRY(terminal.flush());
    }
    return terminal.flush();
}

}  // namespace

int replay_verb(const ReplayOptions& options, Terminal& terminal) {
    const Status status = compare(options, terminal);
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
