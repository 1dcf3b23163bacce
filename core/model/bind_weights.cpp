#include "core/model/bind_weights.h"

#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/model/expert_locator.h"
#include "core/model/weight_checks.h"

namespace millrace {
namespace {

// Every name asked for here stands in the inventory, so that a miss is a bug.
class Binder {
public:
    Binder(const ModelConfig& config, const FoundTensors& found, DenseTensors& bytes)
        : config_(config), found_(found), bytes_(bytes) {}

    Result<BlockWeights> block(const std::string& p, LayerKind layer, bool hashed);
    Result<HeadWeights> head(const std::string& p);
    Result<MtpWeights> mtp(const std::string& p);
    Result<DsparkWeights> dspark(int32_t stages);
    Result<LinearWeight> linear(const std::string& name);

private:
    Result<AttentionWeights> attention(const std::string& p, LayerKind layer);
    Result<IndexerWeights> indexer(const std::string& p);
    Result<CompressorWeights> compressor(const std::string& p);
    Result<MoeWeights> moe(const std::string& p, bool hashed);
    Result<HyperConnectionWeights> hyper_connection(const std::string& site);
    Result<std::span<const float>> floats(const std::string& name);
    Result<std::span<const Bf16>> norm(const std::string& name);
    Result<std::span<const int64_t>> expert_table(const std::string& name);
    [[nodiscard]] const FoundTensor& at(const std::string& name) const;

    const ModelConfig& config_;
    const FoundTensors& found_;
    DenseTensors& bytes_;
};

const FoundTensor& Binder::at(const std::string& name) const {
    const auto place = found_.find(name);
    ENSURE(place != found_.end());
    return place->second;
}

Result<std::span<const float>> Binder::floats(const std::string& name) {
    const std::span<const float> values = bytes_.elements<float>(*at(name).elements);
    TRY(check_finite(name, values));
    return values;
}

Result<std::span<const Bf16>> Binder::norm(const std::string& name) {
    const std::span<const Bf16> values = bytes_.elements<Bf16>(*at(name).elements);
    TRY(check_finite(name, values));
    return values;
}

Result<std::span<const int64_t>> Binder::expert_table(const std::string& name) {
    const std::span<const int64_t> table = bytes_.elements<int64_t>(*at(name).elements);
    TRY(check_expert_table(name, table, config_.experts_per_token, config_.experts));
    return table;
}

Result<LinearWeight> Binder::linear(const std::string& name) {
    const FoundTensor& found = at(cat(name, ".weight"));
    LinearWeight weight = matrix_layout(found);
    weight.codes = bytes_.bytes(*found.elements).data();
    if (found.scales) {
        weight.scales = bytes_.bytes(*found.scales).data();
        TRY(check_scales(found.scales->name, weight, found.scales->shape.count()));
    }
    return weight;
}

Result<HyperConnectionWeights> Binder::hyper_connection(const std::string& site) {
    HyperConnectionWeights out;
    out.fn = TRY(floats(site + "_fn"));
    out.base = TRY(floats(site + "_base"));
    out.scale = TRY(floats(site + "_scale"));
    return out;
}

Result<CompressorWeights> Binder::compressor(const std::string& p) {
    CompressorWeights out;
    out.ape = TRY(floats(p + "ape"));
    out.wkv = TRY(linear(p + "wkv"));
    out.wgate = TRY(linear(p + "wgate"));
    out.norm = TRY(norm(p + "norm.weight"));
    return out;
}

Result<IndexerWeights> Binder::indexer(const std::string& p) {
    IndexerWeights out;
    out.wq_b = TRY(linear(p + "wq_b"));
    out.weights_proj = TRY(linear(p + "weights_proj"));
    out.compressor = TRY(compressor(p + "compressor."));
    return out;
}

Result<AttentionWeights> Binder::attention(const std::string& p, LayerKind layer) {
    AttentionWeights out;
    out.sink = TRY(floats(p + "attn_sink"));
    out.wq_a = TRY(linear(p + "wq_a"));
    out.q_norm = TRY(norm(p + "q_norm.weight"));
    out.wq_b = TRY(linear(p + "wq_b"));
    out.wkv = TRY(linear(p + "wkv"));
    out.kv_norm = TRY(norm(p + "kv_norm.weight"));
    out.wo_a = TRY(linear(p + "wo_a"));
    out.wo_b = TRY(linear(p + "wo_b"));
    if (layer != LayerKind::kWindow) out.compressor = TRY(compressor(p + "compressor."));
    if (layer == LayerKind::kSparse) out.indexer = TRY(indexer(p + "indexer."));
    return out;
}

Result<MoeWeights> Binder::moe(const std::string& p, bool hashed) {
    MoeWeights out;
    out.gate = TRY(linear(p + "gate"));
    if (hashed) {
        out.tid2eid = TRY(expert_table(p + "gate.tid2eid"));
    } else {
        out.bias = TRY(floats(p + "gate.bias"));
        out.host_bias = out.bias;
    }
    out.shared.w1 = TRY(linear(p + "shared_experts.w1"));
    out.shared.w2 = TRY(linear(p + "shared_experts.w2"));
    out.shared.w3 = TRY(linear(p + "shared_experts.w3"));
    return out;
}

Result<BlockWeights> Binder::block(const std::string& p, LayerKind layer, bool hashed) {
    BlockWeights out;
    out.attn_norm = TRY(norm(p + "attn_norm.weight"));
    out.ffn_norm = TRY(norm(p + "ffn_norm.weight"));
    out.hc_attn = TRY(hyper_connection(p + "hc_attn"));
    out.hc_ffn = TRY(hyper_connection(p + "hc_ffn"));
    out.attention = TRY(attention(p + "attn.", layer));
    out.moe = TRY(moe(p + "ffn.", hashed));
    return out;
}

Result<HeadWeights> Binder::head(const std::string& p) {
    HeadWeights out;
    out.hc = TRY(hyper_connection(p + "hc_head"));
    out.norm = TRY(norm(p + "norm.weight"));
    return out;
}

Result<MtpWeights> Binder::mtp(const std::string& p) {
    MtpWeights out;
    out.block = TRY(block(p, LayerKind::kWindow, false));
    out.e_proj = TRY(linear(p + "e_proj"));
    out.h_proj = TRY(linear(p + "h_proj"));
    out.enorm = TRY(norm(p + "enorm.weight"));
    out.hnorm = TRY(norm(p + "hnorm.weight"));
    out.head = TRY(head(p));
    return out;
}

Result<DsparkWeights> Binder::dspark(int32_t stages) {
    DsparkWeights out;
    for (int32_t i = 0; i < stages; ++i) {
        out.stages.push_back(TRY(block(cat("mtp.", i, "."), LayerKind::kWindow, false)));
    }
    out.main_proj = TRY(linear("mtp.0.main_proj"));
    out.main_norm = TRY(norm("mtp.0.main_norm.weight"));
    const std::string last = cat("mtp.", stages - 1, ".");
    out.head = TRY(head(last));
    out.markov_w1 = TRY(linear(last + "markov_head.markov_w1"));
    out.markov_w2 = TRY(linear(last + "markov_head.markov_w2"));
    out.confidence = TRY(linear(last + "confidence_head.proj"));
    return out;
}

}  // namespace

Result<ModelWeights> bind_weights(const ModelConfig& config, DraftBlocks drafts,
                                  const FoundTensors& found, DenseTensors& bytes) {
    Binder binder(config, found, bytes);
    ModelWeights out;
    out.embed = TRY(binder.linear("embed"));
    out.head = TRY(binder.linear("head"));
    out.final_head = TRY(binder.head(""));
    for (int32_t i = 0; i < config.layer_count(); ++i) {
        out.layers.push_back(
            TRY(binder.block(cat("layers.", i, "."), config.layers[static_cast<size_t>(i)],
                             i < config.hash_layers)));
    }
    if (drafts.kind == DraftKind::kMtp) {
        for (int32_t i = 0; i < drafts.count; ++i) {
            out.mtp.push_back(TRY(binder.mtp(cat("mtp.", i, "."))));
        }
    }
    if (drafts.kind == DraftKind::kDspark) out.dspark = TRY(binder.dspark(drafts.count));
    return out;
}

}  // namespace millrace
