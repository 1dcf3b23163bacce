// The cpu ops of every instruction set, layer by layer from golden input (tests/support/layer_closeness.h).

#include <doctest/doctest.h>

#include "tests/kernels/cpu_fixture.h"
#include "tests/support/layer_closeness.h"
#include "tests/support/tiny_model.h"

namespace millrace {

TEST_CASE("cpu layers are as near to canonical as the official code in another order") {
    for (const Isa isa : available_isas()) {
        RuntimeOptions options = test::tiny_options();
        options.ops = "cpu";
        options.cpu.isa = isa;
        const std::string name(isa_name(isa));
        CAPTURE(name);
        test::check_closeness({"tiny-flash", "tiny-pro", "tiny-base", "tiny-clamp"}, options);
    }
}

}  // namespace millrace
