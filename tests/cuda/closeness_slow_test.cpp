// The CUDA ops, layer by layer from golden input (tests/support/layer_closeness.h), in the simulator.

#include <doctest/doctest.h>

#include "tests/support/cuda_sim/simulator.h"
#include "tests/support/layer_closeness.h"
#include "tests/support/tiny_model.h"

namespace millrace {

TEST_CASE("layers on the GPU are as near to canonical as the official code in another order") {
    RuntimeOptions options = test::tiny_options();
    options.ops = "cuda";
    cuda_sim::set_options({.seed = 0});
    test::check_closeness({"tiny-base", "tiny-clamp"}, options);
    for (const cuda_sim::Violation& violation : cuda_sim::take_violations())
        FAIL_CHECK(violation.text());
}

}  // namespace millrace
