#include "app/stats_text.h"

#include <algorithm>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr double kSecond = 1e9;

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

std::string percent(double part, double whole) {
    return cat(fixed(100 * ratio(part, whole), 0), " %");
}

std::string seconds(int64_t ns) { return cat(fixed(static_cast<double>(ns) / kSecond, 2), " s"); }

std::string rate(int64_t count, int64_t ns) {
    return cat(fixed(ratio(static_cast<double>(count) * kSecond, static_cast<double>(ns)), 1),
               " tok/s");
}

std::string plural(int64_t count, std::string_view noun) {
    return cat(count, " ", noun, count == 1 ? "" : "s");
}

// The last token of an answer is sampled but not computed.
int64_t computed(const AnswerStats& stats, int64_t answers) {
    return std::max<int64_t>(
        1, stats.prompt_tokens - stats.reused_tokens + stats.generated_tokens - answers);
}

std::string row(std::string_view name, const std::string& text) {
    std::string out(name);
    out.resize(18, ' ');
    return cat(out, text, "\n");
}

}  // namespace

void ChatTotals::add(const AnswerStats& answer) {
    ++answers;
    stats.prompt_tokens += answer.prompt_tokens;
    stats.reused_tokens += answer.reused_tokens;
    stats.archived_tokens += answer.archived_tokens;
    stats.generated_tokens += answer.generated_tokens;
    stats.prefill_ns += answer.prefill_ns;
    stats.decode_ns += answer.decode_ns;
    stats.expert_hits += answer.expert_hits;
    stats.expert_misses += answer.expert_misses;
    stats.drive_bytes += answer.drive_bytes;
    stats.expert_wait_ns += answer.expert_wait_ns;
    stats.drive_busy_ns += answer.drive_busy_ns;
    context_used = answer.prompt_tokens + answer.generated_tokens;
}

std::string answer_line(const AnswerStats& stats) {
    const auto hits = static_cast<double>(stats.expert_hits);
    const auto asked = hits + static_cast<double>(stats.expert_misses);
    const auto tokens = static_cast<uint64_t>(computed(stats, 1));
    return cat(plural(stats.generated_tokens, "token"), ", ",
               rate(stats.generated_tokens, stats.decode_ns), "; ", percent(hits, asked),
               " of experts in memory, ", human_bytes(stats.drive_bytes / tokens),
               " read per token",
               stats.archived_tokens > 0
                   ? cat("; ", stats.archived_tokens, " tokens of the prompt from the KV archive")
                   : "",
               stats.lost_gpu ? "; the GPU stopped working, the CPU goes on" : "");
}

std::string archive_row(const KvArchiveStats& archive) {
    return row("KV archive",
               cat(human_bytes(archive.bytes + archive.foreign_bytes), " of ",
                   human_bytes(archive.budget_bytes), " in ", archive.files + archive.foreign_files,
                   " files; ", archive.read, " read, ", archive.stored, " stored, ", archive.lost,
                   " lost, ", archive.evicted, " forgotten"));
}

std::string gpu_row(const GpuTierStats& gpu) {
    const auto asked = static_cast<double>(gpu.hits + gpu.by_cpu + gpu.copied);
    return row("on the GPU",
               cat(gpu.there, " experts in ", gpu.slots, " slots; of those used ",
                   percent(static_cast<double>(gpu.hits), asked), " were there, ",
                   percent(static_cast<double>(gpu.by_cpu), asked), " the CPU computed, ",
                   percent(static_cast<double>(gpu.copied), asked), " were copied; ", gpu.promoted,
                   " promoted, ", gpu.dropped, " dropped"));
}

std::string stats_text(const ChatTotals& totals, const ExpertCacheStats& experts,
                       const std::optional<GpuTierStats>& gpu, const MemoryPlan& plan,
                       const ResidentMemory& memory, int64_t context_max) {
    const AnswerStats& sum = totals.stats;
    const auto asked = static_cast<double>(experts.hits + experts.joins + experts.misses);
    const auto tokens = static_cast<uint64_t>(computed(sum, totals.answers));
    std::string out;
    out += row("conversation", cat(plural(totals.answers, "answer"), ", ", totals.context_used,
                                   " of ", context_max, " tokens of context used"));
    out += row("prompts", cat(plural(sum.prompt_tokens, "token"), ", ",
                              sum.reused_tokens - sum.archived_tokens, " of them still in memory, ",
                              sum.archived_tokens, " from the KV archive; ",
                              rate(sum.prompt_tokens - sum.reused_tokens, sum.prefill_ns)));
    out += row("answers", cat(plural(sum.generated_tokens, "token"), "; ",
                              rate(sum.generated_tokens, sum.decode_ns)));
    out += row("experts",
               cat(experts.hits, " hits, ", experts.joins, " on their way, ", experts.misses,
                   " misses; ", percent(static_cast<double>(experts.hits), asked), " in memory"));
    if (gpu) out += gpu_row(*gpu);
    out +=
        row("drive", cat(human_bytes(experts.bytes_read), " read in ", experts.reads, " reads; ",
                         human_bytes(sum.drive_bytes / tokens), " per token; ",
                         human_bytes(static_cast<uint64_t>(experts.bandwidth())), "/s while busy"));
    out += row("waiting", cat(seconds(experts.wait_ns), " stood still for the drive; ",
                              experts.retries, " retries, ", experts.failures, " failures"));
    out += row("reader", cat(experts.backend, experts.direct ? ", O_DIRECT" : ", buffered",
                             experts.backend_notes.empty() ? "" : "; ", experts.backend_notes));
    out += plan.text();
    // Beside the plan: the program itself, its tokenizer, what its libraries keep.
    out += row("in memory now",
               cat(human_bytes(memory.total_bytes), ": ", human_bytes(memory.own_bytes),
                   " of its own (", human_bytes(memory.huge_bytes), " in huge pages), ",
                   human_bytes(memory.mapped_bytes), " mapped from files"));
    return out;
}

}  // namespace millrace
