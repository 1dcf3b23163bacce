#include "tests/support/layer_distance.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/base/strings.h"

namespace millrace::test {
namespace {

// How many of a row's golden ids are among the computed ones, whatever their order.
template <class T>
int64_t shared_ids(std::span<const T> computed, std::span<const T> golden) {
    std::multiset<T> left(computed.begin(), computed.end());
    int64_t shared = 0;
    for (const T id : golden) {
        const auto at = left.find(id);
        if (at == left.end()) continue;
        left.erase(at);
        ++shared;
    }
    return shared;
}

// Compares the choices of each row; returns how many are equal.
template <class T>
int64_t compare_choices(const Traced& traced, std::span<const T> computed,
                        std::span<const T> golden, std::set<int64_t>& flipped) {
    const size_t width = golden.size() / static_cast<size_t>(traced.rows);
    int64_t equal = 0;
    for (int64_t r = 0; r < traced.rows; ++r) {
        const size_t first = static_cast<size_t>(r) * width;
        const int64_t shared =
            shared_ids(computed.subspan(first, width), golden.subspan(first, width));
        if (shared != static_cast<int64_t>(width)) flipped.insert(r);
        equal += shared;
    }
    return equal;
}

}  // namespace

void Distance::add_row(double error2, double size2) {
    error2_ += error2;
    size2_ += size2;
    rows_.push_back(size2 > 0 ? std::sqrt(error2 / size2) : error2 > 0 ? INFINITY : 0);
}
double Distance::relative() const { return size2_ > 0 ? std::sqrt(error2_ / size2_) : 0; }
double Distance::largest_row() const {
    return rows_.empty() ? 0 : *std::ranges::max_element(rows_);
}

Distance LayerDistances::of(const std::string& what, WhichRows which) const {
    Distance out;
    const auto at = tensors.find(what);
    if (at == tensors.end()) return out;
    for (size_t r = 0; r < at->second.size(); ++r) {
        const bool quiet = what == "compressor" || !flipped.contains(static_cast<int64_t>(r));
        if (which == WhichRows::kAll || quiet)
            out.add_row(at->second[r].error2, at->second[r].size2);
    }
    return out;
}

void DistanceMeter::see(const Traced& traced, std::span<const Bf16> computed,
                        std::span<const Bf16> golden) {
    auto& rows = layers_[traced.layer.value].tensors[traced.what];
    const size_t width = golden.size() / static_cast<size_t>(traced.rows);
    for (size_t first = 0; first < golden.size(); first += width) {
        LayerDistances::Row row;
        for (size_t i = first; i < first + width; ++i) {
            const auto is = static_cast<double>(to_float(computed[i]));
            const auto should = static_cast<double>(to_float(golden[i]));
            row.error2 += (is - should) * (is - should);
            row.size2 += should * should;
        }
        rows.push_back(row);
    }
}

void DistanceMeter::see(const Traced& traced, std::span<const int32_t> computed,
                        std::span<const int32_t> golden) {
    LayerDistances& layer = layers_[traced.layer.value];
    layer.experts += static_cast<int64_t>(golden.size());
    layer.experts_equal += compare_choices(traced, computed, golden, layer.flipped);
}

void DistanceMeter::see(const Traced& traced, std::span<const int64_t> computed,
                        std::span<const int64_t> golden) {
    LayerDistances& layer = layers_[traced.layer.value];
    layer.picks += static_cast<int64_t>(golden.size());
    layer.picks_equal += compare_choices(traced, computed, golden, layer.flipped);
}

std::vector<double> DistanceMeter::streams() const {
    std::vector<double> out;
    for (const auto& [index, layer] : layers_)
        out.push_back(layer.of("streams", WhichRows::kAll).relative());
    return out;
}

OfficialOrder::OfficialOrder(const std::string& model)
    : json_(read_golden_json(cat("model/", model, "/official-fp32-order.json"))) {
    const Json* layers = json_.find("one_layer_on_official_input");
    REQUIRE(layers != nullptr);
    for (const auto& [layer, value] : layers->members()) one_layer_.push_back(*value.as_double());
}

std::optional<double> OfficialOrder::whole(int32_t layer, std::string_view what) const {
    const Json* value = json_.find(cat("layers.", layer, ".", what));
    return value == nullptr ? std::nullopt : value->as_double();
}

double OfficialOrder::logits(std::string_view figure) const {
    return *json_.find("logits")->find(figure)->as_double();
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

double root_mean_square(const std::vector<double>& values) {
    double sum = 0;
    for (const double v : values) sum += v * v;
    return values.empty() ? 0 : std::sqrt(sum / static_cast<double>(values.size()));
}

}  // namespace millrace::test
