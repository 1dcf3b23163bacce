// Each operation at the shapes of the real model (Flash), through kernels/ops.h. Linear layers: one row against the read
// bandwidth, many rows against the dot product that the activations ask for.

#include "app/bench_ops.h"

#include <algorithm>
#include <array>

#include "core/base/strings.h"

namespace millrace {
namespace {

// Rows of activations and what aq128 makes of them.
struct Activation {
    Activation(OpsBench& bench, Ops& ops, int64_t rows, int64_t cols)
        : values(pattern_list<Bf16>(bench.pool, rows * cols, BenchPattern::kBf16, 99)),
          codes(static_cast<size_t>(rows * cols)),
          scales(static_cast<size_t>(rows * ((cols + 127) / 128))) {
        input.rows = MatrixView<const Bf16>(values.data(), rows, cols);
        input.quantised = {{codes.data(), rows, cols}, {scales.data(), rows, (cols + 127) / 128}};
        ops.quantise(input.rows, input.quantised);
    }
    std::vector<Bf16> values;
    std::vector<uint8_t> codes, scales;
    LinearInput input;
};

struct LinearCase {
    const char* row;
    WeightFormat format;
    int64_t outputs, inputs;
    Activations activations = Activations::kFp8;
    bool as_stored = false;  // in the file's layout instead of the one that the engine makes
};

// Decode: one row. `head`: as the head does it, bf16 weights and a result in fp32.
Status bench_gemv(OpsBench& bench, const LinearCase& which) {
    if (!bench.report.wants(which.row)) return {};
    Ops& ops = which.activations == Activations::kFp8 ? *bench.fp8 : *bench.int8;
    WeightPile pile = TRY(WeightPile::create(
        bench.pool, bench.setting.sizes.weight_bytes, which.format, bench.dim(which.outputs),
        bench.dim(which.inputs), which.as_stored ? nullptr : &ops));
    const Activation x(bench, ops, 1, bench.dim(which.inputs));
    const int64_t outputs = bench.dim(which.outputs);
    if (which.format == WeightFormat::kBf16) {
        std::vector<float> y(static_cast<size_t>(outputs));
        const auto call = [&] {
            ops.linear_f32(x.input.rows, pile.next(), {y.data(), 1, outputs});
        };
        call();
        bench.add_bytes(which.row, pile.weight_bytes(), hash_list(y), call);
    } else {
        std::vector<Bf16> y(static_cast<size_t>(outputs));
        const auto call = [&] { ops.linear(x.input, pile.next(), {y.data(), 1, outputs}); };
        call();
        bench.add_bytes(which.row, pile.weight_bytes(), hash_list(y), call);
    }
    return {};
}

// Prefill: many rows.
Status bench_gemm(OpsBench& bench, const LinearCase& which) {
    if (!bench.report.wants(which.row)) return {};
    const bool fp8 = which.activations == Activations::kFp8;
    Ops& ops = fp8 ? *bench.fp8 : *bench.int8;
    const int64_t outputs = bench.dim(which.outputs), inputs = bench.dim(which.inputs);
    const int64_t rows = bench.setting.sizes.gemm_rows;
    WeightPile pile = TRY(WeightPile::create(bench.pool, bench.setting.sizes.weight_bytes,
                                             which.format, outputs, inputs, &ops));
    const Activation x(bench, ops, rows, inputs);
    std::vector<Bf16> y(static_cast<size_t>(rows * outputs));
    const auto call = [&] { ops.linear(x.input, pile.next(), {y.data(), rows, outputs}); };
    call();
    bench.add_macs(which.row, rows * outputs * inputs, fp8 ? bench.dots_bf16 : bench.dots_int8,
                   hash_list(y), call);
    return {};
}

// One expert on one row, as a token asks for it: three matrices and what lies between them.
Status bench_expert(OpsBench& bench) {
    const std::string row = "expert.decode";
    if (!bench.report.wants(row)) return {};
    const int64_t hidden = bench.dim(4096), inner = bench.dim(2048);
    const uint64_t third = bench.setting.sizes.weight_bytes / 3;
    const auto pile = [&](int64_t outputs, int64_t inputs) {
        return WeightPile::create(bench.pool, third, WeightFormat::kFp4, outputs, inputs,
                                  bench.fp8.get());
    };
    WeightPile w1 = TRY(pile(inner, hidden));
    WeightPile w2 = TRY(pile(hidden, inner));
    WeightPile w3 = TRY(pile(inner, hidden));
    const Activation x(bench, *bench.fp8, 1, hidden);
    std::vector<Bf16> y(static_cast<size_t>(hidden));
    const std::array<int32_t, 1> rows = {0};
    const std::array<float, 1> weight = {0.5F};
    const auto call = [&] {
        bench.fp8->expert(x.input, rows, {w1.next(), w2.next(), w3.next()}, weight, 10,
                          {y.data(), 1, hidden});
    };
    call();
    bench.add_bytes(row, w1.weight_bytes() + w2.weight_bytes() + w3.weight_bytes(), hash_list(y),
                    call);
    return {};
}

constexpr std::array kGemv = {
    LinearCase{"gemv.f4", WeightFormat::kFp4, 2048, 4096},
    LinearCase{"gemv.f4.rows", WeightFormat::kFp4, 2048, 4096, Activations::kFp8, true},
    LinearCase{"gemv.f4.int8", WeightFormat::kFp4, 2048, 4096, Activations::kInt8},
    LinearCase{"gemv.q3s", WeightFormat::kQ3s, 2048, 4096},
    LinearCase{"gemv.q2s", WeightFormat::kQ2s, 2048, 4096},
    LinearCase{"gemv.q2v", WeightFormat::kQ2v, 2048, 4096},
    LinearCase{"gemv.fp8", WeightFormat::kFp8, 32768, 1024},
    LinearCase{"gemv.fp8.rows", WeightFormat::kFp8, 32768, 1024, Activations::kFp8, true},
    LinearCase{"gemv.fp8.wide", WeightFormat::kFp8, 4096, 8192},
    LinearCase{"gemv.fp8.int8", WeightFormat::kFp8, 4096, 8192, Activations::kInt8},
    LinearCase{"gemv.bf16", WeightFormat::kBf16, 129280, 4096},
};

constexpr std::array kGemm = {
    LinearCase{"gemm.f4.fp8", WeightFormat::kFp4, 2048, 4096},
    LinearCase{"gemm.f4.int8", WeightFormat::kFp4, 2048, 4096, Activations::kInt8},
    LinearCase{"gemm.fp8.fp8", WeightFormat::kFp8, 4096, 8192},
    LinearCase{"gemm.fp8.int8", WeightFormat::kFp8, 4096, 8192, Activations::kInt8},
};

}  // namespace

OpsBench::OpsBench(const BenchSetting& chosen, BenchReport& rows)
    : setting(chosen),
      report(rows),
      pool(chosen.threads),
      fp8(make_cpu_ops(pool, {.isa = chosen.isa, .activations = Activations::kFp8})),
      int8(make_cpu_ops(pool, {.isa = chosen.isa, .activations = Activations::kInt8})) {}

int64_t OpsBench::dim(int64_t real) const {
    return std::max<int64_t>(real / setting.sizes.shrink / 128 * 128, 128);
}

Status bench_ops(const BenchSetting& setting, BenchReport& report) {
    OpsBench bench(setting, report);
    {
        const PageBuffer memory =
            TRY(filled_memory(bench.pool, setting.sizes.dram_bytes, HugePages::kIfGranted));
        bench.read = read_bandwidth(setting, bench.pool, memory.bytes());
    }
    bench.dots_bf16 = dot_peak(setting, bench.pool, setting.isa, DotProduct::kBf16);
    bench.dots_int8 = dot_peak(setting, bench.pool, setting.isa, DotProduct::kInt8);
    report.add_rate("dram.read", bench.read * 1e-9, "GB/s", {});
    report.add_rate("peak.bf16", bench.dots_bf16 * 1e-9, "GMAC/s", {});
    report.add_rate("peak.int8", bench.dots_int8 * 1e-9, "GMAC/s", {});
    for (const LinearCase& which : kGemv) TRY(bench_gemv(bench, which));
    TRY(bench_expert(bench));
    for (const LinearCase& which : kGemm) TRY(bench_gemm(bench, which));
    bench_row_ops(bench);
    return {};
}

}  // namespace millrace
