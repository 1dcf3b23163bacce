// The engine with a GPU: a whole model over the CUDA ops in the simulator.

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/gpu.h"
#include "tests/support/cuda_sim/card.h"
#include "tests/support/cuda_sim/simulator.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

RuntimeOptions cuda_options() {
    RuntimeOptions options = test::tiny_options();
    options.ops = "cuda";
    options.context_max = 256;
    options.prefill_chunk = 64;
    return options;
}

std::vector<TokenId> some_tokens(size_t count) {
    std::vector<TokenId> out;
    for (size_t i = 0; i < count; ++i) out.push_back({static_cast<int32_t>(i * 37 % 200)});
    return out;
}

void check_simulator() {
    for (const cuda_sim::Violation& violation : cuda_sim::take_violations())
        FAIL_CHECK(violation.text());
}

}  // namespace

TEST_CASE("a model on the GPU: near the reference, and the same bits for any chunking") {
    cuda_sim::set_options({.seed = 1});
    const Path checkpoint = test::tiny_checkpoint("tiny-a");
    const auto tokens = some_tokens(19);
    const auto reference = test::open_runtime(checkpoint);
    Session canonical = test::new_session(*reference);
    const auto expected = test::all_logits(*reference, canonical, tokens, {19});

    const auto runtime = test::open_runtime(checkpoint, cuda_options());
    Session whole = test::new_session(*runtime);
    const auto logits = test::all_logits(*runtime, whole, tokens, {19});
    check_simulator();
    double most = 0, square = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
        most = std::max(most, std::fabs(static_cast<double>(logits[i]) - expected[i]));
        square += static_cast<double>(expected[i]) * expected[i];
    }
    MESSAGE("logits differ by at most ", most, "; their size is ",
            std::sqrt(square / static_cast<double>(logits.size())));
    CHECK(most < 0.1);

    Session pieces = test::new_session(*runtime);
    CHECK(test::all_logits(*runtime, pieces, tokens, {1, 2, 7, 3, 1}) == logits);
    check_simulator();
}

}  // namespace millrace
