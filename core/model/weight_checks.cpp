#include "core/model/weight_checks.h"

#include <cmath>
#include <cstring>
#include <string>

#include "core/base/strings.h"

namespace millrace {
namespace {

Error bad_value(std::string_view tensor, size_t index, std::string_view found,
                std::string_view wanted) {
    return {ErrorCode::kCorrupt,
            cat("tensor ", tensor, " has ", found, " at index ", index, ", wanted ", wanted,
                "; the shard is corrupt: download it again")};
}

constexpr std::byte kE8m0NaN{0xFF};

}  // namespace

Status check_finite(std::string_view tensor, std::span<const float> values) {
    for (size_t i = 0; i < values.size(); ++i) {
        if (!std::isfinite(values[i])) {
            return bad_value(tensor, i, std::isnan(values[i]) ? "NaN" : "an infinity",
                             "finite numbers");
        }
    }
    return {};
}

Status check_finite(std::string_view tensor, std::span<const Bf16> values) {
    for (size_t i = 0; i < values.size(); ++i) {
        const float value = to_float(values[i]);
        if (!std::isfinite(value)) {
            return bad_value(tensor, i, std::isnan(value) ? "NaN" : "an infinity",
                             "finite numbers");
        }
    }
    return {};
}

Status check_scales(std::string_view tensor, const LinearWeight& matrix, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        const auto index = static_cast<size_t>(i);
        if (matrix.scale_format == ScaleFormat::kE8m0) {
            if (matrix.scales[i] == kE8m0NaN) {
                return bad_value(tensor, index, "the scale NaN (byte 255)", "finite scales");
            }
        } else {
            float scale = 0;
            std::memcpy(&scale, matrix.scales + i * 4, sizeof scale);
            if (!std::isfinite(scale)) {
                return bad_value(tensor, index, "a scale that is no number", "finite scales");
            }
        }
    }
    return {};
}

Status check_expert_table(std::string_view tensor, std::span<const int64_t> table,
                          int32_t per_token, int32_t experts) {
    const auto k = static_cast<size_t>(per_token);
    for (size_t row = 0; row * k < table.size(); ++row) {
        const std::span<const int64_t> ids = table.subspan(row * k, k);
        for (size_t i = 0; i < k; ++i) {
            std::string problem;
            if (ids[i] < 0 || ids[i] >= experts) {
                problem = cat("names expert ", ids[i], ", possible are 0 to ", experts - 1);
            }
            for (size_t j = 0; j < i; ++j) {
                if (ids[j] == ids[i]) {
                    problem = cat("names expert ", ids[i], " twice, wanted ", per_token,
                                  " different ones");
                }
            }
            if (!problem.empty()) {
                return Error{ErrorCode::kCorrupt,
                             cat("tensor ", tensor, ", row ", row, " (token ", row, ") ", problem,
                                 "; the shard is corrupt: download it again")};
            }
        }
    }
    return {};
}

}  // namespace millrace
