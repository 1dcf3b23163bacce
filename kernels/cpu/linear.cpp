// y = x·Wᵀ (spec §2.5). What the kernels do: linear_kernels.h.

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

RowTiles CpuOps::tiles_of(int64_t n, int64_t cols) const {
    return {.rows = n,
            .groups = (cols + kLinearGroup - 1) / kLinearGroup,
            .tile_rows = std::min(n, kernels_.linear.tile_rows)};
}

const Bf16* CpuOps::ordered(const LinearInput& x, std::span<const int32_t> rows,
                            const LinearWeight& weight, const RowTiles& tiles) {
    // wo_a has quantised weights and rows that never are.
    const bool fp8 = weight.quantised() && x.quantised.codes.data != nullptr;
    const bool as_they_are = !weight.quantised() && tiles.rows == 1 && rows.empty();
    if (as_they_are && weight.cols % kLinearGroup == 0) return x.rows.data;
    ENSURE(fp8 || x.rows.cols == weight.cols);
    ENSURE(!fp8 || (x.quantised.codes.cols == weight.cols && weight.cols % kLinearGroup == 0));
    Bf16* out = ordered_.take(static_cast<size_t>(tiles.size() * kLinearGroup)).data();
    in_pieces(pool_, tiles.rows, weight.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            const int64_t from = rows.empty() ? r : rows[static_cast<size_t>(r)];
            Bf16* to = out + tiles.place(r) * kLinearGroup;
            if (fp8) {
                kernels_.linear.order_fp8(x.quantised.codes.row(from).data(),
                                          x.quantised.scales.row(from).data(), weight.cols,
                                          weight.format, to, tiles.tile_rows);
            } else {
                kernels_.linear.order_bf16(x.rows.row(from).data(), weight.cols, weight.format, to,
                                           tiles.tile_rows);
            }
        }
    });
    return out;
}

Int8Rows CpuOps::ordered_int8(MatrixView<const Bf16> x, std::span<const int32_t> rows,
                              WeightFormat format, const RowTiles& tiles) {
    ENSURE(x.data != nullptr && x.cols % kLinearGroup == 0);
    const auto count = static_cast<size_t>(tiles.size());
    int8_t* codes = int8_.codes.take(count * kLinearGroup).data();
    float* scales = int8_.scales.take(count).data();
    int32_t* starts = int8_.starts.take(count).data();
    in_pieces(pool_, tiles.rows, x.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            const int64_t from = rows.empty() ? r : rows[static_cast<size_t>(r)];
            const int64_t at = tiles.place(r);
            kernels_.linear.order_int8(x.row(from).data(), x.cols, format,
                                       codes + at * kLinearGroup, scales + at, starts + at,
                                       tiles.tile_rows);
        }
    });
    return {codes, scales, starts};
}

void CpuOps::multiply(const LinearInput& x, std::span<const int32_t> rows,
                      std::span<LinearTask> tasks) {
    const LinearWeight& weight = *tasks.front().weight;
    const bool int8 = options_.activations == Activations::kInt8 && weight.quantised();
    const bool from_rows = int8 || x.quantised.codes.data == nullptr || !weight.quantised();
    const int64_t all_rows = from_rows ? x.rows.rows : x.quantised.codes.rows;
    const int64_t n = rows.empty() ? all_rows : static_cast<int64_t>(rows.size());
    const RowTiles all = tiles_of(n, weight.cols);
    const Bf16* ready = int8 ? nullptr : ordered(x, rows, weight, all);
    const Int8Rows bytes = int8 ? ordered_int8(x.rows, rows, weight.format, all) : Int8Rows{};
    int64_t total = 0;
    for (const LinearTask& task : tasks) total += task_count(task);
    for (int64_t row = 0; row < n; row += kLinearRowsMax) {
        const int64_t at = all.place(row);
        for (LinearTask& task : tasks) {
            task.tiles = all;
            task.tiles.rows = std::min(kLinearRowsMax, n - row);
            task.x = int8 ? nullptr : ready + at * kLinearGroup;
            const int64_t skipped = row == 0 ? 0 : kLinearRowsMax * task.y_stride;
            if (task.y_bf16 != nullptr) task.y_bf16 += skipped;
            if (task.y_f32 != nullptr) task.y_f32 += skipped;
        }
        Int8Rows block;
        if (int8) block = {bytes.codes + at * kLinearGroup, bytes.scales + at, bytes.starts + at};
        const auto run = [&](const LinearTask& task, int64_t from, int64_t to) {
            if (int8) {
                kernels_.linear.multiply_int8(task, block, from, to);
            } else {
                kernels_.linear.multiply(task, from, to);
            }
        };
        // Neighbouring tasks stay on one thread: what it asks for ahead lies in its own cache. Pieces are small all the
        // same, a few microseconds of memory: at the end a thread waits for the other one's.
        constexpr int64_t kPiecesAThread = 8;
        const int64_t elements = kTask * weight.cols * std::min<int64_t>(n - row, 16);
        in_pieces(
            pool_, total, elements,
            [&](int64_t first, int64_t last) {
                int64_t begin = 0;
                for (const LinearTask& task : tasks) {
                    const int64_t count = task_count(task);
                    const int64_t from = std::clamp<int64_t>(first - begin, 0, count);
                    const int64_t to = std::clamp<int64_t>(last - begin, 0, count);
                    if (from < to) run(task, from, to);
                    begin += count;
                }
            },
            kPiecesAThread);
    }
}

void CpuOps::linear(const LinearInput& x, const LinearWeight& weight, MatrixView<Bf16> y) {
    ENSURE(y.cols == weight.rows);
    if (y.rows == 0) return;
    LinearTask task = whole(weight, y);
    multiply(x, {}, {&task, 1});
}

void CpuOps::linear_bf16(MatrixView<const Bf16> x, const LinearWeight& weight, int groups,
                         MatrixView<Bf16> y) {
    ENSURE(x.cols == groups * weight.cols && weight.rows % groups == 0 && y.cols == weight.rows);
    if (y.rows == 0) return;
    const int64_t rows = weight.rows / groups;
    ENSURE(weight.layout == WeightLayout::kRows || groups == 1 || rows % kStrip == 0);
    for (int64_t g = 0; g < groups; ++g) {
        const MatrixView<const Bf16> part(x.data + g * weight.cols, x.rows, weight.cols, x.stride);
        LinearTask task = whole(weight, y);
        task.first_row = g * rows;
        task.outputs = rows;
        task.y_bf16 += g * rows;
        multiply({.rows = part, .quantised = {}}, {}, {&task, 1});
    }
}

void CpuOps::linear_f32(MatrixView<const Bf16> x, const LinearWeight& weight, MatrixView<float> y) {
    ENSURE(x.cols == weight.cols && y.cols == weight.rows && x.rows == y.rows);
    if (y.rows == 0) return;
    LinearTask task = whole(weight, y);
    multiply({.rows = x, .quantised = {}}, {}, {&task, 1});
}

}  // namespace millrace
