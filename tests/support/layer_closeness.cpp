#include "tests/support/layer_closeness.h"

#include <doctest/doctest.h>

#include "core/base/strings.h"
#include "tests/support/layer_distance.h"
#include "tests/support/tiny_model.h"

namespace millrace::test {
namespace {

constexpr double kStreamsAllowance = 2;
constexpr double kTensorAllowance = 1.5;
constexpr double kEntryFloor = 0.003;
constexpr double kQuietRowMost = 0.15;
constexpr double kFlippedMost = 0.02;
constexpr double kAllRowsAllowance = 1.44;
constexpr double kMedianMost = 0.002;

// What is pooled over the models.
struct Pooled {
    std::vector<double> ours, official, rows;
};

std::string percent(double share) { return cat(fixed(100 * share, 3), " %"); }

void check_layer(const LayerDistances& layer, int32_t index, const OfficialOrder& official,
                 Pooled& pool) {
    const double one = official.one_layer()[static_cast<size_t>(index)];
    const Distance all = layer.of("streams", WhichRows::kAll);
    const Distance quiet = layer.of("streams", WhichRows::kQuiet);
    std::string line =
        cat("layer ", index, ": streams ", percent(all.relative()), ", quiet rows ",
            percent(quiet.relative()), ", median ", percent(median(all.rows())), ", farthest ",
            percent(all.largest_row()), " (official ", percent(one), ")");
    CHECK_MESSAGE(
        quiet.relative() <= std::max(kStreamsAllowance * one,
                                     kTensorAllowance * root_mean_square(official.one_layer())),
        index);
    CHECK_MESSAGE(quiet.largest_row() <= kQuietRowMost, index);
    for (const char* what : {"attn", "ffn", "compressor"}) {
        const std::optional<double> whole = official.whole(index, what);
        if (!whole) continue;
        const double floor = std::string_view(what) == "compressor" ? kEntryFloor : 0;
        const double is = layer.of(what, WhichRows::kQuiet).relative();
        CHECK_MESSAGE(is <= std::max(kTensorAllowance * *whole, floor), index, " ", what);
        line += cat(", ", what, " ", percent(is), " (", percent(*whole), ")");
    }
    line += cat(", experts equal ", layer.experts_equal, " of ", layer.experts);
    if (layer.picks > 0) line += cat(", picks equal ", layer.picks_equal, " of ", layer.picks);
    MESSAGE(line);
    pool.ours.push_back(all.relative());
    pool.official.push_back(one);
    pool.rows.insert(pool.rows.end(), all.rows().begin(), all.rows().end());
}

void check_model(const std::string& model, const RuntimeOptions& options, Pooled& pool) {
    CAPTURE(model);
    const GoldenTrace trace(model);
    const OfficialOrder official(model);
    const auto runtime = open_runtime(tiny_checkpoint(model), options);
    DistanceMeter meter;
    walk_layers(*runtime, trace, meter);
    REQUIRE(meter.layers().size() == official.one_layer().size());
    size_t flipped = 0;
    for (const auto& [index, layer] : meter.layers()) {
        check_layer(layer, index, official, pool);
        flipped += layer.flipped.size();
    }
    const double share = static_cast<double>(flipped) /
                         static_cast<double>(trace.tokens.size() * meter.layers().size());
    MESSAGE("rows with other experts or picks: ", percent(share));
    CHECK(share <= kFlippedMost);
}

}  // namespace

void check_closeness(const std::vector<std::string>& models, const RuntimeOptions& options) {
    Pooled pool;
    for (const std::string& model : models) check_model(model, options, pool);
    const double ours = root_mean_square(pool.ours);
    const double official = root_mean_square(pool.official);
    const double middle = median(pool.rows);
    MESSAGE("all layers: root mean square ", percent(ours), " (official ", percent(official),
            "), median of the rows ", percent(middle));
    CHECK(ours <= kAllRowsAllowance * official);
    CHECK(middle <= kMedianMost);
}

}  // namespace millrace::test
