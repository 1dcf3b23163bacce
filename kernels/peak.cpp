#include "kernels/peak.h"

#include <array>
#include <atomic>
#include <bit>

#include "core/base/check.h"
#include "kernels/cpu/kernel_table.h"

namespace millrace {
namespace {

const PeakDot& kernel_of(Isa isa, DotProduct dot) {
    const PeakKernels& kernels = kernels_of(isa).peak;
    switch (dot) {
        case DotProduct::kFloats: return kernels.floats;
        case DotProduct::kBf16: return kernels.bf16;
        case DotProduct::kInt8: return kernels.int8;
    }
    return kernels.floats;
}

}  // namespace

std::string_view dot_name(DotProduct dot) {
    constexpr std::array<std::string_view, 3> kNames = {"fma", "bf16", "int8"};
    return kNames[static_cast<size_t>(dot)];
}

PeakRun run_dots(Pool& pool, Isa isa, DotProduct dot, int64_t pieces, int64_t rounds) {
    ENSURE(isa_available(isa) && pieces > 0);
    const PeakDot& kernel = kernel_of(isa, dot);
    // Every piece computes the same number: the first to end says which, the others check it.
    constexpr uint64_t kNone = ~uint64_t{0};
    std::atomic<uint64_t> result{kNone};
    pool.run(pieces, [&](int64_t) {
        const uint64_t mine = std::bit_cast<uint32_t>(kernel.run(rounds));
        uint64_t seen = kNone;
        ENSURE(result.compare_exchange_strong(seen, mine) || seen == mine);
    });
    const float value = std::bit_cast<float>(static_cast<uint32_t>(result.load()));
    return {pieces * rounds * kernel.macs_a_round, static_cast<double>(value)};
}

PeakRun run_reads(Pool& pool, Isa isa, std::span<const std::byte> bytes, int64_t pieces,
                  int64_t times) {
    ENSURE(isa_available(isa) && pieces > 0 && pieces <= kReadPiecesMax);
    constexpr int64_t kBlockWords = 128;
    const int64_t words =
        static_cast<int64_t>(bytes.size()) / 4 / pieces / kBlockWords * kBlockWords;
    const auto* first = reinterpret_cast<const int32_t*>(bytes.data());
    std::atomic<uint32_t> total{0};
    pool.run(pieces, [&](int64_t i) {
        uint32_t part = 0;
        for (int64_t t = 0; t < times; ++t) {
            part += kernels_of(isa).peak.read(first + i * words, words);
        }
        total.fetch_add(part, std::memory_order_relaxed);
    });
    return {pieces * words * 4 * times, static_cast<double>(total.load())};
}

}  // namespace millrace
