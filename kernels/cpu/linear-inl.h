#pragma once
// Products of rows with strips: strip-inl.h decodes, this multiplies.

struct Panel {
    alignas(64) Bf16 pairs[kTask / kStrip][kPanelGroups * kPairs * 2 * kStrip];
    alignas(64) float scales[kTask / kStrip][kPanelGroups * kStrip];
};

// The totals of a tile, from and to c [rows][kTask].
template <int kRows>
[[gnu::always_inline]] inline void load_totals(const float* c, F (&totals)[kRows][kPanelStrips]) {
    for (int r = 0; r < kRows; ++r) {
        for (int s = 0; s < kPanelStrips; ++s) totals[r][s] = load(c + r * kTask + s * kStrip);
    }
}
template <int kRows>
[[gnu::always_inline]] inline void store_totals(const F (&totals)[kRows][kPanelStrips], float* c) {
    for (int r = 0; r < kRows; ++r) {
        for (int s = 0; s < kPanelStrips; ++s) store(c + r * kTask + s * kStrip, totals[r][s]);
    }
}

// kRows rows × kPanelStrips strips over the groups of a panel; x: the tile at the panel's first group; c [rows][kTask]
// holds the totals.
template <int kRows>
void multiply_tile(const Bf16* x, int64_t tile_rows, const Panel& panel, int64_t strip,
                   int64_t groups, float* c) {
    // Sums and totals both stay in registers: with totals in memory a quarter of the time goes into scaling groups.
    F totals[kRows][kPanelStrips];
    load_totals<kRows>(c, totals);
    for (int64_t group = 0; group < groups; ++group) {
        F sums[kRows][kPanelStrips];
        for (int r = 0; r < kRows; ++r) {
            for (int s = 0; s < kPanelStrips; ++s) sums[r][s] = zero();
        }
        const Bf16* xs = x + group * tile_rows * kLinearGroup;
        for (int j = 0; j < kPairs; ++j) {
            Pairs weights[kPanelStrips];
            for (int s = 0; s < kPanelStrips; ++s) {
                weights[s] = load_pairs(panel.pairs[strip + s] + (group * kPairs + j) * 2 * kStrip);
            }
            for (int r = 0; r < kRows; ++r) {
                const Pairs a = all_pairs(xs + r * kLinearGroup + 2 * j);
                for (int s = 0; s < kPanelStrips; ++s) sums[r][s] = dot(weights[s], a, sums[r][s]);
            }
        }
        for (int s = 0; s < kPanelStrips; ++s) {
            const F scale = load(panel.scales[strip + s] + group * kStrip);
            for (int r = 0; r < kRows; ++r) totals[r][s] = fma(sums[r][s], scale, totals[r][s]);
        }
    }
    store_totals<kRows>(totals, c);
}

using MultiplyTile = void (*)(const Bf16*, int64_t, const Panel&, int64_t, int64_t, float*);

template <int... kRows>
constexpr std::array<MultiplyTile, sizeof...(kRows)> tiles_of(
    std::integer_sequence<int, kRows...>) {
    return {multiply_tile<kRows + 1>...};
}
// The next call's rows begin a tile.
static_assert(kLinearRowsMax % kPanelRows == 0);
constexpr auto kTiles = tiles_of(std::make_integer_sequence<int, kPanelRows>());

void put_row(const LinearTask& task, int64_t row, int64_t output, const F& value, int64_t count) {
    if (count <= 0) return;
    const int64_t at = row * task.y_stride + output;
    if (task.y_bf16 != nullptr) {
        store_bf16_part(task.y_bf16 + at, value, count);
    } else {
        store_part(task.y_f32 + at, value, count);
    }
}

// One row: the strips of a task, decoded in registers.
void multiply_row(const LinearTask& task, int64_t output) {
    const LinearWeight& w = *task.weight;
    for (int64_t strip = 0; strip < kTask; strip += kStrip) {
        const int64_t at = output + strip;
        if (at >= task.outputs) return;
        const Strip one = strip_at(w, task.first_row + at, task.outputs - at);
        ToDot to(task.x);
        for (int part = 0; part < parts_of(w); ++part) decode(w, one, 0, w.cols, part, to);
        put_row(task, 0, at, to.total, one.count);
    }
}

// The strips of a task; one that is not there repeats the one before it, like the lanes of a strip.
struct TaskStrips {
    Strip at[kTask / kStrip];
};
TaskStrips strips_of(const LinearTask& task, int64_t output) {
    TaskStrips strips;
    int64_t at = output;
    for (Strip& strip : strips.at) {
        strip = strip_at(*task.weight, task.first_row + at, task.outputs - at);
        if (at + kStrip < task.outputs) at += kStrip;
    }
    return strips;
}

// c [rows][kTask] to y.
void put_rows(const LinearTask& task, int64_t output, const float* c) {
    for (int64_t r = 0; r < task.tiles.rows; ++r) {
        for (int64_t s = 0; s < kTask; s += kStrip) {
            put_row(task, r, output + s, load(c + r * kTask + s), task.outputs - output - s);
        }
    }
}

void multiply_rows(const LinearTask& task, int64_t output) {
    const LinearWeight& w = *task.weight;
    Panel panel;
    alignas(64) float c[kLinearRowsMax * kTask];
    std::memset(c, 0, static_cast<size_t>(task.tiles.rows * kTask) * sizeof(float));
    const TaskStrips strips = strips_of(task, output);
    for (int part = 0; part < parts_of(w); ++part) {
        for (int64_t first = 0; first < w.cols; first += kPanelColumns) {
            const int64_t count = std::min(kPanelColumns, w.cols - first);
            for (int64_t s = 0; s < kTask / kStrip; ++s) {
                ToPanel to{panel.pairs[s], panel.scales[s]};
                decode(w, strips.at[s], first, count, part, to);
            }
            const int64_t groups = (count + kLinearGroup - 1) / kLinearGroup;
            const RowTiles& tiles = task.tiles;
            for (int64_t r = 0; r < tiles.rows; r += tiles.tile_rows) {
                const int64_t left = std::min(tiles.tile_rows, tiles.rows - r);
                const Bf16* x = task.x + tiles.place(r) * kLinearGroup + first * tiles.tile_rows;
                for (int64_t s = 0; s < kTask / kStrip; s += kPanelStrips) {
                    kTiles[static_cast<size_t>(left - 1)](x, tiles.tile_rows, panel, s, groups,
                                                          c + r * kTask + s * kStrip);
                }
            }
        }
    }
    put_rows(task, output, c);
}

// Asks at once for what the first strip of a range reads before its own asking ahead takes effect.
[[gnu::always_inline]] inline void prefetch_begin(const LinearTask& task, int64_t output) {
    const Strip strip = strip_at(*task.weight, task.first_row + output, task.outputs - output);
    for (int64_t line = 0; line < kAhead; line += 64) {
        __builtin_prefetch(strip.codes[0] + line, 0, 3);
    }
}

void multiply(const LinearTask& task, int64_t first, int64_t last) {
    if (task.tiles.rows == 1 && task.weight->layout == WeightLayout::kStrips) {
        prefetch_begin(task, first * kTask);
    }
    for (int64_t t = first; t < last; ++t) {
        if (task.tiles.rows == 1) {
            multiply_row(task, t * kTask);
        } else {
            multiply_rows(task, t * kTask);
        }
    }
}
