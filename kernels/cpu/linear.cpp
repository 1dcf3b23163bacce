// y = x·Wᵀ (spec §2.5). What the kernels do: linear_kernels.h.

#include <array>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/pieces.h"

namespace millrace {
namespace {

[[nodiscard]] int64_t task_count(const LinearTask& task) {
    return (task.outputs + kTask - 1) / kTask;
}

}  // namespace

bool CpuOps::arranges(const LinearWeight& weight) const {
    return weight.layout == WeightLayout::kRows && weight.format != WeightFormat::kF32 &&
           weight.rows >= kStrip && weight.cols % kLinearGroup == 0;
}

void CpuOps::arrange(LinearWeight& weight, std::byte* codes, std::byte* scales) {
    const int64_t row = weight_row_bytes(weight);
    const bool by_row = weight.format == WeightFormat::kFp4 || weight.low_bit();
    const int64_t scale_row = by_row ? weight.cols / 32 : 0;
    // The bases of low-bit rows stay where they are: a strip's lie side by side.
    std::byte* first_scales = weight.low_bit() ? scales + weight.rows : scales;
    ENSURE(arranges(weight) && codes == weight.codes);
    ENSURE(scale_row == 0 || scales == weight.scales);
    const int64_t strips = weight.rows / kStrip;
    const int64_t pieces = std::min<int64_t>(strips, int64_t{2} * pool_.threads());
    const std::span copies = strips_.take(static_cast<size_t>(pieces * kStrip * row));
    pool_.run(pieces, [&](int64_t piece) {
        std::byte* copy = copies.data() + piece * kStrip * row;
        for (int64_t s = strips * piece / pieces; s < strips * (piece + 1) / pieces; ++s) {
            kernels_.linear.arrange_strip(codes + s * kStrip * row, row, copy);
            if (scale_row == 0) continue;
            kernels_.linear.arrange_scales(first_scales + s * kStrip * scale_row, scale_row, copy);
        }
    });
    weight.layout = WeightLayout::kStrips;
}

LinearTask CpuOps::whole(const LinearWeight& weight, MatrixView<Bf16> y) {
    LinearTask task;
    task.weight = &weight;
    task.outputs = weight.rows;
    task.y_bf16 = y.data;
    task.y_stride = y.stride;
    return task;
}

LinearTask CpuOps::whole(const LinearWeight& weight, MatrixView<float> y) {
    LinearTask task;
    task.weight = &weight;
    task.outputs = weight.rows;
    task.y_f32 = y.data;
    task.y_stride = y.stride;
    return task;
}

RowTiles CpuOps::tiles_of(int64_t n, int64_t cols, int64_t tile_rows) const {
    return {.rows = n, .groups = (cols + kLinearGroup - 1) / kLinearGroup, .tile_rows = tile_rows};
}

const Bf16* CpuOps::ordered(const LinearInput& x, std::span<const int32_t> rows,
                            const LinearWeight& weight, int64_t parts, const RowTiles& tiles) {
    // wo_a has quantised weights and rows that never are.
    const bool fp8 = weight.quantised() && x.quantised.codes.data != nullptr;
    const bool as_they_are = !weight.quantised() && tiles.rows == 1 && rows.empty();
    if (as_they_are && weight.cols % kLinearGroup == 0) return x.rows.data;
    ENSURE(fp8 || x.rows.cols == parts * weight.cols);
    ENSURE(!fp8 || (parts == 1 && x.quantised.codes.cols == weight.cols &&
                    weight.cols % kLinearGroup == 0));
    Bf16* out = ordered_.take(static_cast<size_t>(parts * tiles.size() * kLinearGroup)).data();
    in_pieces(pool_, parts * tiles.rows, weight.cols, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const int64_t r = i / parts;
            const int64_t part = i % parts;
            const int64_t from = rows.empty() ? r : rows[static_cast<size_t>(r)];
            Bf16* to = out + (part * tiles.size() + tiles.place(r)) * kLinearGroup;
            if (fp8) {
                kernels_.linear.order_fp8(x.quantised.codes.row(from).data(),
                                          x.quantised.scales.row(from).data(), weight.cols,
                                          weight.format, to, tiles.tile_rows);
            } else {
                kernels_.linear.order_bf16(x.rows.row(from).data() + part * weight.cols,
                                           weight.cols, weight.format, to, tiles.tile_rows);
            }
        }
    });
    return out;
}

Int8Rows CpuOps::ordered_int8(MatrixView<const Bf16> x, std::span<const int32_t> rows,
                              const LinearWeight& weight, int64_t parts, const RowTiles& tiles) {
    ENSURE(x.data != nullptr && x.cols == parts * weight.cols && weight.cols % kLinearGroup == 0);
    const auto count = static_cast<size_t>(parts * tiles.size());
    int8_t* codes = int8_.codes.take(count * kLinearGroup).data();
    float* scales = int8_.scales.take(count).data();
    int32_t* starts = int8_.starts.take(count).data();
    in_pieces(pool_, parts * tiles.rows, weight.cols, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const int64_t r = i / parts;
            const int64_t part = i % parts;
            const int64_t from = rows.empty() ? r : rows[static_cast<size_t>(r)];
            const int64_t at = part * tiles.size() + tiles.place(r);
            kernels_.linear.order_int8(x.row(from).data() + part * weight.cols, weight.cols,
                                       weight.format, codes + at * kLinearGroup, scales + at,
                                       starts + at, tiles.tile_rows);
        }
    });
    return {codes, scales, starts};
}

CpuOps::ReadyRows CpuOps::ready(const LinearInput& x, std::span<const int32_t> rows,
                                const LinearWeight& weight, int64_t parts, RowTiles tiles) {
    ReadyRows out;
    out.tiles = tiles;
    if (options_.activations == Activations::kInt8 && weight.quantised()) {
        out.int8 = ordered_int8(x.rows, rows, weight, parts, tiles);
    } else {
        out.bf16 = ordered(x, rows, weight, parts, tiles);
    }
    return out;
}

void CpuOps::multiply(const Product& product, int64_t row, int64_t first, int64_t last) {
    LinearTask task = product.task;
    task.tiles = product.x.tiles;
    task.tiles.rows = std::min(kLinearRowsMax, product.x.tiles.rows - row);
    if (task.y_bf16 != nullptr) task.y_bf16 += row * task.y_stride;
    if (task.y_f32 != nullptr) task.y_f32 += row * task.y_stride;
    const int64_t at = product.at + product.x.tiles.place(row);
    if (product.x.bf16 != nullptr) {
        task.x = product.x.bf16 + at * kLinearGroup;
        kernels_.linear.multiply(task, first, last);
    } else {
        const Int8Rows& x = product.x.int8;
        kernels_.linear.multiply_int8(
            task, {x.codes + at * kLinearGroup, x.scales + at, x.starts + at}, first, last);
    }
}

void CpuOps::multiply(std::span<const Product> products) {
    const int64_t n = products.front().x.tiles.rows;
    const int64_t cols = products.front().task.weight->cols;
    int64_t total = 0;
    for (const Product& product : products) {
        ENSURE(product.x.tiles.rows == n);
        total += task_count(product.task);
    }
    for (int64_t row = 0; row < n; row += kLinearRowsMax) {
        // Pieces are small, a few microseconds of memory: at the end a thread waits for the other one's. A thread's pieces
        // are neighbours: what it asks for ahead in one is what it reads in the next.
        constexpr int64_t kPiecesAThread = 8;
        const int64_t elements = kTask * cols * std::min<int64_t>(n - row, 16);
        in_pieces(
            pool_, total, elements,
            [&](int64_t first, int64_t last) {
                int64_t begin = 0;
                for (const Product& product : products) {
                    const int64_t count = task_count(product.task);
                    const int64_t from = std::clamp<int64_t>(first - begin, 0, count);
                    const int64_t to = std::clamp<int64_t>(last - begin, 0, count);
                    if (from < to) multiply(product, row, from, to);
                    begin += count;
                }
            },
            kPiecesAThread);
    }
}

void CpuOps::linear(const LinearInput& x, const LinearWeight& weight, MatrixView<Bf16> y) {
    ENSURE(y.cols == weight.rows);
    if (y.rows == 0) return;
    const Product product{whole(weight, y), ready(x, {}, weight, 1, tiles_of(y.rows, weight.cols))};
    multiply({&product, 1});
}

void CpuOps::linear_bf16(MatrixView<const Bf16> x, const LinearWeight& weight, int groups,
                         MatrixView<Bf16> y) {
    ENSURE(x.cols == groups * weight.cols && weight.rows % groups == 0 && y.cols == weight.rows);
    if (y.rows == 0) return;
    const int64_t rows = weight.rows / groups;
    ENSURE(weight.layout == WeightLayout::kRows || groups == 1 || rows % kStrip == 0);
    const ReadyRows parts =
        ready({.rows = x, .quantised = {}}, {}, weight, groups, tiles_of(y.rows, weight.cols));
    const std::span products = products_.take(static_cast<size_t>(groups));
    for (int64_t g = 0; g < groups; ++g) {
        LinearTask task = whole(weight, y);
        task.first_row = g * rows;
        task.outputs = rows;
        task.y_bf16 += g * rows;
        products[static_cast<size_t>(g)] = {task, parts, g * parts.tiles.size()};
    }
    multiply(products);
}

void CpuOps::linear_f32(MatrixView<const Bf16> x, const LinearWeight& weight, MatrixView<float> y) {
    ENSURE(x.cols == weight.cols && y.cols == weight.rows && x.rows == y.rows);
    if (y.rows == 0) return;
    const Product product{whole(weight, y), ready({.rows = x, .quantised = {}}, {}, weight, 1,
                                                  tiles_of(y.rows, weight.cols))};
    multiply({&product, 1});
}

void CpuOps::compressor_rows(MatrixView<const Bf16> x, const LinearWeight& wkv,
                             const LinearWeight& wgate, std::span<const float> ape, int ratio,
                             std::span<const int32_t> positions, MatrixView<float> rows) {
    const int64_t width = wkv.rows;
    ENSURE(rows.cols == 2 * width && wgate.rows == width && rows.rows == x.rows);
    ENSURE(x.cols == wkv.cols && x.cols == wgate.cols && wkv.format == wgate.format);
    ENSURE(ape.size() == static_cast<size_t>(ratio * width));
    if (rows.rows == 0) return;
    const ReadyRows both =
        ready({.rows = x, .quantised = {}}, {}, wkv, 1, tiles_of(x.rows, x.cols));
    const std::array products = {
        Product{whole(wkv, {rows.data, rows.rows, width, rows.stride}), both},
        Product{whole(wgate, {rows.data + width, rows.rows, width, rows.stride}), both}};
    multiply(products);
    for (int64_t r = 0; r < rows.rows; ++r) {
        const float* shift = ape.data() + positions[static_cast<size_t>(r)] % ratio * width;
        float* score = rows.row(r).data() + width;
        for (int64_t i = 0; i < width; ++i) score[i] += shift[i];
    }
}

}  // namespace millrace
