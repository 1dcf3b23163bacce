#include "app/bench_data.h"

#include <algorithm>
#include <cstring>

#include "core/base/random.h"

namespace millrace {
namespace {

// Eight bytes at a time: bits of a random word where the mask has ones, and fixed ones.
struct PatternBits {
    uint64_t mask, fixed;
};

PatternBits bits_of_pattern(BenchPattern pattern) {
    switch (pattern) {
        case BenchPattern::kBytes: return {~uint64_t{0}, 0};
        case BenchPattern::kFp8Codes: return {0x9F9F9F9F9F9F9F9Fu, 0x2020202020202020u};
        case BenchPattern::kScales: return {0x0101010101010101u, 0x7676767676767676u};
        case BenchPattern::kBf16: return {0x81FF81FF81FF81FFu, 0x3C003C003C003C00u};
        case BenchPattern::kF32: return {0x81FFFFFF81FFFFFFu, 0x3C0000003C000000u};
    }
    return {};
}

struct MatrixBytes {
    uint64_t codes = 0, scales = 0;
};

MatrixBytes bytes_of(WeightFormat format, int64_t rows, int64_t cols) {
    const LinearWeight matrix = {
        .format = format, .scale_format = ScaleFormat::kE8m0, .rows = rows, .cols = cols};
    return {static_cast<uint64_t>(weight_codes_bytes(matrix)),
            static_cast<uint64_t>(weight_scales_bytes(matrix))};
}

BenchPattern pattern_of(WeightFormat format) {
    switch (format) {
        case WeightFormat::kBf16: return BenchPattern::kBf16;
        case WeightFormat::kF32: return BenchPattern::kF32;
        case WeightFormat::kFp8: return BenchPattern::kFp8Codes;
        case WeightFormat::kFp4:
        case WeightFormat::kQ3s:
        case WeightFormat::kQ2s:
        case WeightFormat::kQ2v: return BenchPattern::kBytes;
    }
    return BenchPattern::kBytes;
}

}  // namespace

void fill_pattern(Pool& pool, std::span<std::byte> out, BenchPattern pattern, uint64_t seed) {
    const PatternBits bits = bits_of_pattern(pattern);
    const auto word = [&](int64_t i) {
        return (mix64(seed * kGoldenGamma + static_cast<uint64_t>(i)) & bits.mask) | bits.fixed;
    };
    const auto words = static_cast<int64_t>(out.size() / sizeof(uint64_t));
    const int64_t pieces = std::clamp<int64_t>(words >> 16, 1, 1024);
    pool.run(pieces, [&](int64_t piece) {
        for (int64_t i = words * piece / pieces; i < words * (piece + 1) / pieces; ++i) {
            const uint64_t value = word(i);
            std::memcpy(out.data() + static_cast<size_t>(i) * sizeof value, &value, sizeof value);
        }
    });
    const size_t done = static_cast<size_t>(words) * sizeof(uint64_t);
    const uint64_t last = word(words);
    std::memcpy(out.data() + done, &last, out.size() - done);
}

std::vector<KvRow> pattern_kv_rows(Pool& pool, int64_t count, uint64_t seed) {
    const auto codes =
        pattern_list<uint8_t>(pool, count * kLatentDim, BenchPattern::kFp8Codes, seed);
    const auto scales = pattern_list<uint8_t>(pool, count * (kLatentDim / kKvGroup),
                                              BenchPattern::kScales, seed + 1);
    const auto rope = pattern_list<Bf16>(pool, count * kRopeDim, BenchPattern::kBf16, seed + 2);
    std::vector<KvRow> rows(static_cast<size_t>(count));
    for (size_t r = 0; r < rows.size(); ++r) {
        KvRow& row = rows[r];
        std::copy_n(&codes[r * row.codes.size()], row.codes.size(), row.codes.begin());
        std::copy_n(&scales[r * row.scales.size()], row.scales.size(), row.scales.begin());
        row.unused = 0;
        std::copy_n(&rope[r * row.rope.size()], row.rope.size(), row.rope.begin());
    }
    return rows;
}

std::vector<IndexRow> pattern_index_rows(Pool& pool, int64_t count, uint64_t seed) {
    const auto codes =
        pattern_list<uint8_t>(pool, count * kIndexDim / 2, BenchPattern::kBytes, seed);
    const auto scales = pattern_list<uint8_t>(pool, count * kIndexDim / kIndexGroup,
                                              BenchPattern::kScales, seed + 1);
    std::vector<IndexRow> rows(static_cast<size_t>(count));
    for (size_t r = 0; r < rows.size(); ++r) {
        IndexRow& row = rows[r];
        std::copy_n(&codes[r * row.codes.size()], row.codes.size(), row.codes.begin());
        std::copy_n(&scales[r * row.scales.size()], row.scales.size(), row.scales.begin());
    }
    return rows;
}

Result<WeightPile> WeightPile::create(Pool& pool, uint64_t bytes, WeightFormat format, int64_t rows,
                                      int64_t cols, Ops* ops) {
    const MatrixBytes one = bytes_of(format, rows, cols);
    WeightPile pile;
    pile.shape_ = {.format = format,
                   .scale_format = one.scales > 0 ? ScaleFormat::kE8m0 : ScaleFormat::kNone,
                   .rows = rows,
                   .cols = cols};
    pile.code_bytes_ = one.codes;
    pile.scale_bytes_ = one.scales;
    pile.stride_ = round_up(one.codes + one.scales, 64);
    pile.copies_ = static_cast<int64_t>(std::max<uint64_t>(1, bytes / pile.stride_));
    pile.memory_ = TRY(PageBuffer::create(static_cast<uint64_t>(pile.copies_) * pile.stride_,
                                          HugePages::kIfGranted));
    for (int64_t i = 0; i < pile.copies_; ++i) {
        const std::span<std::byte> copy =
            pile.memory_.bytes().subspan(static_cast<uint64_t>(i) * pile.stride_, pile.stride_);
        const auto seed = static_cast<uint64_t>(2 * i);
        fill_pattern(pool, copy.first(one.codes), pattern_of(format), seed);
        fill_pattern(pool, copy.subspan(one.codes, one.scales), BenchPattern::kScales, seed + 1);
        LinearWeight weight = pile.next();
        if (ops == nullptr || !ops->arranges(weight)) continue;
        ops->arrange(weight, copy.data(), one.scales > 0 ? copy.data() + one.codes : nullptr);
    }
    if (ops != nullptr && ops->arranges(pile.shape_)) pile.shape_.layout = WeightLayout::kStrips;
    return pile;
}

Status WeightPile::move_to(Ops& ops) {
    OpsMemory there = TRY(ops.allocate(memory_.bytes().size(), HugePages::kIfGranted));
    TRY(ops.write(there.bytes.data(), memory_.bytes().data(), memory_.bytes().size()));
    moved_ = std::move(there);
    memory_ = PageBuffer();
    return {};
}

LinearWeight WeightPile::next() {
    const std::span<const std::byte> bytes = moved_.owner ? moved_.bytes : memory_.bytes();
    LinearWeight weight = shape_;
    weight.codes = bytes.data() + static_cast<uint64_t>(next_) * stride_;
    if (scale_bytes_ > 0) weight.scales = weight.codes + code_bytes_;
    next_ = (next_ + 1) % copies_;
    return weight;
}

}  // namespace millrace
