// The same tests on a GPU: status 77 where there is none.

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "kernels/gpu.h"
#include "tests/support/cuda_sim/card.h"
#include "tests/support/cuda_sim/simulator.h"

namespace millrace::cuda_sim {

// Nobody watches a GPU.
void set_options(const Options&) {}
void set_card(const Card&) {}
void change_thread() {}
std::vector<Violation> take_violations() { return {}; }
std::string Violation::text() const { return what; }

}  // namespace millrace::cuda_sim

int main(int count, char** arguments) {
    const auto gpus = millrace::list_gpus();
    if (!gpus.ok()) {
        std::printf("skipped: %s\n", gpus.error().message.c_str());
        return 77;
    }
    return doctest::Context(count, arguments).run();
}
