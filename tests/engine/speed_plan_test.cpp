// The time model against numbers worked out by hand.

#include "core/engine/speed_plan.h"

#include <doctest/doctest.h>

namespace millrace {
namespace {

constexpr MachineSpeeds kMachine{.memory_bytes = 100e9, .drive_bytes = 10e9, .macs = 1e12};

ModelWork some_work() {
    return {.dense_bytes = 8'100'000'000,
            .kv_bytes = 81'000'000,
            .expert_bytes = 8'100'000,
            .layers = 40,
            .experts = 100,
            .experts_per_token = 5,
            .slots = 1000,
            .prompt_macs = 66'000'000'000'000,
            .expert_macs = 6'600'000'000'000,
            .prompt_tokens = 1000,
            .chunk_tokens = 500};
}

}  // namespace

TEST_CASE("decode: the dense part, then the slower of memory and drive, then the last to land") {
    const DecodeForecast half = forecast_decode(kMachine, some_work(), 0.5);
    CHECK(half.dense == doctest::Approx(0.1));
    CHECK(half.kv == doctest::Approx(0.001));
    CHECK(half.resident == doctest::Approx(0.01));       // 810 MB of 1.62 GB
    CHECK(half.missing == doctest::Approx(0.81 / 9.2));  // from the drive
    CHECK(half.landed == doctest::Approx(40 * 31.0 / 32 * 1e-4));
    CHECK(half.waits_for_drive());
    CHECK(half.seconds() == doctest::Approx(half.dense + half.kv + half.missing + half.landed));

    const DecodeForecast all = forecast_decode(kMachine, some_work(), 1);
    CHECK(all.missing == 0);
    CHECK(all.landed == 0);
    CHECK_FALSE(all.waits_for_drive());
    CHECK(all.tokens_per_second() == doctest::Approx(1 / 0.121));
}

TEST_CASE("without a drive that is needed its speed does not matter") {
    MachineSpeeds machine = kMachine;
    machine.drive_bytes = 0;
    CHECK(forecast_decode(machine, some_work(), 1).tokens_per_second() ==
          doctest::Approx(1 / 0.121));
    ModelWork work = some_work();
    work.slots = 4000;
    CHECK(forecast_prefill(machine, work).missing == 0);
}

TEST_CASE("prefill: each chunk reads the experts that it needs and that are not in memory") {
    ModelWork work = some_work();
    CHECK(work.resident_share() == doctest::Approx(0.25));
    const PrefillForecast p = forecast_prefill(kMachine, work);
    CHECK(p.dense == doctest::Approx(90));
    CHECK(p.experts == doctest::Approx(10));
    // 500 tokens use practically all of 4000 experts; three quarters are read, twice.
    CHECK(p.missing == doctest::Approx(2 * 3000 * 8.1e-3 / 9.2));
    CHECK(p.seconds() == doctest::Approx(100));
    CHECK(p.tokens_per_second() == doctest::Approx(10));

    work.chunk_tokens = 1;  // five of a hundred experts a layer, a thousand times
    CHECK(forecast_prefill(kMachine, work).missing ==
          doctest::Approx(1000.0 * 40 * 5 * 0.75 * 8.1e-3 / 9.2));
    CHECK(forecast_prefill(kMachine, work).waits_for_drive());
}

TEST_CASE("the usual hit rate grows with the share that is resident, from nothing to everything") {
    CHECK(usual_hit_rate(0) == 0);
    CHECK(usual_hit_rate(1) == 1);
    CHECK(usual_hit_rate(7) == 1);
    CHECK(usual_hit_rate(0.15) == doctest::Approx(0.62));
    double before = -1;
    for (int i = 0; i <= 100; ++i) {
        const double now = usual_hit_rate(i / 100.0);
        CHECK(now > before);
        CHECK(now >= i / 100.0);  // no worse than chance
        before = now;
    }
}

}  // namespace millrace
