#include "tests/support/sim_scale.h"

namespace millrace::test {
namespace {

int the_scale = 1;

}  // namespace

int sim_scale() { return the_scale; }
void set_sim_scale(int scale) { the_scale = scale; }

}  // namespace millrace::test
