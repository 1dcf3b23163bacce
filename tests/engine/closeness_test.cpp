// The cpu ops layer by layer from golden input: not farther from the canonical result than an equally correct
// implementation. tests/golden/model/*/official-fp32-order.json says how far the official code gets from it by summing in
// another order: of each layer from golden input (`one_layer_on_official_input`, the streams behind the layer), and of each
// tensor in a run of the whole model, which carries the errors of the layers before. Layer 0 is the same in both.
//
// What makes a distance. A sum in another order moves its last bit; now and then that crosses a rounding to bf16 or to FP8
// and becomes a step of 0.4 % or 6 % of one value; rarely it changes which expert a row goes to or which entry it picks, and
// then this row is another row. So a layer's distance is a sum over few events, and two correct implementations differ in
// it by chance. The bounds:
//
//   quiet rows    (same experts and picks as the golden) are judged alone, tensor by tensor: a flipped row weighs more than
//                 all the others. Streams: twice the layer's official distance, or, where chance gave the official code
//                 few events, one and a half of the root mean square over the model's layers. attn and ffn: one and a half
//                 of the official distance in the whole run; compressor: the same, or one FP8 step (2⁻⁴) of one of an
//                 entry's 512 values, which is 0.3 % of the entry.
//   outliers      no quiet row's streams are farther than kQuietRowMost: larger changes need a flip.
//   flips         at most kFlippedMost of the rows of a model: a score must lie within about 1 % of the next one.
//   all rows      the root mean square of all layers of all models, flipped rows included, against the same of the official
//                 figures. These are 19 draws each; their mean square has a relative standard error of 0.37, a quotient of
//                 two of 0.53. Allowed are two of these: 1 + 2·0.53 for the mean square, its root 1.44 for the distance.
//   median        of all rows' streams: most sums change nothing, so it is near 0. A rounding left out, doubled or done the
//                 wrong way moves every row by 0.2 % or more.

#include <doctest/doctest.h>

#include "core/base/strings.h"
#include "tests/kernels/cpu_fixture.h"
#include "tests/support/layer_distance.h"
#include "tests/support/tiny_model.h"

namespace millrace {
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

void check_layer(const test::LayerDistances& layer, int32_t index,
                 const test::OfficialOrder& official, Pooled& pool) {
    const double one = official.one_layer()[static_cast<size_t>(index)];
    const test::Distance all = layer.of("streams", test::WhichRows::kAll);
    const test::Distance quiet = layer.of("streams", test::WhichRows::kQuiet);
    std::string line =
        cat("layer ", index, ": streams ", percent(all.relative()), ", quiet rows ",
            percent(quiet.relative()), ", median ", percent(test::median(all.rows())),
            ", farthest ", percent(all.largest_row()), " (official ", percent(one), ")");
    CHECK_MESSAGE(quiet.relative() <=
                      std::max(kStreamsAllowance * one,
                               kTensorAllowance * test::root_mean_square(official.one_layer())),
                  index);
    CHECK_MESSAGE(quiet.largest_row() <= kQuietRowMost, index);
    for (const char* what : {"attn", "ffn", "compressor"}) {
        const std::optional<double> whole = official.whole(index, what);
        if (!whole) continue;
        const double floor = std::string_view(what) == "compressor" ? kEntryFloor : 0;
        const double is = layer.of(what, test::WhichRows::kQuiet).relative();
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
    const test::GoldenTrace trace(model);
    const test::OfficialOrder official(model);
    const auto runtime = test::open_runtime(test::tiny_checkpoint(model), options);
    test::DistanceMeter meter;
    test::walk_layers(*runtime, trace, meter);
    REQUIRE(meter.layers().size() == official.one_layer().size());
    MESSAGE(model, " with ", std::string(isa_name(options.cpu.isa)));
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

TEST_CASE("cpu layers are as near to canonical as the official code in another order") {
    for (const Isa isa : available_isas()) {
        RuntimeOptions options = test::tiny_options();
        options.ops = "cpu";
        options.cpu.isa = isa;
        const std::string name(isa_name(isa));
        CAPTURE(name);
        Pooled pool;
        for (const char* model : {"tiny-flash", "tiny-pro", "tiny-base", "tiny-clamp"})
            check_model(model, options, pool);
        const double ours = test::root_mean_square(pool.ours);
        const double official = test::root_mean_square(pool.official);
        const double median = test::median(pool.rows);
        MESSAGE(name, ", all layers: root mean square ", percent(ours), " (official ",
                percent(official), "), median of the rows ", percent(median));
        CHECK(ours <= kAllRowsAllowance * official);
        CHECK(median <= kMedianMost);
    }
}

}  // namespace millrace
