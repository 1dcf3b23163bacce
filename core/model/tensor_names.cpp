#include "core/model/tensor_names.h"

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "core/base/strings.h"

namespace millrace {
namespace {

struct Rename {
    std::string_view from, to;
};

// Names of modules and parameters that mean the same wherever they stand.
constexpr std::array kAnywhere = {
    Rename{"embed_tokens", "embed"},
    Rename{"lm_head", "head"},
    Rename{"self_attn", "attn"},
    Rename{"mlp", "ffn"},
    Rename{"input_layernorm", "attn_norm"},
    Rename{"post_attention_layernorm", "ffn_norm"},
    Rename{"sinks", "attn_sink"},
    Rename{"q_a_proj", "wq_a"},
    Rename{"q_a_norm", "q_norm"},
    Rename{"q_b_proj", "wq_b"},
    Rename{"kv_proj", "wkv"},
    Rename{"o_a_proj", "wo_a"},
    Rename{"o_b_proj", "wo_b"},
    Rename{"e_score_correction_bias", "bias"},
    Rename{"weight_scale_inv", "scale"},
};
// Inside a compressor; "gate_proj" and "kv_norm" mean other things elsewhere.
constexpr std::array kInCompressor = {
    Rename{"gate_proj", "wgate"},
    Rename{"position_bias", "ape"},
    Rename{"kv_norm", "norm"},
};
constexpr std::array kInExperts = {
    Rename{"gate_proj", "w1"},
    Rename{"up_proj", "w3"},
    Rename{"down_proj", "w2"},
};
// The transformers indexer has its compressor's parameters among its own.
constexpr std::array<std::string_view, 4> kCompressorParameters = {"wkv", "wgate", "ape", "norm"};

std::vector<std::string> split_at_dots(std::string_view name) {
    std::vector<std::string> parts;
    size_t at = 0;
    while (true) {
        const size_t dot = name.find('.', at);
        parts.emplace_back(name.substr(at, dot - at));
        if (dot == std::string_view::npos) return parts;
        at = dot + 1;
    }
}

void rename(std::string& part, std::span<const Rename> table) {
    for (const Rename& r : table) {
        if (part == r.from) {
            part = r.to;
            return;
        }
    }
}

bool contains(std::span<const std::string_view> list, std::string_view word) {
    for (const std::string_view item : list) {
        if (item == word) return true;
    }
    return false;
}

// "attn_hc.fn" → "hc_attn_fn", "hc_head.hc_fn" → "hc_head_fn".
void join_hyper_connections(std::vector<std::string>& parts) {
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
        std::string site;
        if (parts[i] == "attn_hc") site = "hc_attn";
        if (parts[i] == "ffn_hc") site = "hc_ffn";
        if (parts[i] == "hc_head") site = "hc_head";
        if (site.empty()) continue;
        std::string_view parameter = parts[i + 1];
        if (parameter.starts_with("hc_")) parameter.remove_prefix(3);
        parts[i] = cat(site, "_", parameter);
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        return;
    }
}

// "attn.compressor.indexer.X" → "attn.indexer.X" or "attn.indexer.compressor.X".
void move_indexer(std::vector<std::string>& parts) {
    for (size_t i = 0; i + 2 < parts.size(); ++i) {
        if (parts[i] != "compressor" || parts[i + 1] != "indexer") continue;
        if (contains(kCompressorParameters, parts[i + 2])) {
            std::swap(parts[i], parts[i + 1]);
        } else {
            parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i));
        }
        return;
    }
}

}  // namespace

std::string official_tensor_name(std::string_view stored) {
    if (stored.starts_with("model.")) stored.remove_prefix(6);
    std::vector<std::string> parts = split_at_dots(stored);
    bool in_compressor = false;
    bool in_experts = false;
    for (std::string& part : parts) {
        if (in_compressor) rename(part, kInCompressor);
        if (in_experts) rename(part, kInExperts);
        rename(part, kAnywhere);
        in_compressor = in_compressor || part == "compressor";
        in_experts = in_experts || part == "experts" || part == "shared_experts";
    }
    join_hyper_connections(parts);
    move_indexer(parts);
    std::string name = std::move(parts.front());
    for (const std::string& part : std::span(parts).subspan(1)) name += cat(".", part);
    return name;
}

FusedName fused_expert_name(std::string_view official) {
    constexpr std::string_view kExperts = ".ffn.experts.";
    const size_t at = official.find(kExperts);
    if (at == std::string_view::npos) return {};
    const std::string_view prefix = official.substr(0, at + kExperts.size());
    std::string_view rest = official.substr(prefix.size());
    FusedName name{.kind = FusedExperts::kNone, .prefix = std::string(prefix), .suffix = ".weight"};
    for (const std::string_view scale : {".scale", "_scale_inv", "_scale"}) {
        if (!rest.ends_with(scale)) continue;
        rest.remove_suffix(scale.size());
        name.suffix = ".scale";
        break;
    }
    if (rest.ends_with(".weight")) rest.remove_suffix(7);
    if (rest == "gate_up_proj") name.kind = FusedExperts::kGateUp;
    // "down_proj" has already been renamed where it stands alone between dots.
    if (rest == "down_proj" || rest == "w2") name.kind = FusedExperts::kDown;
    return name;
}

}  // namespace millrace
