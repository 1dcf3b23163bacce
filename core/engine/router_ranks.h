#pragma once
// Where every expert stands in a router's choice: the chosen ones have ranks 0 … k−1, the next likely one has k, and so on.
// The expert cache learns from all of them: an expert that was nearly chosen is likelier to be chosen soon. Ranks need no
// scale, so they mean the same in every layer and every model.

#include <cstdint>
#include <span>

namespace millrace {

// Ranks from here on are one: far from being chosen. Also what is not known.
inline constexpr uint8_t kRankFar = 255;

// One row of a router: scores as the model adds them up, sqrt(softplus(logit)) + bias, sorted into 1024 bins; experts in
// one bin share a rank. `bias` may be empty. `chosen` keep their order. NaNs stand last. Does not allocate.
void rank_experts(std::span<const float> logits, std::span<const float> bias,
                  std::span<const int32_t> chosen, std::span<uint8_t> ranks);

// The same of a layer that looks its experts up: nothing is known of the others.
void rank_fixed(std::span<const int32_t> chosen, std::span<uint8_t> ranks);

}  // namespace millrace
