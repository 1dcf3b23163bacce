#include "tests/support/small_checkpoint.h"

#include <doctest/doctest.h>

#include <array>
#include <cstring>

#include "core/base/strings.h"
#include "tests/support/golden.h"

namespace millrace::test {
namespace {

class Comparison {
public:
    Comparison(const Checkpoint& checkpoint, const SyntheticTensors& tensors)
        : checkpoint_(checkpoint), tensors_(tensors) {}

    [[nodiscard]] size_t run() {
        const ModelWeights& w = checkpoint_.weights();
        const ModelConfig& config = checkpoint_.config();
        linear(w.embed, "embed");
        linear(w.head, "head");
        head(w.final_head, "");
        REQUIRE(static_cast<int32_t>(w.layers.size()) == config.layer_count());
        for (size_t i = 0; i < w.layers.size(); ++i) {
            block(w.layers[i], cat("layers.", i, "."), static_cast<int32_t>(i));
        }
        for (size_t i = 0; i < w.mtp.size(); ++i) {
            const std::string p = cat("mtp.", i, ".");
            block(w.mtp[i].block, p, config.layer_count() + static_cast<int32_t>(i));
            linear(w.mtp[i].e_proj, p + "e_proj");
            linear(w.mtp[i].h_proj, p + "h_proj");
            same(w.mtp[i].enorm, p + "enorm.weight");
            same(w.mtp[i].hnorm, p + "hnorm.weight");
            head(w.mtp[i].head, p);
        }
        if (w.dspark) dspark(*w.dspark);
        CHECK(compared_ == tensors_.size());
        return compared_;
    }

private:
    void bytes(const std::byte* data, size_t size, const std::string& name) {
        INFO(name);
        const auto at = tensors_.find(name);
        REQUIRE(at != tensors_.end());
        REQUIRE(at->second.bytes.size() == size);
        CHECK(std::memcmp(data, at->second.bytes.data(), size) == 0);
        ++compared_;
    }
    template <class T>
    void same(std::span<const T> values, const std::string& name) {
        CHECK(reinterpret_cast<uintptr_t>(values.data()) % alignof(T) == 0);
        bytes(reinterpret_cast<const std::byte*>(values.data()), values.size_bytes(), name);
    }
    void linear(const LinearWeight& weight, const std::string& name) {
        static constexpr std::array kHalfBytes = {4, 8, 2, 1};  // by WeightFormat
        const int64_t elements = weight.rows * weight.cols;
        REQUIRE(weight.present());
        bytes(weight.codes,
              static_cast<size_t>(elements * kHalfBytes[static_cast<size_t>(weight.format)] / 2),
              name + ".weight");
        CHECK(weight.quantised() == (weight.scale_format != ScaleFormat::kNone));
        if (!weight.quantised()) return;
        const int64_t scales = weight.format == WeightFormat::kFp4
                                   ? elements / 32
                                   : (weight.rows + 127) / 128 * ((weight.cols + 127) / 128);
        const int64_t scale_bytes = weight.scale_format == ScaleFormat::kF32 ? 4 : 1;
        bytes(weight.scales, static_cast<size_t>(scales * scale_bytes), name + ".scale");
    }
    void hyper_connection(const HyperConnectionWeights& hc, const std::string& site) {
        same(hc.fn, site + "_fn");
        same(hc.base, site + "_base");
        same(hc.scale, site + "_scale");
    }
    void head(const HeadWeights& weights, const std::string& p) {
        hyper_connection(weights.hc, p + "hc_head");
        same(weights.norm, p + "norm.weight");
    }
    void compressor(const CompressorWeights& c, const std::string& p) {
        same(c.ape, p + "ape");
        linear(c.wkv, p + "wkv");
        linear(c.wgate, p + "wgate");
        same(c.norm, p + "norm.weight");
    }
    void attention(const AttentionWeights& a, const std::string& p) {
        same(a.sink, p + "attn_sink");
        linear(a.wq_a, p + "wq_a");
        same(a.q_norm, p + "q_norm.weight");
        linear(a.wq_b, p + "wq_b");
        linear(a.wkv, p + "wkv");
        same(a.kv_norm, p + "kv_norm.weight");
        linear(a.wo_a, p + "wo_a");
        linear(a.wo_b, p + "wo_b");
        if (a.compressor) compressor(*a.compressor, p + "compressor.");
        if (!a.indexer) return;
        linear(a.indexer->wq_b, p + "indexer.wq_b");
        linear(a.indexer->weights_proj, p + "indexer.weights_proj");
        compressor(a.indexer->compressor, p + "indexer.compressor.");
    }
    void expert(const ExpertWeights& e, const std::string& p) {
        linear(e.w1, p + "w1");
        linear(e.w2, p + "w2");
        linear(e.w3, p + "w3");
    }
    void routed_experts(LayerId layer, const std::string& p) {
        const ExpertSource& source = checkpoint_.experts();
        for (int32_t e = 0; e < source.experts(); ++e) {
            const ExpertRecord& record = source.record({layer, {e}});
            std::array<std::vector<std::byte>, 6> buffers;
            std::array<const std::byte*, 6> data{};
            uint64_t sum = 0;
            REQUIRE(record.range_count > 0);
            for (size_t i = 0; i < static_cast<size_t>(record.range_count); ++i) {
                const ByteRange& range = record.ranges[i];
                auto file = File::open(source.files()[static_cast<size_t>(range.file)]);
                REQUIRE(file.ok());
                buffers[i].resize(range.bytes);
                REQUIRE(file->read_at(range.offset, buffers[i]).ok());
                data[i] = buffers[i].data();
                sum += range.bytes;
            }
            CHECK(record.bytes() == sum);
            expert(record.at(data), cat(p, "experts.", e, "."));
        }
    }
    void block(const BlockWeights& b, const std::string& p, int32_t layer) {
        same(b.attn_norm, p + "attn_norm.weight");
        same(b.ffn_norm, p + "ffn_norm.weight");
        hyper_connection(b.hc_attn, p + "hc_attn");
        hyper_connection(b.hc_ffn, p + "hc_ffn");
        attention(b.attention, p + "attn.");
        linear(b.moe.gate, p + "ffn.gate");
        if (!b.moe.bias.empty()) same(b.moe.bias, p + "ffn.gate.bias");
        if (!b.moe.tid2eid.empty()) same(b.moe.tid2eid, p + "ffn.gate.tid2eid");
        expert(b.moe.shared, p + "ffn.shared_experts.");
        routed_experts({layer}, p + "ffn.");
    }
    void dspark(const DsparkWeights& d) {
        const int32_t layers = checkpoint_.config().layer_count();
        REQUIRE(!d.stages.empty());
        for (size_t i = 0; i < d.stages.size(); ++i) {
            block(d.stages[i], cat("mtp.", i, "."), layers + static_cast<int32_t>(i));
        }
        linear(d.main_proj, "mtp.0.main_proj");
        same(d.main_norm, "mtp.0.main_norm.weight");
        const std::string last = cat("mtp.", d.stages.size() - 1, ".");
        head(d.head, last);
        linear(d.markov_w1, last + "markov_head.markov_w1");
        linear(d.markov_w2, last + "markov_head.markov_w2");
        linear(d.confidence, last + "confidence_head.proj");
    }

    const Checkpoint& checkpoint_;
    const SyntheticTensors& tensors_;
    size_t compared_ = 0;
};

}  // namespace

Json small_config() {
    Json config = read_golden_json("model/tiny-clamp/config.json");
    config.set("vocab_size", 64);
    config.set("hidden_size", 128);
    config.set("num_attention_heads", 1);
    config.set("o_groups", 1);
    config.set("n_routed_experts", 3);
    config.set("index_n_heads", 1);
    return config;
}

Json small_dspark_config() {
    Json config = small_config();
    config.set("dspark_block_size", 5);
    config.set("dspark_noise_token_id", 63);
    config.set("dspark_target_layer_ids", Json::Array{1, 2});
    config.set("dspark_markov_rank", 32);
    return config;
}

size_t check_checkpoint_bytes(const Checkpoint& checkpoint, const SyntheticTensors& tensors) {
    return Comparison(checkpoint, tensors).run();
}

}  // namespace millrace::test
