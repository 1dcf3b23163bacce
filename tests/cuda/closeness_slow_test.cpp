// The CUDA ops, layer by layer from golden input (tests/support/layer_closeness.h), in the simulator.

#include <doctest/doctest.h>

#include "tests/cuda/watched_gpu.h"
#include "tests/support/layer_closeness.h"
#include "tests/support/tiny_model.h"

namespace millrace {

TEST_CASE("layers on the GPU are as near to canonical as the official code in another order") {
    RuntimeOptions options = test::tiny_options();
    options.ops = "cuda";
    const test::WatchedGpu gpu(0);
    test::check_closeness({"tiny-base", "tiny-clamp"}, options);
}

}  // namespace millrace
