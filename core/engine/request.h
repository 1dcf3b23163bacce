#pragma once
// What goes into the engine and what comes out: token ids and numbers. Text exists only outside.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/base/types.h"

namespace millrace {

// How the next token is chosen. Applied in this order: logit bias, penalties, temperature, top-k, top-p, min-p, draw;
// each on what the one before it left, probabilities scaled up to 1 again. At least one token is always kept.
// The defaults draw from the model's own distribution.
struct SamplingParams {
    float temperature = 1;  // 0: greedy, the highest logit, lower id on a tie
    int32_t top_k = 0;      // keep the k most probable; 0: all
    float top_p = 1;        // keep the smallest set whose probability reaches top_p
    float min_p = 0;        // keep tokens with at least min_p times the highest probability
    float repetition_penalty =
        1;  // divides positive and multiplies negative logits of tokens seen before
    float presence_penalty = 0;   // subtracted once from a token that was generated before
    float frequency_penalty = 0;  // subtracted per occurrence among the generated tokens
    uint64_t seed = 0;            // same seed, same request, same text
    std::vector<std::pair<TokenId, float>> logit_bias = {};  // added; −∞ bans a token
};

// Ranges beyond any use, so narrow that no sum or product of finite logits leaves a double.
inline constexpr double kTemperatureMax = 100;
inline constexpr double kPenaltyMax = 100;  // repetition_penalty also not below its inverse
inline constexpr double kBiasMax = 10000;

// Names the first field that is out of its range. NaN is out of every range.
[[nodiscard]] Status validate(const SamplingParams& params, int64_t vocabulary);

struct Request {
    std::vector<TokenId> prompt = {};  // at least one
    // To go on with an answer that was stopped: so many tokens at the end of the prompt are that answer's, as far as it
    // came. They count for the penalties and their draws are made already, so what follows is what would have followed.
    int64_t generated = 0;
    SamplingParams sampling;
    int64_t tokens_max = 0;              // generate at most so many; 0: up to the context limit
    std::vector<TokenId> stop_ids = {};  // ends the answer; the stop token itself is delivered too
};

enum class FinishReason {
    kStop,     // a stop id
    kLength,   // tokens_max
    kContext,  // the context limit was reached in the middle of the answer
    kCancelled,  // Ticket::cancel; all whole chunks and tokens are kept for a request that begins the same way
};

// What one answer cost.
struct AnswerStats {
    int64_t prompt_tokens = 0;
    int64_t reused_tokens = 0;  // of the prompt, that were not computed: the session held them, or
    int64_t archived_tokens = 0;   // of these, they came out of the archive
    int64_t generated_tokens = 0;  // by this request
    int64_t prefill_ns = 0;
    int64_t decode_ns = 0;
    // Experts during decode and prefill together.
    int64_t expert_hits = 0, expert_misses = 0;
    uint64_t drive_bytes = 0;
    int64_t expert_wait_ns = 0;  // the engine stood still for the drive
    int64_t drive_busy_ns = 0;   // at least one read was in flight
    bool lost_gpu = false;       // a GPU has stopped working, now or before; the CPU goes on
};

struct Event {
    enum class Kind {
        kPrefill,  // done of total prompt tokens are computed; of a chunk at work, its part of the work
        kToken,     // one generated token
        kFinished,  // the last event: reason and stats
        kFailed,    // the last event: error
    };
    Kind kind = Kind::kFinished;
    int64_t prefill_done = 0, prefill_total = 0;
    TokenId token;
    FinishReason reason = FinishReason::kStop;
    AnswerStats stats;
    std::optional<Error> error;
};

}  // namespace millrace
