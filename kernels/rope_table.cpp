#include "kernels/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/kv_rows.h"

namespace millrace {
namespace {

// The pair whose wavelength makes `rotations` turns within the original context.
double pair_of_rotations(double rotations, double theta, int64_t original_positions) {
    const double turns =
        static_cast<double>(original_positions) / (rotations * 2 * std::numbers::pi);
    return kRopeDim * std::log(turns) / (2 * std::log(theta));
}

}  // namespace

RopeTable RopeTable::plain(double theta) {
    RopeTable table{};
    for (size_t i = 0; i < kRopePairs; ++i) {
        const auto power =
            static_cast<float>(std::pow(theta, 2.0 * static_cast<double>(i) / kRopeDim));
        table.frequencies[i] = static_cast<float>(1.0 / static_cast<double>(power));
    }
    return table;
}

RopeTable RopeTable::yarn(double theta, double factor, double beta_fast, double beta_slow,
                          int64_t original_positions) {
    const double low =
        std::max(std::floor(pair_of_rotations(beta_fast, theta, original_positions)), 0.0);
    const double high = std::min(std::ceil(pair_of_rotations(beta_slow, theta, original_positions)),
                                 kRopeDim - 1.0);
    // Equal bounds would divide by zero; the official code moves them a thousandth apart.
    const double span = high == low ? 0.001 : high - low;
    RopeTable table = plain(theta);
    for (size_t i = 0; i < kRopePairs; ++i) {
        const double linear = (static_cast<double>(i) - low) / span;
        const auto ramp = static_cast<float>(std::clamp(linear, 0.0, 1.0));
        const float g = table.frequencies[i];
        const auto slow = static_cast<float>(static_cast<double>(g) / factor);
        // fp32 at every step, as the official table is made; in double a third of the entries differ.
        const float interpolated = slow * ramp;
        const float kept = g * (1.0F - ramp);
        table.frequencies[i] = interpolated + kept;
    }
    return table;
}

}  // namespace millrace
