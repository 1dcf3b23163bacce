// The benchmarks run, measure what they name, and compute the same thing whatever the number of threads. No speed is
// judged here.

#include "app/bench.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "app/bench_model.h"
#include "app/bench_stream.h"
#include "core/base/json.h"
#include "core/base/strings.h"
#include "tests/kernels/cpu_fixture.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

BenchSetting tiny_setting(Clock& clock, int threads, Isa isa = best_isa()) {
    return {.timing = {.clock = clock, .repeat = 2, .least_ns = 0},
            .sizes = BenchSizes::tiny(),
            .isa = isa,
            .threads = threads};
}

using Rows = std::map<std::string, BenchRow>;

Rows rows_of(const BenchReport& report) {
    Rows rows;
    for (const BenchRow& row : report.rows()) {
        CAPTURE(row.row);
        CHECK(std::isfinite(row.value));
        CHECK((row.value > 0 || row.row.starts_with("part.")));
        CHECK((!row.share || *row.share > 0 || row.row.starts_with("part.")));
        CHECK(rows.emplace(row.row, row).second);
    }
    return rows;
}

Rows run_ops(int threads, Isa isa) {
    SystemClock clock;
    BenchReport report(nullptr, BenchFormat::kTable, "");
    const BenchSetting setting = tiny_setting(clock, threads, isa);
    const Status status = bench_ops(setting, report);
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
    return rows_of(report);
}

Rows run_model(int threads, const std::string& ops, const std::string& only) {
    SystemClock clock;
    BenchReport report(nullptr, BenchFormat::kTable, only);
    const BenchSetting setting = tiny_setting(clock, threads);
    ModelBench bench;
    bench.model.directory = test::demo_checkpoint();
    bench.model.runtime.ops = ops;
    bench.model.runtime.prefill_chunk = 7;
    bench.contexts = {300, 5, int64_t{1} << 29};  // the last one is more than the model holds
    bench.prefill = 9;
    const Status status = bench_model(setting, bench, report);
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
    return rows_of(report);
}

void check_same_hashes(const Rows& one, const Rows& other) {
    REQUIRE(one.size() == other.size());
    for (const auto& [name, row] : one) {
        CAPTURE(name);
        REQUIRE(other.contains(name));
        CHECK(row.hash == other.at(name).hash);
    }
}

}  // namespace

TEST_CASE("a row is a line of JSON with its limit and share") {
    BenchReport report(nullptr, BenchFormat::kJson, "");
    report.add_rate("gemv.f4", 27, "GB/s", 30, 0xABC);
    report.add_time("indexer.topk", 50, "us", 20);
    report.add_part("part.wait", 5, "us", 50);
    report.add_rate("dram.read", 30, "GB/s", {});
    REQUIRE(report.rows().size() == 4);
    const double shares[] = {0.9, 0.4, 0.1};
    for (size_t i = 0; i < 4; ++i) {
        const auto json = Json::parse_unique(bench_json(report.rows()[i]));
        REQUIRE(json.ok());
        CHECK(*json->find("row")->as_string() == report.rows()[i].row);
        CHECK(json->find("value")->as_double() == report.rows()[i].value);
        CHECK(*json->find("unit")->as_string() == report.rows()[i].unit);
        if (i < 3) {
            CHECK(json->find("share")->as_double() == doctest::Approx(shares[i]));
        } else {
            CHECK(json->find("limit")->is_null());
            CHECK(json->find("share")->is_null());
        }
    }
    CHECK(bench_json(report.rows()[0]).find("\"hash\":\"abc\"") != std::string::npos);
    CHECK(bench_line(report.rows()[0]).find("90.0 %") != std::string::npos);
}

TEST_CASE("the median, and how often a body is called for it") {
    CHECK(median(std::vector<double>{3, 1, 2}) == 2);
    CHECK(median(std::vector<double>{4, 1, 2, 3}) == 2);
    class Ticks final : public Clock {
    public:
        int64_t now_ns() override { return now_ += 1000; }

    private:
        int64_t now_ = 0;
    } ticks;
    int calls = 0;
    // A call takes one tick; a run ends at the first one that reaches 3 ticks.
    const double seconds =
        seconds_a_call({.clock = ticks, .repeat = 3, .least_ns = 3000}, [&] { ++calls; });
    CHECK(calls == 1 + 3 * 3);
    CHECK(seconds == doctest::Approx(1e-6));
}

TEST_CASE("bench machine: every row, the same numbers for any number of threads") {
    const test::TempDirectory room;
    const Path file = room.path() / "data";
    REQUIRE(write_file(file, std::string(300000, 'x')).ok());
    const auto run = [&](int threads, const std::string& only) {
        SystemClock clock;
        BenchReport report(nullptr, BenchFormat::kTable, only);
        const Status status = bench_machine(tiny_setting(clock, threads), {file}, report);
        REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
        return rows_of(report);
    };
    const Rows one = run(1, ""), three = run(3, "");
    for (const char* name : {"dram.read.1", "dram.read", "dram.read.4k", "cache.l2", "cache.l3",
                             "peak.fma", "peak.bf16", "peak.int8"}) {
        CAPTURE(name);
        REQUIRE(one.contains(name));
        REQUIRE(three.contains(name));
        CHECK(one.at(name).hash == three.at(name).hash);
    }
    CHECK((one.contains("drive.read") || one.contains("drive.read.cached")));
    CHECK(three.contains("dram.read.3"));
    CHECK(one.at("dram.read").hash == one.at("dram.read.4k").hash);
    CHECK(one.at("dram.read").hash != 0);
    for (const auto& [name, row] : run(1, "peak.int8")) CHECK(name.starts_with("peak.int8"));

    SystemClock clock;
    BenchReport report(nullptr, BenchFormat::kTable, "drive");
    const Status missing = bench_machine(tiny_setting(clock, 1), {room.path() / "none"}, report);
    REQUIRE_FALSE(missing.ok());
    CHECK(missing.error().message.find("none") != std::string::npos);
    REQUIRE(write_file(room.path() / "empty", std::string()).ok());
    const Status empty = bench_machine(tiny_setting(clock, 1), {room.path() / "empty"}, report);
    REQUIRE_FALSE(empty.ok());
    CHECK(empty.error().message.find("empty") != std::string::npos);
}

TEST_CASE("bench ops: every operation on every ISA, the same bits for any number of threads") {
    for (const Isa isa : available_isas()) {
        CAPTURE(isa_name(isa));
        const Rows one = run_ops(1, isa), three = run_ops(3, isa);
        for (const char* name :
             {"dram.read", "gemv.f4", "gemv.fp8", "gemv.bf16", "gemm.f4.fp8", "gemm.f4.int8",
              "gemm.fp8.fp8", "gemm.fp8.int8", "attend.decode", "attend.prefill", "indexer.topk",
              "hc.reduce", "norm.rms", "expert.decode"}) {
            CAPTURE(name);
            CHECK(one.contains(name));
        }
        check_same_hashes(one, three);
    }
}

TEST_CASE("bench model: prefill, decode at several lengths, and the parts of a token") {
    const Rows one = run_model(1, "cpu", ""), three = run_model(3, "cpu", "");
    for (const char* name :
         {"dram.read", "prefill.fp8", "prefill.int8", "decode", "decode.300", "part.experts"}) {
        CAPTURE(name);
        CHECK(one.contains(name));
    }
    CHECK(one.size() == 3 + 2 + 2 * (1 + kStepParts));
    check_same_hashes(one, three);
    CHECK(one.at("decode").hash != one.at("decode.300").hash);
    double parts = 0;
    for (const auto& [name, row] : one) {
        // Of the token at 5: those at 300 have a suffix.
        if (name.starts_with("part.") && !name.ends_with(".300")) parts += *row.share;
    }
    CHECK(parts > 0.5);
    CHECK(parts < 1.001);
    CHECK_FALSE(run_model(2, "reference", "").contains("prefill.int8"));
    const Rows decode = run_model(2, "cpu", "decode.300");
    CHECK(decode.contains("decode.300"));
    CHECK_FALSE(decode.contains("prefill.fp8"));
}

TEST_CASE("bench io and bench stream: shares of what a plain reader gets, hits, waits") {
    SystemClock clock;
    BenchReport report(nullptr, BenchFormat::kTable, "");
    const BenchSetting setting = tiny_setting(clock, 2);
    ModelOptions model;
    model.directory = test::demo_checkpoint();
    for (const Status& status :
         {bench_io(setting, model, report), bench_stream(setting, model, 64, report)}) {
        REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
    }
    std::map<std::string, BenchRow> rows;
    for (const BenchRow& row : report.rows()) {
        CHECK(std::isfinite(row.value));
        rows[row.row] = row;
    }
    for (const char* name : {"io.random", "stream.cold", "stream.warm", "stream.prefill"}) {
        CAPTURE(name);
        REQUIRE(rows.contains(name));
        CHECK(rows[name].value > 0);
        CHECK(*rows[name].limit > 0);
        CHECK(*rows[name].share > 0);
    }
    CHECK(rows["io.cpu"].value > 0);
    CHECK(rows["stream.cold.hits"].value < rows["stream.warm.hits"].value);
    CHECK(rows["stream.warm.hits"].value > 50);
    CHECK(rows["stream.prefill.wait"].value <= *rows["stream.prefill.wait"].limit);
}

TEST_CASE("bench on the command line") {
    const test::TempDirectory room;
    const std::string out = (room.path() / "out").string(), err = (room.path() / "err").string();
    const auto run = [&](const std::string& arguments) {
        return std::system(
            cat("'", MILLRACE_BINARY, "' bench ", arguments, " >'", out, "' 2>'", err, "'")
                .c_str());
    };
    REQUIRE(run("model --tiny --contexts 5 --prefill 4 --repeat 1 --json") == 0);
    const std::string text = *read_text_file(out, 1 << 20);
    std::set<std::string> names;
    for (size_t at = 0; at < text.size();) {
        const size_t end = text.find('\n', at);
        REQUIRE(end != std::string::npos);
        const auto line = Json::parse_unique(std::string_view(text).substr(at, end - at));
        REQUIRE(line.ok());
        names.insert(*line->find("row")->as_string());
        at = end + 1;
    }
    CHECK(names.contains("decode"));
    CHECK(names.contains("prefill.fp8"));
    REQUIRE(run("machine --tiny --only peak") == 0);
    CHECK(read_text_file(out, 1 << 20)->find("peak.bf16") != std::string::npos);
    for (const char* wrong : {"", "nothing", "model --contexts 0", "ops --repeat 0",
                              "machine --file /nonexistent --only drive --tiny"}) {
        CAPTURE(wrong);
        CHECK(run(wrong) != 0);
        CHECK(read_text_file(err, 1 << 20)->starts_with("millrace: "));
    }
}

}  // namespace millrace
