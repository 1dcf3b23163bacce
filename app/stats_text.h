#pragma once
// Figures for people. Pure functions.

#include <cstdint>
#include <string>

#include "core/base/machine.h"
#include "core/engine/engine.h"
#include "offload/kv_archive.h"

namespace millrace {

// What a conversation cost so far.
struct ChatTotals {
    int64_t answers = 0;
    AnswerStats stats;         // sums
    int64_t context_used = 0;  // tokens of the last prompt and its answer

    void add(const AnswerStats& answer);
};

// One line after an answer: "23 tokens, 41.0 tok/s; 87 % of experts in memory, 12.5 KiB read per token".
[[nodiscard]] std::string answer_line(const AnswerStats& stats);

// What /stats prints. `memory`: of the process, now.
[[nodiscard]] std::string stats_text(const ChatTotals& totals, const ExpertCacheStats& experts,
                                     const std::optional<GpuTierStats>& gpu, const MemoryPlan& plan,
                                     const ResidentMemory& memory, int64_t context_max);
// A further row of that.
[[nodiscard]] std::string archive_row(const KvArchiveStats& archive);

}  // namespace millrace
