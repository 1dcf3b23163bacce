#pragma once
// One name for a tensor, whoever wrote the file: the official checkpoint's, without "model." (spec
// §3). Knows the transformers library's in-memory names (spec §3.5). A name it does not know comes
// back unchanged, so that the list of unknown tensors shows it.

#include <string>
#include <string_view>

namespace millrace {

// "model.layers.3.self_attn.q_a_proj.weight_scale_inv" → "layers.3.attn.wq_a.scale". Official names
// stay as they are.
[[nodiscard]] std::string official_tensor_name(std::string_view stored);

// Transformers may keep all experts of a layer in one tensor: [experts, 2·inner, d] with the rows
// of w1 first, then those of w3; and [experts, d, inner] for w2.
enum class FusedExperts { kNone, kGateUp, kDown };

struct FusedName {
    FusedExperts kind = FusedExperts::kNone;
    std::string prefix;  // "layers.3.ffn.experts."
    std::string suffix;  // ".weight" or ".scale"
};

// Of an official name, that is after official_tensor_name().
[[nodiscard]] FusedName fused_expert_name(std::string_view official);

}  // namespace millrace
