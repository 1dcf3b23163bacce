#include "core/engine/request.h"

#include <cmath>

#include "core/base/strings.h"

namespace millrace {
namespace {

Error out_of_range(std::string_view name, double value, std::string_view wanted) {
    return {ErrorCode::kInvalid, cat(name, " is ", value, "; it must be ", wanted)};
}

// False for NaN too.
bool within(double value, double low, double high) { return value >= low && value <= high; }

}  // namespace

Status validate(const SamplingParams& params, int64_t vocabulary) {
    if (!within(params.temperature, 0, kTemperatureMax)) {
        return out_of_range("temperature", params.temperature,
                            cat("between 0 and ", kTemperatureMax));
    }
    if (params.top_k < 0) return out_of_range("top_k", params.top_k, "0 (all) or more");
    if (!within(params.top_p, 0, 1)) return out_of_range("top_p", params.top_p, "between 0 and 1");
    if (!within(params.min_p, 0, 1)) return out_of_range("min_p", params.min_p, "between 0 and 1");
    if (!within(params.repetition_penalty, 1 / kPenaltyMax, kPenaltyMax)) {
        return out_of_range("repetition_penalty", params.repetition_penalty,
                            cat("between ", 1 / kPenaltyMax, " and ", kPenaltyMax));
    }
    if (!within(params.presence_penalty, -kPenaltyMax, kPenaltyMax)) {
        return out_of_range("presence_penalty", params.presence_penalty,
                            cat("between ", -kPenaltyMax, " and ", kPenaltyMax));
    }
    if (!within(params.frequency_penalty, -kPenaltyMax, kPenaltyMax)) {
        return out_of_range("frequency_penalty", params.frequency_penalty,
                            cat("between ", -kPenaltyMax, " and ", kPenaltyMax));
    }
    for (const auto& [token, bias] : params.logit_bias) {
        if (token.value < 0 || token.value >= vocabulary) {
            return Error{ErrorCode::kInvalid,
                         cat("logit_bias names token ", token.value,
                             "; this model's tokens are 0 to ", vocabulary - 1)};
        }
        const bool bans = std::isinf(bias) && bias < 0;
        if (!bans && !within(bias, -kBiasMax, kBiasMax)) {
            return out_of_range(cat("logit_bias of token ", token.value), bias,
                                cat("minus infinity or between ", -kBiasMax, " and ", kBiasMax));
        }
    }
    return {};
}

}  // namespace millrace
