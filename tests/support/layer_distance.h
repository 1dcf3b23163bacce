#pragma once
// How far a model's layers lie from the golden ones: ‖computed − golden‖ / ‖golden‖ over all rows together, as the figures
// in tests/golden/model/*/official-fp32-order.json are, and what those figures say.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "tests/support/trace_walk.h"

namespace millrace::test {

class Distance {
public:
    void add_row(double error2, double size2);
    [[nodiscard]] double relative() const;
    // Of the single rows' own distances.
    [[nodiscard]] const std::vector<double>& rows() const { return rows_; }
    [[nodiscard]] double largest_row() const;

private:
    double error2_ = 0, size2_ = 0;
    std::vector<double> rows_;
};

enum class WhichRows {
    kAll,
    kQuiet,  // those with the golden's experts and picks
};

struct LayerDistances {
    struct Row {
        double error2 = 0, size2 = 0;
    };
    std::map<std::string, std::vector<Row>> tensors;
    std::set<int64_t> flipped;  // rows with other experts or picks
    int64_t picks = 0, picks_equal = 0;
    int64_t experts = 0, experts_equal = 0;

    // Entries of the compressor belong to no one row: all of them are quiet.
    [[nodiscard]] Distance of(const std::string& what, WhichRows which) const;
};

// Measures what a walk shows.
class DistanceMeter final : public TraceWatcher {
public:
    void see(const Traced& traced, std::span<const Bf16> computed,
             std::span<const Bf16> golden) override;
    void see(const Traced&, std::span<const float>, std::span<const float>) override {}
    void see(const Traced& traced, std::span<const int32_t> computed,
             std::span<const int32_t> golden) override;
    void see(const Traced& traced, std::span<const int64_t> computed,
             std::span<const int64_t> golden) override;

    [[nodiscard]] const std::map<int32_t, LayerDistances>& layers() const { return layers_; }
    // Of the streams behind each layer, all rows.
    [[nodiscard]] std::vector<double> streams() const;

private:
    std::map<int32_t, LayerDistances> layers_;
};

// The figures of official-fp32-order.json of a model.
class OfficialOrder {
public:
    explicit OfficialOrder(const std::string& model);

    // The streams of each layer from golden input.
    [[nodiscard]] const std::vector<double>& one_layer() const { return one_layer_; }
    // A tensor in a run of the whole model; absent where the layer does not have it.
    [[nodiscard]] std::optional<double> whole(int32_t layer, std::string_view what) const;
    // Logits of the trace's tokens: mean |difference|, standard deviation of all, share of rows with the same best token.
    [[nodiscard]] double logits(std::string_view figure) const;

private:
    Json json_;
    std::vector<double> one_layer_;
};

[[nodiscard]] double median(std::vector<double> values);
[[nodiscard]] double root_mean_square(const std::vector<double>& values);

}  // namespace millrace::test
