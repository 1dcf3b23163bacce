// The simulations of offload, the archive and pack, alone and for longer than ./check can:
//
//     build/dev/tests/sim            as in ./check
//     build/dev/tests/sim --long     twenty times as many seeds: some millions of faults, a minute or two
//
// What they count is printed; a failing seed is, too, and fails again when it is run again.

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <string_view>

#include "tests/support/sim_scale.h"

int main(int count, char** values) {
    constexpr int kLong = 20;
    for (int i = 1; i < count; ++i) {
        if (std::string_view(values[i]) == "--long") millrace::test::set_sim_scale(kLong);
    }
    doctest::Context context(count, values);
    return context.run();
}
