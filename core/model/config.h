#pragma once
// What config.json says, in one spelling. Reads the three that exist: the released one
// (hidden_size, compress_ratios, …), the inference one (dim, n_layers, …) and transformers'
// normalised one (layer_types, rope_parameters, …): spec §1.

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/result.h"

namespace millrace {

// How a layer attends, by its compress ratio (spec §1.3).
enum class LayerKind : uint8_t {
    kWindow,  // ratio 0: the sliding window only
    kSparse,  // ratio 4: window + the indexer's top-k of overlapped 4-token entries (CSA)
    kHeavy,   // ratio 128: window + every 128-token entry (HCA)
};

struct RopeConfig {
    double theta = 10000;            // ratio-0 layers and drafts
    double compress_theta = 160000;  // ratio-4 and ratio-128 layers, always with YaRN
    double yarn_factor = 16;
    double beta_fast = 32, beta_slow = 1;
    int64_t original_positions = 65536;
};

// The 0731/0813 drafter (spec §1.5). block_size 0: there is none.
struct DsparkConfig {
    int32_t block_size = 0;
    int32_t noise_token = 0;
    int32_t markov_rank = 0;
    std::vector<int32_t> target_layers;
};

struct ModelConfig {
    int64_t vocabulary = 0;
    int64_t hidden = 0;  // d
    int32_t heads = 0;   // query heads; one KV head
    int32_t head_dim = 512;
    int32_t rope_dim = 64;  // the last dims of a head
    int64_t q_rank = 0;
    int64_t o_rank = 0;
    int32_t o_groups = 0;
    int32_t window = 128;
    int32_t index_heads = 0, index_head_dim = 128, index_topk = 0;
    int32_t experts = 0, experts_per_token = 0, shared_experts = 1;
    int64_t expert_inner = 0;
    int32_t hash_layers = 0;
    float route_scale = 1;
    float swiglu_limit = 10;
    int32_t hc_streams = 4, sinkhorn_rounds = 20;
    float hc_eps = 1e-6F, norm_eps = 1e-6F;
    RopeConfig rope;
    int64_t context_max = 1048576;
    std::vector<LayerKind> layers;  // the trunk
    int32_t mtp_blocks = 0;         // as config.json says; the index decides (spec §1.5)
    DsparkConfig dspark;
    std::string expert_dtype;  // the config's word, "" if none; the file's dtype decides
    int64_t bos = 0, eos = 1;
    // Only in synthetic checkpoints; 0 and 1 otherwise.
    uint64_t synthetic_seed = 0;
    double synthetic_ffn_gain = 1;

    [[nodiscard]] int32_t layer_count() const { return static_cast<int32_t>(layers.size()); }
};

// Refuses what this engine cannot run exactly and what contradicts itself, naming key, value and
// what is possible. Reads all three spellings.
[[nodiscard]] Result<ModelConfig> parse_config(const Json& json);
// The same from DIR/config.json.
[[nodiscard]] Result<ModelConfig> read_config(const Path& directory);

}  // namespace millrace
