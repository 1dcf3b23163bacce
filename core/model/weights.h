#pragma once
// Every dense tensor of a checkpoint under the name of what it does, with checked shapes; experts
// stay on the drive and are found through expert_source.h. Shapes: d = hidden, nh = query heads, hd
// = 512 (spec §3).

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/types.h"
#include "quant/linear_weight.h"

namespace millrace {

// One site of manifold-constrained hyper-connections (spec §4.2): 24 = 4 pre + 4 post + 16 comb.
struct HyperConnectionWeights {
    std::span<const float> fn;     // [24, 4d]; of a head: [4, 4d]
    std::span<const float> base;   // [24]; of a head: [4]
    std::span<const float> scale;  // [3]; of a head: [1]
};

// Makes compressed KV entries of `width` channels (spec §4.5); coff = 2 for ratio 4, 1 for ratio
// 128.
struct CompressorWeights {
    std::span<const float> ape;  // [ratio, coff·width]
    LinearWeight wkv, wgate;     // [coff·width, d], BF16 (or F32)
    std::span<const Bf16> norm;  // [width]
};

struct IndexerWeights {
    LinearWeight wq_b;          // [index_heads·128, q_rank]
    LinearWeight weights_proj;  // [index_heads, d], BF16
    CompressorWeights compressor;
};

struct AttentionWeights {
    std::span<const float> sink;  // [nh]
    LinearWeight wq_a;            // [q_rank, d]
    std::span<const Bf16> q_norm;
    LinearWeight wq_b;  // [nh·hd, q_rank]
    LinearWeight wkv;   // [hd, d]
    std::span<const Bf16> kv_norm;
    LinearWeight wo_a;                            // [o_groups·o_rank, nh·hd/o_groups]
    LinearWeight wo_b;                            // [d, o_groups·o_rank]
    std::optional<CompressorWeights> compressor;  // ratio 4 and 128
    std::optional<IndexerWeights> indexer;        // ratio 4
};

struct MoeWeights {
    LinearWeight gate;                 // [E, d], BF16 (or F32)
    std::span<const float> bias;       // [E]; empty in hash layers
    std::span<const float> host_bias;  // the same, for the host, wherever the ops have theirs
    // [vocabulary, k]; empty in other layers; ids checked to be in 0…E−1 and distinct per row.
    std::span<const int64_t> tid2eid;
    ExpertWeights shared;
};

struct BlockWeights {
    std::span<const Bf16> attn_norm, ffn_norm;  // [d]
    HyperConnectionWeights hc_attn, hc_ffn;
    AttentionWeights attention;
    MoeWeights moe;
};

// How the streams become logits: hc_head, norm; the matrix is the trunk's head (spec §4.10).
struct HeadWeights {
    HyperConnectionWeights hc;
    std::span<const Bf16> norm;  // [d]
};

// Preview draft block (spec §4.11).
struct MtpWeights {
    BlockWeights block;
    LinearWeight e_proj, h_proj;  // [d, d]
    std::span<const Bf16> enorm, hnorm;
    HeadWeights head;
};

// 0731/0813 drafter (spec §4.12).
struct DsparkWeights {
    std::vector<BlockWeights> stages;
    LinearWeight main_proj;  // [d, targets·d]
    std::span<const Bf16> main_norm;
    HeadWeights head;
    LinearWeight markov_w1, markov_w2;  // [vocabulary, rank], BF16
    LinearWeight confidence;            // [1, d + rank], BF16
};

struct ModelWeights {
    LinearWeight embed;  // [vocabulary, d], BF16
    LinearWeight head;   // [vocabulary, d], BF16
    HeadWeights final_head;
    std::vector<BlockWeights> layers;
    std::vector<MtpWeights> mtp;          // empty unless the index names a classic MTP block
    std::optional<DsparkWeights> dspark;  // only if the index names DSpark stages
};

}  // namespace millrace
