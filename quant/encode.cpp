#include "quant/encode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/check.h"
#include "quant/blocks.h"
#include "quant/codebook.h"
#include "quant/float_codes.h"

namespace millrace {
namespace {

// Steps are counted from the block's own scale here: step j multiplies integer levels so that they lie among the values
// of e2m1. These are the ones that random blocks of any kind ask for.
constexpr int kFirstStep = -14;
constexpr int kStepsTried = 10;
constexpr int kCandidates =
    kStepsTried * kLowBitBooks;  // candidate = book + 16 · (step − kFirstStep)
constexpr int kPairs = kLowBitBlock / 2;
constexpr int kLanes =
    16;  // costs that are summed together: they fit the registers of any processor

using Costs = std::array<float, kCandidates>;

// A block of the source: codes of e2m1 and what an error in each column counts.
struct Block {
    std::array<uint8_t, kLowBitBlock> codes;
    std::array<float, kLowBitBlock> weights;
    bool flat = false;      // all weights alike
    double importance = 1;  // what a weight of 1 stands for in other blocks
};

struct Choice {
    int book = 0;
    int step = 0;
};

// Vectors that every processor has, of the compiler's own: left to itself it unrolls these loops instead.
using Four [[gnu::vector_size(16)]] = float;
using FourInts [[gnu::vector_size(16)]] = int32_t;

[[nodiscard, gnu::always_inline]] inline Four load_four(const float* at) {
    Four out;
    std::memcpy(&out, at, sizeof out);
    return out;
}

// 16 costs, or what belongs to 16 pairs.
struct Lanes {
    Four four[kLanes / 4];
};

// sums += weight · table, for 16 candidates from `first`.
[[gnu::always_inline]] inline void add_costs(Lanes& sums, const Costs& table, int first,
                                             float weight) {
    for (int i = 0; i < kLanes / 4; ++i)
        sums.four[i] += weight * load_four(table.data() + first + 4 * i);
}

// The first of the least.
[[nodiscard]] Choice cheapest(const Costs& costs) {
    Four least = load_four(costs.data());
    FourInts places = {0, 0, 0, 0};
    for (int at = 4; at < kCandidates; at += 4) {
        const Four next = load_four(costs.data() + at);
        const FourInts less = next < least;
        least = less ? next : least;
        places = less ? FourInts{at, at, at, at} : places;
    }
    int best = 0;
    for (int i = 1; i < 4; ++i) {
        const bool less = least[i] < least[best] ||
                          (least[i] == least[best] && places[i] + i < places[best] + best);
        best = less ? i : best;
    }
    const int at = places[best] + best;
    return {at % kLowBitBooks, kFirstStep + at / kLowBitBooks};
}

// Formats whose indices are levels of one weight.
template <size_t kLevels>
class LevelSearch {
public:
    explicit constexpr LevelSearch(const LevelBooks<kLevels>& books) : books_(books), costs_() {
        for (size_t code = 0; code < 16; ++code) {
            for (int at = 0; at < kCandidates; ++at) {
                const auto book = static_cast<size_t>(at % kLowBitBooks);
                const float step = step_value(kFirstStep + at / kLowBitBooks);
                const float value = kE2m1Values[code];
                const float level =
                    static_cast<float>(books[book][nearest(books[book], value, step)]) * step;
                costs_[code][static_cast<size_t>(at)] = (value - level) * (value - level);
            }
        }
    }

    [[nodiscard]] Choice best(const Block& block) const {
        const auto histogram = histogram_of(block);
        Costs costs;
        for (int first = 0; first < kCandidates; first += kLanes) {
            Lanes sums{};
            for (size_t code = 0; code < 16; ++code)
                add_costs(sums, costs_[code], first, histogram[code]);
            std::memcpy(costs.data() + first, &sums, sizeof sums);
        }
        return cheapest(costs);
    }

    // What a block costs with a book and a factor of its levels.
    [[nodiscard]] float cost(const Block& block, int book, float factor) const {
        const auto histogram = histogram_of(block);
        const auto& levels = books_[static_cast<size_t>(book)];
        float out = 0;
        for (size_t code = 0; code < 16; ++code) {
            const float value = kE2m1Values[code];
            const float off =
                value - static_cast<float>(levels[nearest(levels, value, factor)]) * factor;
            out += histogram[code] * off * off;
        }
        return out;
    }

    [[nodiscard]] BlockIndices indices(const Block& block, int book, float factor) const {
        std::array<uint8_t, 16> of_code{};
        for (size_t code = 0; code < 16; ++code) {
            of_code[code] = static_cast<uint8_t>(
                nearest(books_[static_cast<size_t>(book)], kE2m1Values[code], factor));
        }
        BlockIndices out{};
        for (size_t i = 0; i < out.size(); ++i) out[i] = of_code[block.codes[i]];
        return out;
    }

private:
    // The nearest of ascending levels; of two the lower one.
    [[nodiscard]] static constexpr size_t nearest(const std::array<int8_t, kLevels>& levels,
                                                  float value, float factor) {
        size_t at = 0;
        for (size_t i = 1; i < kLevels; ++i) {
            const float middle = 0.5F * (static_cast<float>(levels[i - 1]) * factor +
                                         static_cast<float>(levels[i]) * factor);
            at += value > middle ? 1 : 0;
        }
        return at;
    }

    [[nodiscard]] static std::array<float, 16> histogram_of(const Block& block) {
        std::array<float, 16> out{};
        for (size_t i = 0; i < block.codes.size(); ++i) out[block.codes[i]] += block.weights[i];
        return out;
    }

    const LevelBooks<kLevels>& books_;
    std::array<Costs, 16> costs_;  // [code]
};

constexpr LevelSearch<8> kQ3sSearch(kQ3sBooks);
constexpr LevelSearch<4> kQ2sSearch(kQ2sBooks);

// kQ2v. With unequal weights the nearest point of a pair depends on them: the tables are made for three ratios of the two
// weights, bound a candidate's cost from above, and the best candidates are weighed exactly.
class PointSearch {
public:
    PointSearch() {
        for (size_t ratio = 0; ratio < kRatios.size(); ++ratio) {
            for (int at = 0; at < kCandidates; ++at) fill(ratio, at);
        }
    }

    [[nodiscard]] Choice best(const Block& block) const {
        std::array<const PairCosts*, kPairs> tables;
        for (size_t i = 0; i < kPairs; ++i) {
            const float x = block.weights[2 * i], y = block.weights[2 * i + 1];
            const size_t ratio = x > kUneven * y ? 0 : y > kUneven * x ? 2 : 1;
            const size_t pair = block.codes[2 * i] + size_t{16} * block.codes[2 * i + 1];
            tables[i] = &costs_[ratio][pair];
        }
        Costs costs;
        for (int first = 0; first < kCandidates; first += kLanes) {
            Lanes sums{};
            for (size_t i = 0; i < kPairs; ++i) {
                add_costs(sums, (*tables[i])[0], first, block.weights[2 * i]);
                add_costs(sums, (*tables[i])[1], first, block.weights[2 * i + 1]);
            }
            std::memcpy(costs.data() + first, &sums, sizeof sums);
        }
        Choice out = cheapest(costs);
        if (block.flat) return out;
        float least = std::numeric_limits<float>::infinity();
        for (int i = 0; i < kWeighed; ++i) {
            const Choice next = cheapest(costs);
            costs[static_cast<size_t>(next.book + kLowBitBooks * (next.step - kFirstStep))] =
                std::numeric_limits<float>::infinity();
            const float exact = cost(block, next.book, step_value(next.step));
            if (exact < least) {
                least = exact;
                out = next;
            }
        }
        return out;
    }

    [[nodiscard]] float cost(const Block& block, int book, float factor) const {
        const Nearest found = nearest(block, book, factor);
        const Four sum = (found.costs.four[0] + found.costs.four[1]) +
                         (found.costs.four[2] + found.costs.four[3]);
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }

    [[nodiscard]] BlockIndices indices(const Block& block, int book, float factor) const {
        BlockIndices out{};
        const Nearest found = nearest(block, book, factor);
        for (int i = 0; i < kPairs; ++i)
            out[static_cast<size_t>(i)] = static_cast<uint8_t>(found.points[i / 4][i % 4]);
        return out;
    }

private:
    static constexpr int kWeighed = 6;
    // What the first weight of a pair counts beside the second, in each table, and from where on that is the nearest.
    static constexpr std::array<float, 3> kRatios = {8, 1, 0.125F};
    static constexpr float kUneven = 2.8F;
    using PairCosts = std::array<Costs, 2>;  // of the first, of the second weight

    void fill(size_t ratio, int at) {
        const float step = step_value(kFirstStep + at / kLowBitBooks);
        for (size_t pair = 0; pair < 256; ++pair) {
            const float first = kE2m1Values[pair & 15], second = kE2m1Values[pair >> 4];
            float least = std::numeric_limits<float>::infinity();
            for (const auto& point : kQ2vBooks[static_cast<size_t>(at % kLowBitBooks)]) {
                const float x = first - static_cast<float>(point[0]) * step;
                const float y = second - static_cast<float>(point[1]) * step;
                const float both = kRatios[ratio] * x * x + y * y;
                if (both >= least) continue;
                least = both;
                costs_[ratio][pair][0][static_cast<size_t>(at)] = x * x;
                costs_[ratio][pair][1][static_cast<size_t>(at)] = y * y;
            }
        }
    }

    struct Nearest {
        Lanes costs;
        FourInts points[kPairs / 4];
    };
    // All pairs of a block at once, point by point.
    [[nodiscard]] static Nearest nearest(const Block& block, int book, float factor) {
        std::array<float, kPairs> x, y, x_weight, y_weight;
        for (size_t i = 0; i < kPairs; ++i) {
            x[i] = kE2m1Values[block.codes[2 * i]];
            y[i] = kE2m1Values[block.codes[2 * i + 1]];
            x_weight[i] = block.weights[2 * i];
            y_weight[i] = block.weights[2 * i + 1];
        }
        Nearest out{};
        for (Four& cost : out.costs.four) cost += std::numeric_limits<float>::infinity();
        int32_t index = 0;
        for (const auto& point : kQ2vBooks[static_cast<size_t>(book)]) {
            const float px = static_cast<float>(point[0]) * factor;
            const float py = static_cast<float>(point[1]) * factor;
            for (int i = 0; i < kPairs / 4; ++i) {
                const Four dx = load_four(&x[static_cast<size_t>(4 * i)]) - px;
                const Four dy = load_four(&y[static_cast<size_t>(4 * i)]) - py;
                const Four cost = dx * dx * load_four(&x_weight[static_cast<size_t>(4 * i)]) +
                                  dy * dy * load_four(&y_weight[static_cast<size_t>(4 * i)]);
                const FourInts nearer = cost < out.costs.four[i];
                out.costs.four[i] = nearer ? cost : out.costs.four[i];
                out.points[i] = nearer ? FourInts{index, index, index, index} : out.points[i];
            }
            ++index;
        }
        return out;
    }

    std::array<std::array<PairCosts, 256>, kRatios.size()> costs_;  // [ratio][pair of codes]
};

const PointSearch& point_search() {
    static const PointSearch made;
    return made;
}

// One row of a matrix on its way.
struct RowJob {
    const LinearWeight& source;
    std::span<const float> importance;
    WeightFormat format;
    int64_t row;
    std::byte* codes;   // of the row
    std::byte* scales;  // of the row's blocks
};

[[nodiscard]] int source_scale(const RowJob& job, int64_t block) {
    const int64_t at = job.row * (job.source.cols / kLowBitBlock) + block;
    return std::to_integer<int>(job.source.scales[at]);
}

// Of a block in which nothing counts: below every other float.
constexpr double kNoImportance = 1e-60;

[[nodiscard]] Block load_block(const RowJob& job, int64_t index) {
    Block out{};
    const std::byte* codes = job.source.codes + (job.row * job.source.cols + index * 32) / 2;
    for (size_t i = 0; i < kPairs; ++i) {
        const auto pair = std::to_integer<uint8_t>(codes[i]);
        out.codes[2 * i] = pair & 15;
        out.codes[2 * i + 1] = pair >> 4;
    }
    float most = 0;
    if (!job.importance.empty()) {
        const std::span from = job.importance.subspan(static_cast<size_t>(index) * 32, 32);
        for (size_t i = 0; i < out.weights.size(); ++i) {
            const bool counts = from[i] > 0 && from[i] < std::numeric_limits<float>::infinity();
            out.weights[i] = counts ? from[i] : 0;
            // What only zeros would be held to says nothing about the block.
            if ((out.codes[i] & 7) != 0) most = std::max(most, out.weights[i]);
        }
        // Costs are compared within a block only: this keeps their sums in range.
        for (float& weight : out.weights) weight = most > 0 ? weight / most : weight;
    }
    out.flat = !(most > 0);
    if (out.flat) out.weights.fill(1);
    if (!job.importance.empty())
        out.importance = out.flat ? kNoImportance : static_cast<double>(most);
    return out;
}

// Σ weight · value², as the row sees it.
[[nodiscard]] double energy_of(const Block& block, int scale) {
    float out = 0;
    for (size_t i = 0; i < block.codes.size(); ++i) {
        const float value = kE2m1Values[block.codes[i]];
        out += block.weights[i] * value * value;
    }
    return std::ldexp(block.importance * static_cast<double>(out), 2 * (scale - 127));
}

// What each step of the row would carry, steps counted from 2⁻¹²⁷ times kFirstStep.
struct RowSteps {
    static constexpr int kCount = 2 * 255 + kStepsTried;
    std::array<double, kCount> energy{};
    int lowest = kCount, highest = -kCount;

    void add(int step, double amount) {
        if (amount <= 0) return;
        lowest = std::min(lowest, step);
        highest = std::max(highest, step);
        energy[static_cast<size_t>(step - kFirstStep)] += amount;
    }
    [[nodiscard]] bool empty() const { return highest < lowest; }

    // Roughly what is lost of a step's energy outside the window: above it blocks are cut off, below it they are
    // rounded more coarsely until nothing is left of them.
    [[nodiscard]] double loss(int base) const {
        double out = 0;
        for (int step = lowest; step <= highest; ++step) {
            const double amount = energy[static_cast<size_t>(step - kFirstStep)];
            const int above = step - (2 * base + kLowBitSteps - 1), below = 2 * base - step;
            if (above > 0) out += amount * std::pow(1 - std::exp2(-0.5 * above), 2);
            if (below > 0) out += amount * std::min(1.0, 0.05 * std::exp2(below));
        }
        return out;
    }

    // The row's base: step s of the row is step s − 2·base of a block's byte. Everything inside if that is possible.
    [[nodiscard]] int base() const {
        if (empty()) return 127;
        const int lowest_base = std::clamp((highest - kLowBitSteps + 2) >> 1, 0, 254);
        const int highest_base = std::clamp(lowest >> 1, 0, 254);
        if (lowest_base <= highest_base) return highest_base;
        int best = lowest_base;
        for (int base = highest_base; base < lowest_base; ++base) {
            if (loss(base) < loss(best)) best = base;
        }
        return best;
    }
    [[nodiscard]] bool fits(int base) const {
        return empty() || (lowest >= 2 * base && highest < 2 * base + kLowBitSteps);
    }
};

template <class Search>
void write_block(const Search& search, const RowJob& job, const Block& block, int64_t index,
                 BlockScale scale, float factor) {
    pack_block(job.format, search.indices(block, scale.book, factor),
               job.codes + index * block_bytes(job.format));
    job.scales[index] = std::byte{block_scale_byte(scale)};
}

// The best of what a base leaves to a block that asks for a step outside its window: `low` is the window's first step
// counted from the block's scale.
template <class Search>
void write_clamped(const Search& search, const RowJob& job, const Block& block, int64_t index,
                   int low, int wanted) {
    BlockScale best;
    float least = std::numeric_limits<float>::infinity();
    float best_factor = 1;
    const bool above = wanted > low;
    for (const int step : {above ? kLowBitSteps - 1 : 0, above ? kLowBitSteps - 2 : 1}) {
        // Further away nothing changes any more: all is too large, or all too small but for its sign.
        const float factor = step_value(std::clamp(low + step, -24, 80));
        for (int book = 0; book < kLowBitBooks; ++book) {
            const float cost = search.cost(block, book, factor);
            if (!(cost < least)) continue;
            least = cost;
            best = {book, step};
            best_factor = factor;
        }
    }
    write_block(search, job, block, index, best, best_factor);
}

template <class Search>
[[nodiscard]] int encode_row(const Search& search, const RowJob& job) {
    const int64_t blocks = job.source.cols / kLowBitBlock;
    RowSteps steps;
    for (int64_t i = 0; i < blocks; ++i) {
        const int scale = source_scale(job, i);
        const Block block = load_block(job, i);
        const Choice choice = search.best(block);
        const int step = 2 * scale + choice.step;
        steps.add(step, energy_of(block, scale));
        // The step modulo 16: all there is to know if the row's steps fit.
        write_block(search, job, block, i, {choice.book, step & 15}, step_value(choice.step));
    }
    const int base = steps.base();
    if (steps.fits(base)) {
        for (int64_t i = 0; i < blocks; ++i) {
            BlockScale scale = block_scale(std::to_integer<uint8_t>(job.scales[i]));
            scale.step = (scale.step - 2 * base) & 15;
            job.scales[i] = std::byte{block_scale_byte(scale)};
        }
        return base;
    }
    for (int64_t i = 0; i < blocks; ++i) {
        const int low = 2 * (base - source_scale(job, i));
        const Block block = load_block(job, i);
        const Choice choice = search.best(block);
        const int step = choice.step - low;
        if (step >= 0 && step < kLowBitSteps) {
            write_block(search, job, block, i, {choice.book, step}, step_value(choice.step));
        } else {
            write_clamped(search, job, block, i, low, choice.step);
        }
    }
    return base;
}

[[nodiscard]] bool has_nan_scale(const RowJob& job) {
    for (int64_t i = 0; i < job.source.cols / kLowBitBlock; ++i) {
        if (source_scale(job, i) == 255) return true;
    }
    return false;
}

[[nodiscard]] int encode_row(const RowJob& job) {
    if (has_nan_scale(job)) {
        const int64_t blocks = job.source.cols / kLowBitBlock;
        std::fill_n(job.codes, blocks * block_bytes(job.format), std::byte{0});
        std::fill_n(job.scales, blocks, std::byte{0});
        return 255;
    }
    switch (job.format) {
        case WeightFormat::kQ3s: return encode_row(kQ3sSearch, job);
        case WeightFormat::kQ2s: return encode_row(kQ2sSearch, job);
        default: return encode_row(point_search(), job);
    }
}

}  // namespace

void encode_rows(const LinearWeight& source, std::span<const float> importance,
                 const EncodeTarget& target, int64_t first_row, int64_t row_count) {
    const LinearWeight made{.format = target.format,
                            .scale_format = ScaleFormat::kE8m0,
                            .rows = source.rows,
                            .cols = source.cols};
    ENSURE(source.format == WeightFormat::kFp4 && source.scale_format == ScaleFormat::kE8m0 &&
           source.layout == WeightLayout::kRows && source.cols % kLowBitBlock == 0);
    ENSURE(made.low_bit() && first_row >= 0 && first_row + row_count <= source.rows);
    ENSURE(importance.empty() || static_cast<int64_t>(importance.size()) == source.cols);
    for (int64_t row = first_row; row < first_row + row_count; ++row) {
        const int base = encode_row({.source = source,
                                     .importance = importance,
                                     .format = target.format,
                                     .row = row,
                                     .codes = target.codes + row * weight_row_bytes(made),
                                     .scales = target.scales + block_scales_offset(made, row)});
        target.scales[base_offset(row)] = std::byte{static_cast<uint8_t>(base)};
    }
}

}  // namespace millrace
