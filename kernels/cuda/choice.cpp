// Shapes of the launches that choose a token, and of their scratch.

#include "kernels/cuda/choice.h"

#include "core/base/check.h"

namespace millrace::cuda {
namespace {

int64_t blocks_of(int64_t vocabulary) { return (vocabulary + kChoiceBlock - 1) / kChoiceBlock; }

}  // namespace

LaunchConfig choice_config(int64_t vocabulary) {
    const int64_t blocks = blocks_of(vocabulary);
    ENSURE(blocks > 0 && blocks <= kChoiceBlocksMax);
    return {{static_cast<uint32_t>(blocks)}, kChoiceBlock};
}

LaunchConfig draw_config() { return {{1}, kDrawThreads}; }

ChoiceScratch choice_scratch(int64_t vocabulary) {
    ChoiceScratch out;
    if (vocabulary == 0) return out;
    const int64_t blocks = blocks_of(vocabulary);
    const auto take = [&out](int64_t count, int64_t size) {
        constexpr int64_t kAlignment = 16;
        const int64_t at = out.bytes;
        out.bytes += (count * size + kAlignment - 1) / kAlignment * kAlignment;
        return at;
    };
    out.values = take(vocabulary, sizeof(double));
    out.block_best = take(blocks, sizeof(double));
    out.block_first = take(blocks, sizeof(int32_t));
    out.block_sums = take(blocks, sizeof(double));
    out.weights = take(kCandidatesMax, sizeof(double));
    out.tokens = take(kCandidatesMax, sizeof(int32_t));
    out.adjustments = take(kAdjustmentsMax, sizeof(Adjustment));
    out.state = take(1, sizeof(ChoiceState));
    return out;
}

}  // namespace millrace::cuda
