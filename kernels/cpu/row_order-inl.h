#pragma once
// Rows of x in the order in which strips bring their columns: RowTiles of linear_kernels.h.

// Place of column i of a group of 32 when decoding brings them (2j, 2j+1 are pair j).
constexpr int place_of(WeightFormat format, int i) {
    switch (format) {
        case WeightFormat::kFp4:  // pairs of nibbles p and p + 4 of 8
            return i / 8 * 8 + i % 4 * 2 + i % 8 / 4;
        case WeightFormat::kFp8:  // bytes 0 and 2, then 1 and 3, of 4
            return i / 4 * 4 + i % 2 * 2 + i % 4 / 2;
        case WeightFormat::kQ3s:
        case WeightFormat::kQ2s:
        case WeightFormat::kQ2v:  // of four bytes a quarter at a time: bytes 0 and 2, then 1 and 3
            return i / 16 * 16 + i % 4 * 4 + i / 4 % 2 * 2 + i % 16 / 8;
        default: return i;
    }
}
constexpr size_t kFormats = static_cast<size_t>(WeightFormat::kQ2v) + 1;
constexpr auto kPlaces = [] {
    std::array<std::array<uint8_t, kLinearGroup>, kFormats> out{};
    for (const WeightFormat format :
         {WeightFormat::kBf16, WeightFormat::kF32, WeightFormat::kFp8, WeightFormat::kFp4,
          WeightFormat::kQ3s, WeightFormat::kQ2s, WeightFormat::kQ2v}) {
        for (int i = 0; i < kLinearGroup; ++i) {
            out[static_cast<size_t>(format)][static_cast<size_t>(i)] =
                static_cast<uint8_t>(place_of(format, i));
        }
    }
    return out;
}();

// The places of 16 neighbouring columns, turned around for a shuffle of bytes: byte i of the result is column out[i]. No
// format moves a column further than within its sixteen.
constexpr auto kByteOrders = [] {
    std::array<std::array<uint8_t, 64>, kFormats> out{};
    for (size_t format = 0; format < kFormats; ++format) {
        for (size_t i = 0; i < 64; ++i) out[format][i / 16 * 16 + kPlaces[format][i % 16]] = i % 16;
    }
    return out;
}();

void order_bf16(const Bf16* x, int64_t cols, WeightFormat format, Bf16* out, int64_t step) {
    const auto& places = kPlaces[static_cast<size_t>(format)];
    for (int64_t i = 0; i < cols; i += kLinearGroup) {
        Bf16* group = out + i * step;
        for (int64_t k = 0; k < kLinearGroup; ++k) {
            group[places[static_cast<size_t>(k)]] = i + k < cols ? x[i + k] : Bf16{};
        }
    }
}

void order_fp8(const uint8_t* codes, const uint8_t* scales, int64_t cols, WeightFormat format,
               Bf16* out, int64_t step) {
    const I order = load_bytes(kByteOrders[static_cast<size_t>(format)].data());
    alignas(64) std::byte moved[64];
    for (int64_t i = 0; i < cols; i += kLinearGroup) {
        const F scale = all(e8m0_value(scales[i / 128]));
        for (int64_t half = 0; half < kLinearGroup; half += 16) {
            store_int(moved, lookup_bytes(codes + i + half, order));
            const I ordered = load_u8(reinterpret_cast<const uint8_t*>(moved));
            store_bf16(out + i * step + half, e4m3_floats(ordered) * scale);
        }
    }
}
