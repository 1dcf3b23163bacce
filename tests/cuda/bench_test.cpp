// The benchmarks of a GPU over the simulated one: every operation that they ask for exists there, and its results are the
// kernels' own. No speed is judged here.

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "app/bench_gpu.h"
#include "tests/support/cuda_sim/card.h"
#include "tests/support/cuda_sim/simulator.h"

namespace millrace {
namespace {

BenchSetting tiny_setting(Clock& clock) {
    BenchSetting setting{.timing = {.clock = clock, .repeat = 1, .least_ns = 0},
                         .sizes = BenchSizes::tiny(),
                         .threads = 1};
    setting.sizes.shrink = 32;
    setting.sizes.gpu_calls = 1;
    return setting;
}

std::map<std::string, BenchRow> rows_of(const BenchReport& report) {
    std::map<std::string, BenchRow> rows;
    for (const BenchRow& row : report.rows()) CHECK(rows.emplace(row.row, row).second);
    return rows;
}

}  // namespace

TEST_CASE("bench ops --ops cuda: every row, with the peak of the card, and no violation") {
    cuda_sim::set_card({.major = 9, .minor = 0, .multiprocessors = 132, .clock_khz = 1'830'000});
    SystemClock clock;
    BenchReport report(nullptr, BenchFormat::kTable, "");
    const Status status = bench_gpu_ops(tiny_setting(clock), report);
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
    const auto rows = rows_of(report);
    CHECK(rows.size() == 2 + 11 + 8 + 2);
    CHECK(rows.at("peak.bf16").value == doctest::Approx(494'715).epsilon(1e-3));
    CHECK(rows.at("gemm.f4").limit == doctest::Approx(rows.at("peak.bf16").value));
    CHECK(rows.at("gemv.q2v").limit == doctest::Approx(rows.at("vram.copy").value));
    for (const auto& violation : cuda_sim::take_violations()) FAIL(violation.text());
    cuda_sim::set_card({});
}

TEST_CASE("bench machine: the rows of a GPU where there is one, a sentence where there is none") {
    SystemClock clock;
    BenchReport report(nullptr, BenchFormat::kTable, "");
    REQUIRE(bench_gpu(tiny_setting(clock), report).ok());
    const auto rows = rows_of(report);
    for (const char* name : {"vram.copy", "pcie.to", "pcie.from"}) {
        CAPTURE(name);
        REQUIRE(rows.contains(name));
        CHECK(rows.at(name).value > 0);
    }
    cuda_sim::set_card({.driver = 0});
    BenchReport none(nullptr, BenchFormat::kTable, "");
    CHECK(bench_gpu(tiny_setting(clock), none).ok());
    CHECK(none.rows().empty());
    const Status ops = bench_gpu_ops(tiny_setting(clock), none);
    REQUIRE_FALSE(ops.ok());
    CHECK(ops.error().message.find("no NVIDIA driver") != std::string::npos);
    cuda_sim::set_card({});
}

}  // namespace millrace
