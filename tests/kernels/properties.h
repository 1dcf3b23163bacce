#pragma once
// Rows, weights and seeded inputs for tests of the reference ops, and a fixture that has all of them.

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "kernels/ops.h"
#include "kernels/reference/canonical.h"
#include "kernels/reference/formulas.h"
#include "quant/codebook.h"
#include "tests/kernels/cpu_fixture.h"

namespace millrace {

constexpr int64_t kRows = 64;

// Rows with some elements between them, which nobody may touch.
template <class T>
struct Rows {
    static constexpr int64_t kGap = 3;
    Rows(int64_t rows, int64_t cols, T fill = {})
        : values(static_cast<size_t>(rows * (cols + kGap)), fill),
          view(values.data(), rows, cols, cols + kGap) {}
    Rows(const Rows&) = delete;
    Rows& operator=(const Rows&) = delete;
    [[nodiscard]] MatrixView<T> at(int64_t first, int64_t count) {
        return view.slice_rows(first, count);
    }
    [[nodiscard]] bool gaps_are(T mark) const {
        bool same = true;
        for (size_t i = 0; i < values.size(); ++i)
            same = same && (static_cast<int64_t>(i) % view.stride < view.cols || values[i] == mark);
        return same;
    }

    std::vector<T> values;
    MatrixView<T> view;
};

// Appends rows to bytes, so that anything can be compared.
template <class T>
inline void add_bytes(std::string& out, std::span<const T> values) {
    out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}
template <class T>
inline void add_bytes(std::string& out, MatrixView<T> rows) {
    for (int64_t r = 0; r < rows.rows; ++r) add_bytes(out, std::span<const T>(rows.row(r)));
}

// Whether each value is within `steps` bf16 steps of the wanted one, plus `slack`. A step is at most 2⁻⁷ of the value.
inline bool near(const Rows<Bf16>& computed, const Rows<Bf16>& wanted, float steps,
                 float slack = 0) {
    bool out = true;
    for (int64_t r = 0; r < wanted.view.rows; ++r) {
        for (size_t i = 0; i < static_cast<size_t>(wanted.view.cols); ++i) {
            const float want = to_float(wanted.view.row(r)[i]);
            const float got = to_float(computed.view.row(r)[i]);
            out = out && std::fabs(got - want) <= std::fabs(want) * steps * 0x1p-7F + slack;
        }
    }
    return out;
}

struct Bytes {
    std::vector<std::byte> codes, scales;
};

// Random inputs that never depend on anything but the order in which they are asked for.
class Inputs {
public:
    void bf16(Rows<Bf16>& rows, float size = 1) {
        for (int64_t r = 0; r < rows.view.rows; ++r)
            for (Bf16& v : rows.view.row(r)) v = to_bf16(real() * size);
    }
    std::vector<Bf16> bf16(int64_t count) {
        std::vector<Bf16> out(static_cast<size_t>(count));
        for (Bf16& v : out) v = to_bf16(real());
        return out;
    }
    std::vector<float> floats(int64_t count) {
        std::vector<float> out(static_cast<size_t>(count));
        for (float& v : out) v = real();
        return out;
    }
    // A multiple of 1/64 between −2 and 2: sums of products of such numbers are exact in double.
    float real() { return static_cast<float>(static_cast<int>(random.below(257)) - 128) / 64; }

    // A weight matrix; its bytes start `offset` bytes into their allocations, so that 1 is unaligned for everything.
    LinearWeight weight(WeightFormat format, ScaleFormat scales, int64_t rows, int64_t cols,
                        Bytes& bytes, size_t offset = 0) {
        const auto count = static_cast<size_t>(rows * cols);
        LinearWeight out{.format = format, .scale_format = scales, .rows = rows, .cols = cols};
        size_t scale_count = static_cast<size_t>((rows + 127) / 128 * ((cols + 127) / 128));
        bytes.codes.assign(offset, std::byte{0});
        bytes.scales.assign(offset, std::byte{0});
        switch (format) {
            case WeightFormat::kBf16: append(bytes.codes, bf16(rows * cols)); break;
            case WeightFormat::kF32: append(bytes.codes, floats(rows * cols)); break;
            case WeightFormat::kFp8:
                for (size_t i = 0; i < count; ++i)
                    bytes.codes.push_back(std::byte{
                        static_cast<uint8_t>(random.below(2) * 128 + 0x20 + random.below(0x30))});
                break;
            case WeightFormat::kFp4:
                for (size_t i = 0; i < count / 2; ++i)
                    bytes.codes.push_back(std::byte{static_cast<uint8_t>(random.below(256))});
                scale_count = count / 32;
                break;
            case WeightFormat::kQ3s:
            case WeightFormat::kQ2s:
            case WeightFormat::kQ2v: {
                const int64_t codes = weight_codes_bytes(out),
                              scale_bytes = weight_scales_bytes(out);
                for (int64_t i = 0; i < codes + scale_bytes; ++i) {
                    // Bases a little apart, then any step with any book.
                    const uint64_t byte =
                        i >= codes && i < codes + rows ? 118 + random.below(3) : random.below(256);
                    (i < codes ? bytes.codes : bytes.scales)
                        .push_back(std::byte{static_cast<uint8_t>(byte)});
                }
                scale_count = 0;
                break;
            }
        }
        for (size_t i = 0; i < scale_count && scales != ScaleFormat::kNone; ++i) {
            const auto byte = static_cast<uint8_t>(120 + random.below(4));
            if (scales == ScaleFormat::kE8m0) {
                bytes.scales.push_back(std::byte{byte});
            } else {
                append(bytes.scales, std::vector<float>{1.5F * e8m0_value(byte)});
            }
        }
        out.codes = bytes.codes.data() + offset;
        out.scales = bytes.scales.data() + offset;
        return out;
    }

    Random random{7};

private:
    template <class T>
    static void append(std::vector<std::byte>& bytes, const std::vector<T>& values) {
        const auto raw = std::as_bytes(std::span(values));
        bytes.insert(bytes.end(), raw.begin(), raw.end());
    }
};

// Computes rows [first, first + count) of a fixed problem of kRows rows, as one batch, and returns their bytes.
using Problem = std::function<std::string(Ops& ops, int64_t first, int64_t count)>;

using MakeOps = std::function<std::unique_ptr<Ops>(Pool& pool)>;

// Every way of cutting the rows into batches and every number of threads must give the bytes of one row at a time.
inline void check_company(const char* name, const Problem& problem, const MakeOps& make,
                          const std::vector<int>& thread_counts = {1, 2, 3}) {
    if (thread_counts.empty()) return;
    CAPTURE(name);
    Pool one(1);
    const auto alone = make(one);
    std::string expected;
    for (int64_t r = 0; r < kRows; ++r) expected += problem(*alone, r, 1);
    REQUIRE(!expected.empty());
    for (const int threads : thread_counts) {
        Pool pool(threads);
        const auto ops = make(pool);
        for (const int64_t batch : {int64_t{1}, int64_t{7}, kRows}) {
            CAPTURE(threads);
            CAPTURE(batch);
            std::string computed;
            for (int64_t r = 0; r < kRows; r += batch)
                computed += problem(*ops, r, std::min(batch, kRows - r));
            CHECK(computed == expected);
        }
    }
}
// … of the reference, and of the fast ops.
inline void check_company(const char* name, const Problem& problem) {
    check_company(name, problem, make_reference_ops);
    for (const FastOps& fast : fast_ops(Activations::kFp8)) {
        CAPTURE(fast.name);
        check_company(name, problem, fast.make, fast.threads);
    }
}

struct WeightKind {
    WeightFormat format;
    ScaleFormat scales;
};
constexpr WeightKind kKinds[] = {
    {WeightFormat::kFp8, ScaleFormat::kE8m0},  {WeightFormat::kFp8, ScaleFormat::kF32},
    {WeightFormat::kFp4, ScaleFormat::kE8m0},  {WeightFormat::kQ3s, ScaleFormat::kE8m0},
    {WeightFormat::kQ2s, ScaleFormat::kE8m0},  {WeightFormat::kQ2v, ScaleFormat::kE8m0},
    {WeightFormat::kBf16, ScaleFormat::kNone}, {WeightFormat::kF32, ScaleFormat::kNone}};

// aq128 of some rows, kept with them.
struct Quantised {
    Quantised(Ops& ops, MatrixView<const Bf16> rows)
        : codes(rows.rows, rows.cols),
          scales(rows.rows, rows.cols / 128),
          input{rows, {codes.view, scales.view}} {
        ops.quantise(rows, input.quantised);
    }
    Rows<uint8_t> codes, scales;
    LinearInput input;
};

// What a linear layer is to give, from definitions only: the value of an input after aq128, and of a weight.
inline double after_aq128(MatrixView<const Bf16> x, int64_t row, int64_t col) {
    float amax = 0;
    for (const Bf16 v : x.row(row).subspan(static_cast<size_t>(col / 128 * 128), 128))
        amax = std::max(amax, std::fabs(to_float(v)));
    const double s = std::ldexp(1, fp8_scale(amax) - 127);
    const double v = static_cast<double>(to_float(x.row(row)[static_cast<size_t>(col)]));
    return static_cast<double>(e4m3_value(e4m3_code(static_cast<float>(v / s)))) * s;
}
inline double scale_of(const LinearWeight& w, int64_t index) {
    if (w.scale_format == ScaleFormat::kE8m0)
        return std::ldexp(1, std::to_integer<int>(w.scales[index]) - 127);
    float value = 0;
    std::memcpy(&value, w.scales + 4 * index, 4);
    return static_cast<double>(value);
}
// The level of a low-bit weight, from the drawing in quant/linear_weight.h.
inline double level_at(const LinearWeight& w, int64_t at, size_t book) {
    const auto i = static_cast<size_t>(at % 32);
    const auto block_at = [&](size_t byte) {
        return std::to_integer<size_t>(w.codes[at / 32 * (w.format == WeightFormat::kQ3s ? 12 : 8) +
                                               static_cast<int64_t>(byte)]);
    };
    const size_t two = block_at(i / 4) >> (2 * (i % 4)) & 3;
    if (w.format == WeightFormat::kQ2s) return kQ2sBooks[book][two];
    if (w.format == WeightFormat::kQ2v)
        return kQ2vBooks[book][block_at(i / 4) >> (4 * (i / 2 % 2)) & 15][i % 2];
    const size_t third = block_at(8 + i % 16 / 4) >> (i / 16 * 4 + i % 4) & 1;
    return kQ3sBooks[book][two + 4 * third];
}
inline double weight_at(const LinearWeight& w, int64_t row, int64_t col) {
    const int64_t at = row * w.cols + col;
    Bf16 narrow;
    float wide = 0;
    switch (w.format) {
        case WeightFormat::kBf16:
            std::memcpy(&narrow, w.codes + 2 * at, 2);
            return static_cast<double>(to_float(narrow));
        case WeightFormat::kF32:
            std::memcpy(&wide, w.codes + 4 * at, 4);
            return static_cast<double>(wide);
        case WeightFormat::kFp8:
            return static_cast<double>(e4m3_value(std::to_integer<uint8_t>(w.codes[at]))) *
                   scale_of(w, row / 128 * ((w.cols + 127) / 128) + col / 128);
        case WeightFormat::kFp4: {
            const auto pair = std::to_integer<size_t>(w.codes[at / 2]);
            return static_cast<double>(kE2m1Values[at % 2 == 0 ? pair & 15 : pair >> 4]) *
                   scale_of(w, at / 32);
        }
        case WeightFormat::kQ3s:
        case WeightFormat::kQ2s:
        case WeightFormat::kQ2v: {
            const auto base = std::to_integer<int>(w.scales[row]);
            const auto byte = std::to_integer<int>(w.scales[w.rows + at / 32]);
            const double step = std::ldexp(byte % 2 == 0 ? 1 : 1.5, byte % 16 / 2);
            return level_at(w, at, static_cast<size_t>(byte >> 4)) * std::ldexp(step, base - 127);
        }
    }
    return 0;
}

struct Properties {
    Inputs in;
    Pool pool{2};
    std::unique_ptr<Ops> ops = make_reference_ops(pool);
};

inline std::vector<float> unpack(const KvRow& row) {
    double values[kHeadDim];
    reference::decode_row(row, values);
    return {values, values + kHeadDim};
}

inline HyperConnectionSite site_of(const std::vector<float>& fn, const std::vector<float>& base,
                                   const std::vector<float>& scale) {
    return {.fn = fn, .base = base, .scale = scale};
}

}  // namespace millrace
