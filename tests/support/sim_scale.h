#pragma once
// How long simulations run: 1 in ./check; the program build/dev/tests/sim runs the same simulations for longer.

namespace millrace::test {

[[nodiscard]] int sim_scale();
// Before the first simulation.
void set_sim_scale(int scale);

}  // namespace millrace::test
