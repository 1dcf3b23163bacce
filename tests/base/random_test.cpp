#include "core/base/random.h"

#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <set>

namespace millrace {
namespace {

TEST_CASE("the published first numbers of seed 1234567") {
    Random random(1234567);
    for (const uint64_t expected :
         {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u,
          16408922859458223821u}) {
        CHECK(random.next() == expected);
    }
}

TEST_CASE("below stays below and reaches every number") {
    Random random(3);
    for (const uint64_t bound :
         {uint64_t{1}, uint64_t{7}, uint64_t{1} << 63, std::numeric_limits<uint64_t>::max()}) {
        for (int i = 0; i < 1000; ++i) REQUIRE(random.below(bound) < bound);
    }
    std::array<int, 10> seen{};
    for (int i = 0; i < 10000; ++i) ++seen[random.below(10)];
    for (const int count : seen) CHECK((count > 800 && count < 1200));
}

TEST_CASE("unit lies in [0, 1) and is spread evenly") {
    Random random(4);
    double sum = 0;
    for (int i = 0; i < 10000; ++i) {
        const double x = random.unit();
        REQUIRE((x >= 0 && x < 1));
        sum += x;
    }
    CHECK(sum / 10000 == doctest::Approx(0.5).epsilon(0.02));
}

TEST_CASE("mix64 maps different numbers to different numbers") {
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < 10000; ++i) seen.insert(mix64(i));
    CHECK(seen.size() == 10000);
}

}  // namespace
}  // namespace millrace
