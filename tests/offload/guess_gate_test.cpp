#include "offload/guess_gate.h"

#include <doctest/doctest.h>

namespace millrace::test {
namespace {

int opened(GuessGate& gate, int asked) {
    int count = 0;
    for (int i = 0; i < asked; ++i) count += gate.open() ? 1 : 0;
    return count;
}

TEST_CASE("guessing goes on while two of three are wanted") {
    GuessGate gate;
    for (int i = 0; i < 1000; ++i) {
        gate.used();
        gate.used();
        gate.wasted();
    }
    CHECK(opened(gate, 64) == 64);
    for (int i = 0; i < 1000; ++i) {
        gate.used();
        gate.wasted();
    }
    CHECK_FALSE(gate.pays());
}

TEST_CASE("guesses that nobody wants end, and are tried again now and then") {
    GuessGate gate;
    for (int i = 0; i < 100; ++i) gate.wasted();
    CHECK_FALSE(gate.pays());
    CHECK(opened(gate, 320) == 10);
    for (int i = 0; i < 200; ++i) gate.used();
    CHECK(gate.pays());
}

TEST_CASE("a good beginning is forgotten") {
    GuessGate gate;
    for (int i = 0; i < 100'000; ++i) gate.used();
    for (int i = 0; i < 1'000; ++i) gate.wasted();
    CHECK_FALSE(gate.pays());
}

}  // namespace
}  // namespace millrace::test
