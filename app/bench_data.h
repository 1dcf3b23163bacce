#pragma once
// Made-up operands for benchmarks: valid numbers of moderate size, the same on every machine, made at the speed of memory.

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/memory.h"
#include "core/base/pool.h"
#include "core/base/result.h"
#include "core/base/tensor.h"
#include "core/base/types.h"
#include "kernels/kv_rows.h"
#include "kernels/ops.h"
#include "quant/linear_weight.h"

namespace millrace {

enum class BenchPattern : uint8_t {
    kBytes,     // any: two FP4 codes
    kFp8Codes,  // e4m3 without NaN, from 2⁻³ to 2
    kScales,    // E8M0 around 2⁻⁹
    kBf16,      // from 2⁻⁷ to 2⁻⁴, both signs
    kF32,       // the same
};

// Element i depends on i and on `seed` only.
void fill_pattern(Pool& pool, std::span<std::byte> out, BenchPattern pattern, uint64_t seed);

template <class T>
[[nodiscard]] std::vector<T> pattern_list(Pool& pool, int64_t count, BenchPattern pattern,
                                          uint64_t seed) {
    std::vector<T> out(static_cast<size_t>(count));
    fill_pattern(pool, std::as_writable_bytes(std::span(out)), pattern, seed);
    return out;
}

[[nodiscard]] std::vector<KvRow> pattern_kv_rows(Pool& pool, int64_t count, uint64_t seed);
[[nodiscard]] std::vector<IndexRow> pattern_index_rows(Pool& pool, int64_t count, uint64_t seed);

// Copies of a weight matrix, with different numbers, as many as fill some memory: going round them, each comes from
// memory and not from a cache. Scales lie behind the codes of their copy.
class WeightPile {
public:
    // At least one copy. With `ops`, arranged as the engine does it for these ops; without, as a file has them.
    [[nodiscard]] static Result<WeightPile> create(Pool& pool, uint64_t bytes, WeightFormat format,
                                                   int64_t rows, int64_t cols, Ops* ops);

    // To the memory of these ops: from now on `next` points there.
    [[nodiscard]] Status move_to(Ops& ops);

    [[nodiscard]] LinearWeight next();
    // Codes and scales of one copy.
    [[nodiscard]] uint64_t weight_bytes() const { return code_bytes_ + scale_bytes_; }
    [[nodiscard]] int64_t copies() const { return copies_; }

private:
    WeightPile() = default;

    PageBuffer memory_;
    OpsMemory moved_;  // or there
    LinearWeight shape_;
    uint64_t code_bytes_ = 0, scale_bytes_ = 0, stride_ = 0;
    int64_t copies_ = 0, next_ = 0;
};

}  // namespace millrace
