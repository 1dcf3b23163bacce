// The benchmarks of a GPU, with the processor's ops in its place; no speed is judged here. Over the simulated GPU:
// tests/cuda/bench_test.cpp.

#include "app/bench_gpu.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "tests/kernels/cpu_fixture.h"

namespace millrace {
namespace {

BenchSetting tiny_setting(Clock& clock) {
    return {.timing = {.clock = clock, .repeat = 2, .least_ns = 0},
            .sizes = BenchSizes::tiny(),
            .threads = 2};
}

std::map<std::string, BenchRow> run(Ops& ops, const GpuLimits& limits, const std::string& only) {
    SystemClock clock;
    BenchReport report(nullptr, BenchFormat::kTable, only);
    const Status status = bench_ops_on(tiny_setting(clock), ops, limits, report);
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
    std::map<std::string, BenchRow> rows;
    for (const BenchRow& row : report.rows()) CHECK(rows.emplace(row.row, row).second);
    return rows;
}

}  // namespace

TEST_CASE(
    "bench ops through any ops: every row, a share of bytes or of products, the same bits again") {
    Pool pool(2);
    const auto ops = make_cpu_ops(pool, {});
    const auto rows = run(*ops, {.bytes = 100e9, .macs = 1e12}, "");
    for (const char* name :
         {"gemv.f4", "gemv.q3s", "gemv.q2s", "gemv.q2v", "gemv.fp8", "gemv.fp8.wide", "gemv.bf16",
          "expert.decode", "hc.reduce", "norm.rms", "quantise"}) {
        CAPTURE(name);
        REQUIRE(rows.contains(name));
        CHECK(rows.at(name).unit == "GB/s");
        CHECK(rows.at(name).limit == doctest::Approx(100));
    }
    for (const char* name : {"gemm.f4", "gemm.q3s", "gemm.q2s", "gemm.q2v", "gemm.fp8", "gemm.bf16",
                             "attend.decode", "attend.prefill"}) {
        CAPTURE(name);
        REQUIRE(rows.contains(name));
        CHECK(rows.at(name).unit == "GMAC/s");
        CHECK(rows.at(name).limit == doctest::Approx(1000));
    }
    CHECK(rows.at("indexer.topk").unit == "us");
    CHECK(rows.contains("route"));
    CHECK(rows.size() == 11 + 8 + 2);
    const auto again = run(*ops, {.bytes = 1e9, .macs = {}}, "");
    REQUIRE(again.size() == rows.size());
    for (const auto& [name, row] : rows) {
        CAPTURE(name);
        CHECK(std::isfinite(row.value));
        CHECK(row.value > 0);
        CHECK(row.hash != 0);
        CHECK(again.at(name).hash == row.hash);
    }
    CHECK_FALSE(again.at("gemm.f4").limit);  // nobody knows the peak of every GPU
    CHECK_FALSE(again.at("gemm.f4").share);
    for (const auto& [name, row] : run(*ops, {.bytes = 1e9, .macs = {}}, "gemv.q")) {
        CHECK(name.starts_with("gemv.q"));
    }
}

TEST_CASE("bench ops: another format, another result") {
    Pool pool(1);
    const auto ops = make_cpu_ops(pool, {});
    const auto rows = run(*ops, {.bytes = 1e9, .macs = {}}, "gem");
    CHECK(rows.at("gemv.q2s").hash != rows.at("gemv.q2v").hash);
    CHECK(rows.at("gemm.fp8").hash != rows.at("gemm.bf16").hash);
}

TEST_CASE("copies are timed both ways, and end where they should") {
    SystemClock clock;
    Pool pool(1);
    const auto ops = make_cpu_ops(pool, {});
    const BenchSetting setting = tiny_setting(clock);
    std::vector<std::byte> host(setting.sizes.link_bytes, std::byte{5});
    const auto rates = measure_rates(setting, *ops, host);
    REQUIRE(rates.ok());
    CHECK(rates->vram_copy > 0);
    CHECK(rates->to_gpu > 0);
    CHECK(rates->from_gpu > 0);
    for (const std::byte byte : host) REQUIRE(byte == std::byte{5});
}

TEST_CASE("the bf16 peak of a generation, its multiprocessors and its clock") {
    const auto peak = [](int major, int minor, int multiprocessors, double clock_hz) {
        return bf16_macs({.name = "",
                          .major = major,
                          .minor = minor,
                          .multiprocessors = multiprocessors,
                          .clock_hz = clock_hz});
    };
    // As the makers' tables have it: A100 312 TFLOPS, RTX 4090 165, H200 989.
    CHECK(*peak(8, 0, 108, 1.41e9) * 2e-12 == doctest::Approx(312).epsilon(0.01));
    CHECK(*peak(8, 9, 128, 2.52e9) * 2e-12 == doctest::Approx(165).epsilon(0.01));
    CHECK(*peak(9, 0, 132, 1.83e9) * 2e-12 == doctest::Approx(989).epsilon(0.01));
    CHECK_FALSE(peak(7, 5, 40, 1.5e9));
    CHECK_FALSE(peak(9, 0, 0, 1.83e9));
    CHECK_FALSE(peak(9, 0, 132, 0));
}

}  // namespace millrace
