// Every spelling of a tensor's name leads to the official one.

#include "core/model/tensor_names.h"

#include <doctest/doctest.h>

#include <array>

#include "core/base/strings.h"
#include "core/model/inventory.h"
#include "tests/support/golden.h"

namespace millrace::test {
namespace {

struct Pair {
    std::string_view stored, official;
};

// Spec §3.5, row by row.
constexpr std::array kPairs = {
    Pair{"model.embed_tokens.weight", "embed.weight"},
    Pair{"lm_head.weight", "head.weight"},
    Pair{"model.norm.weight", "norm.weight"},
    Pair{"model.hc_head.hc_fn", "hc_head_fn"},
    Pair{"model.hc_head.hc_base", "hc_head_base"},
    Pair{"model.hc_head.hc_scale", "hc_head_scale"},
    Pair{"model.layers.0.input_layernorm.weight", "layers.0.attn_norm.weight"},
    Pair{"model.layers.0.post_attention_layernorm.weight", "layers.0.ffn_norm.weight"},
    Pair{"model.layers.12.attn_hc.fn", "layers.12.hc_attn_fn"},
    Pair{"model.layers.12.attn_hc.base", "layers.12.hc_attn_base"},
    Pair{"model.layers.12.ffn_hc.scale", "layers.12.hc_ffn_scale"},
    Pair{"model.layers.2.self_attn.sinks", "layers.2.attn.attn_sink"},
    Pair{"model.layers.2.self_attn.q_a_proj.weight", "layers.2.attn.wq_a.weight"},
    Pair{"model.layers.2.self_attn.q_a_proj.weight_scale_inv", "layers.2.attn.wq_a.scale"},
    Pair{"model.layers.2.self_attn.q_a_norm.weight", "layers.2.attn.q_norm.weight"},
    Pair{"model.layers.2.self_attn.q_b_proj.weight", "layers.2.attn.wq_b.weight"},
    Pair{"model.layers.2.self_attn.kv_proj.weight", "layers.2.attn.wkv.weight"},
    Pair{"model.layers.2.self_attn.kv_norm.weight", "layers.2.attn.kv_norm.weight"},
    Pair{"model.layers.2.self_attn.o_a_proj.weight", "layers.2.attn.wo_a.weight"},
    Pair{"model.layers.2.self_attn.o_b_proj.weight_scale_inv", "layers.2.attn.wo_b.scale"},
    Pair{"model.layers.2.self_attn.compressor.kv_proj.weight",
         "layers.2.attn.compressor.wkv.weight"},
    Pair{"model.layers.2.self_attn.compressor.gate_proj.weight",
         "layers.2.attn.compressor.wgate.weight"},
    Pair{"model.layers.2.self_attn.compressor.position_bias", "layers.2.attn.compressor.ape"},
    Pair{"model.layers.2.self_attn.compressor.kv_norm.weight",
         "layers.2.attn.compressor.norm.weight"},
    Pair{"model.layers.2.self_attn.compressor.indexer.q_b_proj.weight",
         "layers.2.attn.indexer.wq_b.weight"},
    Pair{"model.layers.2.self_attn.compressor.indexer.weights_proj.weight",
         "layers.2.attn.indexer.weights_proj.weight"},
    Pair{"model.layers.2.self_attn.compressor.indexer.kv_proj.weight",
         "layers.2.attn.indexer.compressor.wkv.weight"},
    Pair{"model.layers.2.self_attn.compressor.indexer.gate_proj.weight",
         "layers.2.attn.indexer.compressor.wgate.weight"},
    Pair{"model.layers.2.self_attn.compressor.indexer.position_bias",
         "layers.2.attn.indexer.compressor.ape"},
    Pair{"model.layers.2.self_attn.compressor.indexer.kv_norm.weight",
         "layers.2.attn.indexer.compressor.norm.weight"},
    Pair{"model.layers.0.mlp.gate.weight", "layers.0.ffn.gate.weight"},
    Pair{"model.layers.0.mlp.gate.tid2eid", "layers.0.ffn.gate.tid2eid"},
    Pair{"model.layers.5.mlp.gate.e_score_correction_bias", "layers.5.ffn.gate.bias"},
    Pair{"model.layers.5.mlp.shared_experts.gate_proj.weight",
         "layers.5.ffn.shared_experts.w1.weight"},
    Pair{"model.layers.5.mlp.shared_experts.up_proj.weight",
         "layers.5.ffn.shared_experts.w3.weight"},
    Pair{"model.layers.5.mlp.shared_experts.down_proj.weight_scale_inv",
         "layers.5.ffn.shared_experts.w2.scale"},
    Pair{"model.layers.5.mlp.experts.17.down_proj.weight", "layers.5.ffn.experts.17.w2.weight"},
    Pair{"model.mtp.0.attn.wq_a.weight", "mtp.0.attn.wq_a.weight"},
    Pair{"something.else", "something.else"},
    Pair{"", ""},
    Pair{"..", ".."},
};

}  // namespace

TEST_CASE("transformers names become official ones") {
    for (const Pair& pair : kPairs) CHECK(official_tensor_name(pair.stored) == pair.official);
}

TEST_CASE("official names, with or without model., stay what they are") {
    const auto config = parse_config(read_golden_json("config/v4-flash-0731.config.json"));
    REQUIRE(config.ok());
    size_t changed = 0;
    for (const DraftBlocks drafts :
         {DraftBlocks{DraftKind::kMtp, 1}, DraftBlocks{DraftKind::kDspark, 3}}) {
        for (const ExpectedTensor& tensor : make_inventory(*config, drafts)) {
            const StoredForms forms = released_form(tensor, {});
            for (const std::string& name :
                 {tensor.name, forms.scales ? forms.scales->name : tensor.name}) {
                if (official_tensor_name(name) != name) ++changed;
                if (official_tensor_name("model." + name) != name) ++changed;
            }
        }
    }
    CHECK(changed == 0);
}

TEST_CASE("fused experts are recognised in every spelling") {
    struct Spelling {
        std::string_view stored, suffix;
        FusedExperts kind;
    };
    for (const Spelling& s : {
             Spelling{"gate_up_proj", ".weight", FusedExperts::kGateUp},
             Spelling{"gate_up_proj.weight", ".weight", FusedExperts::kGateUp},
             Spelling{"gate_up_proj_scale_inv", ".scale", FusedExperts::kGateUp},
             Spelling{"gate_up_proj.weight_scale_inv", ".scale", FusedExperts::kGateUp},
             Spelling{"down_proj", ".weight", FusedExperts::kDown},
             Spelling{"down_proj.weight", ".weight", FusedExperts::kDown},
             Spelling{"down_proj_scale_inv", ".scale", FusedExperts::kDown},
             Spelling{"down_proj.scale", ".scale", FusedExperts::kDown},
         }) {
        const std::string stored = cat("model.layers.4.mlp.experts.", s.stored);
        const FusedName name = fused_expert_name(official_tensor_name(stored));
        INFO(stored);
        CHECK(name.kind == s.kind);
        CHECK(name.suffix == s.suffix);
        CHECK(name.prefix == "layers.4.ffn.experts.");
    }
    for (const std::string_view plain :
         {"layers.4.ffn.experts.0.w2.weight", "layers.4.ffn.experts.0.w1.scale",
          "layers.4.ffn.shared_experts.w2.weight", "layers.4.ffn.gate.weight"}) {
        CHECK(fused_expert_name(plain).kind == FusedExperts::kNone);
    }
}

}  // namespace millrace::test
