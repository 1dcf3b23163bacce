#include "core/engine/gpu_rates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/memory.h"
#include "core/engine/gpu_tier.h"

namespace millrace {
namespace {

constexpr size_t kTimes = 5;
constexpr int64_t kManyRows = 17;
// Experts side by side, so that none is in the processor's caches when its turn comes again.
constexpr uint64_t kExpertsBytes = uint64_t{128} << 20;

// An expert at `at`: whatever bytes are there.
ExpertWeights expert_at(const ExpertWeights& shape, std::byte* at) {
    ExpertWeights out = shape;
    for (LinearWeight* weight : {&out.w1, &out.w3, &out.w2}) {
        weight->codes = at;
        at += weight_codes_bytes(*weight);
        weight->scales = at;
        at += weight_scales_bytes(*weight);
    }
    return out;
}

uint64_t bytes_of(const ExpertWeights& expert) {
    int64_t bytes = 0;
    for (const LinearWeight* weight : {&expert.w1, &expert.w3, &expert.w2})
        bytes += weight_codes_bytes(*weight) + weight_scales_bytes(*weight);
    return static_cast<uint64_t>(bytes);
}

template <class Work>
Result<double> median_ns(Clock& clock, const Work& work) {
    std::array<double, kTimes> times{};
    for (size_t i = 0; i < times.size(); ++i) {
        const int64_t begin = clock.now_ns();
        TRY(work(i));
        times[i] = static_cast<double>(clock.now_ns() - begin);
    }
    std::ranges::sort(times);
    return times[kTimes / 2];
}

// Rows of zeros and where their results go.
struct SomeRows {
    explicit SomeRows(const ExpertWeights& expert)
        : hidden(expert.w1.cols),
          x(static_cast<size_t>(kManyRows * hidden)),
          codes(x.size()),
          scales(static_cast<size_t>(kManyRows * ((hidden + 127) / 128)), uint8_t{127}),
          out(x.size()) {
        for (int32_t r = 0; r < kManyRows; ++r) rows.push_back(r);
        weights.assign(rows.size(), 1);
    }
    void compute(Ops& ops, const ExpertWeights& expert, int64_t count) {
        const auto n = static_cast<size_t>(count);
        ops.expert(
            {{x.data(), kManyRows, hidden},
             {{codes.data(), kManyRows, hidden}, {scales.data(), kManyRows, (hidden + 127) / 128}}},
            std::span(rows).first(n), expert, std::span(weights).first(n), 10,
            {out.data(), count, hidden});
    }
    int64_t hidden;
    std::vector<Bf16> x;
    std::vector<uint8_t> codes, scales;
    std::vector<int32_t> rows;
    std::vector<float> weights;
    std::vector<Bf16> out;
};

}  // namespace

int64_t copied_rows_of(const MissRates& rates) {
    if (rates.copy_ns <= rates.one_row_ns) return 1;
    const double more = rates.copy_ns - rates.one_row_ns;
    // Beyond any chunk.
    constexpr double kRowsMax = 1e6;
    if (rates.next_row_ns <= 0 || more / rates.next_row_ns > kRowsMax)
        return GpuTierOptions::kNever;
    return 1 + static_cast<int64_t>(std::ceil(more / rates.next_row_ns));
}

Result<MissRates> measure_misses(Ops& host_ops, Ops& gpu_ops, GpuExperts& gpu,
                                 const ExpertWeights& expert, Clock& clock) {
    const uint64_t bytes = round_up(bytes_of(expert), kPageBytes);
    const uint64_t experts = std::clamp<uint64_t>(kExpertsBytes / bytes, 2, 32);
    const PageBuffer memory = TRY(PageBuffer::create(experts * bytes, HugePages::kIfGranted));
    // Memory that was never written is one page of zeros.
    std::memset(memory.bytes().data(), 0, memory.bytes().size());
    auto pinned = gpu_ops.pin(memory.bytes());
    const auto expert_number = [&](size_t i) {
        ExpertWeights out = expert_at(expert, memory.bytes().data() + i % experts * bytes);
        for (LinearWeight* weight : {&out.w1, &out.w3, &out.w2}) {
            if (host_ops.arranges(*weight)) weight->layout = WeightLayout::kStrips;
        }
        return out;
    };
    MissRates rates;
    rates.copy_ns = TRY(median_ns(clock, [&](size_t i) -> Status {
        TRY(gpu.fill(0, expert_number(i)));
        return gpu.finish(0);
    }));
    SomeRows rows(expert);
    size_t turn = 0;
    const auto cpu_ns = [&](int64_t count) {
        return median_ns(clock, [&](size_t) -> Status {
            rows.compute(host_ops, expert_number(turn++), count);
            return {};
        });
    };
    rates.one_row_ns = TRY(cpu_ns(1));
    const double many_ns = TRY(cpu_ns(kManyRows));
    rates.next_row_ns =
        std::max(0.0, (many_ns - rates.one_row_ns) / static_cast<double>(kManyRows - 1));
    return rates;
}

}  // namespace millrace
