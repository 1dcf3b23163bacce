#pragma once
// What an answer remembers of its making, and the line about it at its foot.

#include <cstdint>
#include <string>
#include <string_view>

#include "core/engine/request.h"
#include "core/store/chats.h"

namespace millrace {

struct AnswerFacts {
    double thought_s = 0;  // until the answer proper began
    double tokens = 0, decode_s = 0;
    double from_memory = -1;  // share of the experts asked for; negative: not known
    double drive_bytes = 0, drive_s = 0;
    bool lost_gpu = false;           // it stopped working; the CPU goes on
    std::string model;               // that made it; "": not known
    double read = 0, prefill_s = 0;  // tokens of the prompt that were not known
    // Tokens a second that `model` read the prompt with; 0: another one did, or too little was read to tell.
    [[nodiscard]] double prefill_rate(std::string_view by) const;
    // Bytes a second while the drive read; 0: it did not.
    [[nodiscard]] double drive_rate() const { return drive_s > 0 ? drive_bytes / drive_s : 0; }
};

// `thought_s` negative: nothing came. The seed is what the answer was sampled with.
[[nodiscard]] std::string facts_json(const AnswerStats& stats, uint64_t seed, double thought_s,
                                     const std::string& model = {});
[[nodiscard]] AnswerFacts facts_of(const StoredMessage& message);
// Tokens a second that the prompt was read with; 0: too little was read to tell.
[[nodiscard]] double prefill_rate_of(const AnswerStats& stats);
[[nodiscard]] uint64_t seed_of(const StoredMessage& message, uint64_t otherwise);

// What drives have given, in bytes a second: what an answer's rate is held against.
struct DriveLimit {
    double measured = 0;  // by a measurement of the machine; 0: never
    double best = 0;      // of the answers of this session
    int answers = 0;      // that read from a drive
    // 0: nothing to hold it against; the best of one answer would be that answer.
    [[nodiscard]] double value() const {
        if (measured > 0) return best > measured ? best : measured;
        return answers > 1 ? best : 0;
    }
};

// "4.1 tok/s · drive 92 % of its limit · 81 % from memory"; the drive's rate where its limit is not known. "" for an answer
// without numbers.
[[nodiscard]] std::string foot_of(const AnswerFacts& facts, const DriveLimit& limit);

}  // namespace millrace
