// The loops that measure the machine compute what they say, on every ISA and with any number of threads.

#include "kernels/peak.h"

#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <vector>

#include "core/base/random.h"
#include "kernels/cpu/kernel_table.h"
#include "tests/kernels/cpu_fixture.h"

namespace millrace {

TEST_CASE("dot products in registers give the sum of all rounds") {
    for (const Isa isa : available_isas()) {
        CAPTURE(isa_name(isa));
        // A chain c begins at c in all 16 lanes and gains `gain` a lane for every round and unrolled step.
        const std::map<DotProduct, double> gain_a_mac = {
            {DotProduct::kFloats, 0.25},
            {DotProduct::kBf16, 0.25},
            {DotProduct::kInt8, (1 * 2 + 3 * 1 + 2 * -1 + 1 * 1) / 4.0}};
        for (const auto& [dot, gain] : gain_a_mac) {
            CAPTURE(dot_name(dot));
            const PeakKernels& kernels = kernels_of(isa).peak;
            const PeakDot& kernel = dot == DotProduct::kFloats ? kernels.floats
                                    : dot == DotProduct::kBf16 ? kernels.bf16
                                                               : kernels.int8;
            Pool one(1), three(3);
            const PeakRun none = run_dots(one, isa, dot, 1, 0);
            for (const int64_t rounds : {1, 100}) {
                const PeakRun run = run_dots(one, isa, dot, 2, rounds);
                CHECK(run.amount == 2 * rounds * kernel.macs_a_round);
                CHECK(run.result - none.result ==
                      static_cast<double>(rounds * kernel.macs_a_round) * gain);
                CHECK(run_dots(three, isa, dot, 7, rounds).result == run.result);
            }
        }
    }
}

TEST_CASE("a read takes in every word") {
    std::vector<int32_t> words(128 * 12 + 5);
    Random random(5);
    uint32_t expected = 0;
    for (int32_t& word : words) word = static_cast<int32_t>(random.next());
    for (size_t i = 0; i < size_t{128} * 12; ++i) expected += static_cast<uint32_t>(words[i]);
    Pool pool(3);
    for (const Isa isa : available_isas()) {
        CAPTURE(isa_name(isa));
        for (const int64_t pieces : {1, 3, 4, 12}) {
            const PeakRun once = run_reads(pool, isa, std::as_bytes(std::span(words)), pieces, 1);
            CHECK(once.amount == 128 * 12 * 4);
            CHECK(once.result == static_cast<double>(expected));
            const PeakRun twice = run_reads(pool, isa, std::as_bytes(std::span(words)), pieces, 2);
            CHECK(twice.amount == 2 * once.amount);
            CHECK(twice.result == static_cast<double>(expected * 2));
        }
        CHECK(run_reads(pool, isa, std::as_bytes(std::span(words)), 2048, 1).amount == 0);
    }
}

}  // namespace millrace
