#pragma once
// The limits of this machine, by the same instructions that the CPU ops use: what a benchmark divides by.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/pool.h"
#include "kernels/cpu/isa.h"

namespace millrace {

enum class DotProduct { kFloats, kBf16, kInt8 };
// "fma", "bf16", "int8"
[[nodiscard]] std::string_view dot_name(DotProduct dot);

// One run on all threads of a pool. `result` depends on all of the work and on nothing else, so it is the same whatever
// the number of threads.
struct PeakRun {
    int64_t amount = 0;  // multiply-adds done, or bytes read
    double result = 0;
};

// Multiply-adds in registers, in `pieces` equal pieces of `rounds` rounds that the threads share out.
[[nodiscard]] PeakRun run_dots(Pool& pool, Isa isa, DotProduct dot, int64_t pieces, int64_t rounds);

// Reads `bytes` once, from one end to the other in each of `pieces` equal parts; a rest that does not fill blocks of 512
// bytes is left out. With `times` each part is read so often, one pass after the other, so that a part that fits into a
// cache comes from there. `pieces` is at most kReadPiecesMax.
[[nodiscard]] PeakRun run_reads(Pool& pool, Isa isa, std::span<const std::byte> bytes,
                                int64_t pieces, int64_t times);
inline constexpr int64_t kReadPiecesMax = 4096;

}  // namespace millrace
