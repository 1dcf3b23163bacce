#pragma once
// The choice of a token on a GPU (Ops::choose): shapes of its launches and of its scratch.

#include <cstdint>

#include "kernels/choice.h"
#include "kernels/cuda/config.h"

namespace millrace::cuda {

inline constexpr int kDrawThreads = 512;
inline constexpr int kChoiceBins = 256;      // of weights, the largest first; the last is that of 0
inline constexpr int kCandidatesMax = 2048;  // that are sorted
inline constexpr int kTopKMax = 1024;        // leaves room for what shares the last one's bin
inline constexpr int64_t kChoiceBlocksMax = 2048;  // whose sums one block keeps
inline constexpr int64_t kAdjustmentsMax = 8192;   // each block looks through all of them

// A thread a token.
[[nodiscard]] LaunchConfig choice_config(int64_t vocabulary);
[[nodiscard]] LaunchConfig draw_config();

// Where the parts of a scratch lie, in bytes.
struct ChoiceScratch {
    int64_t values = 0;       // [vocabulary] doubles: scores, then weights
    int64_t block_best = 0;   // [blocks] doubles: the highest score
    int64_t block_first = 0;  // [blocks] int32: the first token with it
    int64_t block_sums = 0;   // [blocks] doubles: of weights
    int64_t weights = 0;      // [kCandidatesMax] doubles, and
    int64_t tokens = 0;       //   int32: candidates in any order
    int64_t adjustments = 0;
    int64_t state = 0;
    int64_t bytes = 0;
};
// Nothing for no vocabulary.
[[nodiscard]] ChoiceScratch choice_scratch(int64_t vocabulary);

// What kernels tell each other and the host.
struct ChoiceState {
    uint32_t counts[kChoiceBins];  // of tokens that are not banned, by the bin of the weight
    uint32_t gathered;             // candidates
    int32_t cut;                   // whether top-k leaves some out
    int32_t token;                 // −1: not decided
};

}  // namespace millrace::cuda
