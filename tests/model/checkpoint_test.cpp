// Checkpoints open with every byte where it belongs, in every form they are published in.

#include "core/model/checkpoint.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "core/base/strings.h"
#include "tests/support/golden.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/synthetic.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {
namespace {

Checkpoint opened(const Path& directory) {
    auto checkpoint = Checkpoint::open(directory);
    REQUIRE_MESSAGE(checkpoint.ok(), (checkpoint.ok() ? "" : checkpoint.error().message));
    return *std::move(checkpoint);
}

// Moves the data of a shard by `bytes`, so that nothing in it is aligned any more.
void shift_data(const Path& shard, size_t bytes) {
    auto text = read_text_file(shard, 1 << 30);
    REQUIRE(text.ok());
    uint64_t header = 0;
    std::memcpy(&header, text->data(), sizeof header);
    text->insert(8 + header, std::string(bytes, ' '));
    header += bytes;
    std::memcpy(text->data(), &header, sizeof header);
    REQUIRE(write_file(shard, std::string_view(*text)).ok());
}

std::vector<std::byte> joined(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
    std::vector<std::byte> out = a;
    out.insert(out.end(), b.begin(), b.end());
    return out;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
        text.replace(at, from.size(), to);
        at += to.size();
    }
}

// The trunk's names as transformers has them in memory, without its fused experts.
std::string transformers_name(std::string name) {
    const bool indexer = name.find(".indexer.") != std::string::npos;
    const bool compressor = name.find(".compressor.") != std::string::npos;
    replace_all(name, "attn.indexer.compressor.", "attn.compressor.indexer.");
    if (indexer && !compressor) replace_all(name, "attn.indexer.", "attn.compressor.indexer.");
    if (compressor) {
        replace_all(name, ".ape", ".position_bias");
        replace_all(name, ".wgate", ".gate_proj");
        replace_all(name, ".norm.weight", ".kv_norm.weight");
    }
    for (const auto& [from, to] : {
             std::pair{".attn.", ".self_attn."},
             {".ffn.", ".mlp."},
             {".attn_norm.", ".input_layernorm."},
             {".ffn_norm.", ".post_attention_layernorm."},
             {".hc_attn_", ".attn_hc."},
             {".hc_ffn_", ".ffn_hc."},
             {".attn_sink", ".sinks"},
             {".wq_a.", ".q_a_proj."},
             {".q_norm.", ".q_a_norm."},
             {".wq_b.", ".q_b_proj."},
             {".wkv.", ".kv_proj."},
             {".wo_a.", ".o_a_proj."},
             {".wo_b.", ".o_b_proj."},
             {"gate.bias", "gate.e_score_correction_bias"},
             {"shared_experts.w1.", "shared_experts.gate_proj."},
             {"shared_experts.w2.", "shared_experts.down_proj."},
             {"shared_experts.w3.", "shared_experts.up_proj."},
             {".scale", ".weight_scale_inv"},
         }) {
        replace_all(name, from, to);
    }
    if (name.starts_with("hc_head_")) name = "hc_head.hc_" + name.substr(8);
    if (name == "head.weight") return "lm_head.weight";
    if (name == "embed.weight") name = "embed_tokens.weight";
    return "model." + name;
}

// All of a layer's experts in two tensors, gate rows before up rows, and two of scales.
void fuse_experts(SyntheticTensors& tensors, const std::string& layer, int64_t experts) {
    for (const std::string part : {".weight", ".scale"}) {
        SyntheticTensor gate_up, down;
        for (int64_t e = 0; e < experts; ++e) {
            const std::string p = cat(layer, "ffn.experts.", e, ".");
            const SyntheticTensor w1 = tensors.at(p + "w1" + part);
            const SyntheticTensor w2 = tensors.at(p + "w2" + part);
            const SyntheticTensor w3 = tensors.at(p + "w3" + part);
            gate_up.dtype = w1.dtype;
            gate_up.shape = {experts, 2 * w1.shape[0], w1.shape[1]};
            gate_up.bytes = joined(joined(gate_up.bytes, w1.bytes), w3.bytes);
            down.dtype = w2.dtype;
            down.shape = {experts, w2.shape[0], w2.shape[1]};
            down.bytes = joined(down.bytes, w2.bytes);
            for (const char* m : {"w1", "w2", "w3"}) tensors.erase(cat(p, m, part));
        }
        const std::string suffix = part == ".weight" ? "" : "_scale_inv";
        tensors[layer + "ffn.experts.gate_up_proj" + suffix] = gate_up;
        tensors[layer + "ffn.experts.down_proj" + suffix] = down;
    }
}

// A matrix in another format; its values do not matter here, only where its bytes are.
void restore_as(SyntheticTensors& tensors, const std::string& matrix, int64_t rows, int64_t cols,
                DType dtype) {
    SyntheticTensor& codes = tensors.at(matrix + ".weight");
    codes.dtype = dtype;
    codes.shape = {rows, cols};
    codes.bytes.assign(static_cast<size_t>(rows * cols) * dtype_bytes(dtype), std::byte{0x3C});
    for (size_t i = 0; i < codes.bytes.size(); i += 7) codes.bytes[i] = static_cast<std::byte>(i);
    tensors.erase(matrix + ".scale");
    if (dtype == DType::kF8E4m3) {
        tensors[matrix + ".scale"] = {DType::kU8, {(rows + 127) / 128, (cols + 127) / 128}, {}};
        tensors[matrix + ".scale"].bytes.assign(
            static_cast<size_t>((rows + 127) / 128 * ((cols + 127) / 128)), std::byte{120});
    }
}

bool is_expert_matrix(const std::string& name) {
    return name.find(".ffn.experts.") != std::string::npos && name.ends_with(".weight");
}

}  // namespace

TEST_CASE("the five synthetic models open with every byte in its field") {
    size_t compared = 0;
    for (const std::string model :
         {"tiny-flash", "tiny-pro", "tiny-base", "tiny-clamp", "tiny-0731"}) {
        CAPTURE(model);
        const TempDirectory directory;
        const Json config = read_golden_json("model/" + model + "/config.json");
        const SyntheticTensors tensors = synthetic_tensors(config);
        write_checkpoint(directory.path(), config, tensors, 3);
        const Checkpoint checkpoint = opened(directory.path());
        CHECK(checkpoint.unknown().empty());
        CHECK(checkpoint.weights().mtp.size() == (model == "tiny-0731" ? 0U : 1U));
        CHECK(checkpoint.weights().dspark.has_value() == (model == "tiny-0731"));
        CHECK(checkpoint.config().mtp_blocks == (model == "tiny-0731" ? 3 : 1));
        compared += check_checkpoint_bytes(checkpoint, tensors);
    }
    CHECK(compared == 3581);
}

TEST_CASE("the demo model opens, its experts in two ranges as in the released shards") {
    const Checkpoint demo = opened(Path(MILLRACE_SOURCE_DIR) / "assets/demo");
    CHECK(demo.unknown().empty());
    CHECK(demo.config().layer_count() == 5);
    CHECK(demo.weights().mtp.size() == 1);
    CHECK(demo.experts().layers() == 6);
    REQUIRE(demo.experts().experts() == 32);
    for (int32_t layer = 0; layer < 6; ++layer) {
        for (int32_t e = 0; e < 32; ++e) {
            const ExpertRecord& record = demo.experts().record({{layer}, {e}});
            CHECK(record.range_count == 2);
            CHECK(record.bytes() == 26112);
            CHECK(record.w1.layout.format == WeightFormat::kFp4);
            CHECK(record.w2.layout.rows == 128);
        }
    }
}

TEST_CASE("any number of shards, any alignment, with and without an index") {
    const Json config = small_config();
    const SyntheticTensors tensors = synthetic_tensors(config);
    for (const int shards : {1, 2, 7}) {
        for (const size_t shift : {0U, 1U, 2U, 5U}) {
            CAPTURE(shards);
            CAPTURE(shift);
            const TempDirectory directory;
            write_checkpoint(directory.path(), config, tensors, shards);
            for (const auto& file : std::filesystem::directory_iterator(directory.path())) {
                if (file.path().extension() == ".safetensors") shift_data(file.path(), shift);
            }
            CHECK(check_checkpoint_bytes(opened(directory.path()), tensors) == tensors.size());
            std::filesystem::remove(directory.path() / "model.safetensors.index.json");
            CHECK(check_checkpoint_bytes(opened(directory.path()), tensors) == tensors.size());
        }
    }
    const TempDirectory directory;
    write_checkpoint(directory.path(), config, {}, 1);
    for (const char* name : {"model-00001-of-00001.safetensors", "model.safetensors.index.json"}) {
        std::filesystem::remove(directory.path() / name);
    }
    write_safetensors(directory.path() / "model.safetensors", tensors);
    write_safetensors(directory.path() / "other.safetensors", tensors);  // not the model
    CHECK(check_checkpoint_bytes(opened(directory.path()), tensors) == tensors.size());
}

TEST_CASE("DSpark stages and models without a draft block") {
    const Json config = small_dspark_config();
    SyntheticTensors tensors = synthetic_tensors(config);
    {
        const TempDirectory directory;
        write_checkpoint(directory.path(), config, tensors, 2);
        const Checkpoint checkpoint = opened(directory.path());
        CHECK(checkpoint.config().dspark.block_size == 5);
        CHECK(checkpoint.weights().dspark->main_proj.cols == 2 * 128);
        CHECK(check_checkpoint_bytes(checkpoint, tensors) == tensors.size());
    }
    std::erase_if(tensors, [](const auto& tensor) { return tensor.first.starts_with("mtp."); });
    const TempDirectory directory;
    write_checkpoint(directory.path(), config, tensors, 2);
    const Checkpoint checkpoint = opened(directory.path());
    CHECK(checkpoint.config().dspark.block_size == 0);
    CHECK(checkpoint.config().mtp_blocks == 0);
    CHECK(checkpoint.experts().layers() == 3);
    CHECK(check_checkpoint_bytes(checkpoint, tensors) == tensors.size());
}

TEST_CASE("names with model. and the names of transformers, its fused experts too") {
    const Json config = small_config();
    const SyntheticTensors official = synthetic_tensors(config);
    SyntheticTensors prefixed, transformers;
    for (const auto& [name, tensor] : official) prefixed["model." + name] = tensor;

    SyntheticTensors fused = official;
    for (const char* block : {"layers.0.", "layers.1.", "layers.2.", "mtp.0."}) {
        fuse_experts(fused, block, 3);
    }
    for (const auto& [name, tensor] : fused) transformers[transformers_name(name)] = tensor;
    REQUIRE(transformers.contains("model.layers.1.mlp.experts.gate_up_proj"));
    REQUIRE(transformers.contains("model.layers.1.self_attn.compressor.indexer.q_b_proj.weight"));

    for (const SyntheticTensors* named : {&prefixed, &transformers}) {
        const TempDirectory directory;
        write_checkpoint(directory.path(), config, *named, 2);
        const Checkpoint checkpoint = opened(directory.path());
        CHECK(checkpoint.unknown().empty());
        CHECK(check_checkpoint_bytes(checkpoint, official) == official.size());
    }
}

TEST_CASE("experts in FP8, BF16 and F32 and scales in U8 and F32, by the file's dtype") {
    const Json config = small_config();  // says "fp4"
    for (const DType dtype : {DType::kF8E4m3, DType::kBf16, DType::kF32}) {
        CAPTURE(dtype_name(dtype));
        SyntheticTensors tensors = synthetic_tensors(config);
        std::vector<std::string> matrices;
        for (const auto& [name, tensor] : tensors) {
            if (is_expert_matrix(name)) matrices.push_back(name.substr(0, name.size() - 7));
        }
        for (const std::string& matrix : matrices) restore_as(tensors, matrix, 128, 128, dtype);
        const TempDirectory directory;
        write_checkpoint(directory.path(), config, tensors, 1);
        const Checkpoint checkpoint = opened(directory.path());
        CHECK(checkpoint.unknown().empty());
        CHECK(check_checkpoint_bytes(checkpoint, tensors) == tensors.size());
        const LinearWeight& w1 = checkpoint.experts().record({{1}, {2}}).w1.layout;
        CHECK(w1.format == (dtype == DType::kF8E4m3 ? WeightFormat::kFp8
                            : dtype == DType::kBf16 ? WeightFormat::kBf16
                                                    : WeightFormat::kF32));
    }
    SyntheticTensors tensors = synthetic_tensors(config);
    for (auto& [name, tensor] : tensors) {
        if (name.ends_with(".scale")) tensor.dtype = DType::kU8;
    }
    restore_as(tensors, "layers.0.attn.wo_a", 128, 512, DType::kBf16);
    restore_as(tensors, "layers.1.attn.compressor.wkv", 1024, 128, DType::kF32);
    SyntheticTensor& scale = tensors.at("layers.0.attn.wq_a.scale");
    scale = {DType::kF32, {1, 1}, std::vector<std::byte>(4, std::byte{0x3E})};
    const TempDirectory directory;
    write_checkpoint(directory.path(), config, tensors, 1);
    const Checkpoint checkpoint = opened(directory.path());
    const AttentionWeights& attention = checkpoint.weights().layers[0].attention;
    CHECK(attention.wq_a.scale_format == ScaleFormat::kF32);
    CHECK(attention.wq_b.scale_format == ScaleFormat::kE8m0);
    CHECK(attention.wo_a.format == WeightFormat::kBf16);
    CHECK(check_checkpoint_bytes(checkpoint, tensors) == tensors.size());
}

TEST_CASE("tensors nobody expects are listed and do no harm") {
    const Json config = small_config();
    SyntheticTensors tensors = synthetic_tensors(config);
    const SyntheticTensors expected = tensors;
    for (const char* name : {"rotary.inv_freq", "mtp.0.head.weight", "vision.proj.weight"}) {
        tensors[name] = {DType::kF32, {2}, std::vector<std::byte>(8)};
    }
    const TempDirectory directory;
    write_checkpoint(directory.path(), config, tensors, 2);
    // One more that only its shard knows.
    SyntheticTensors extra = {{"left.over", {DType::kU8, {1}, std::vector<std::byte>(1)}}};
    const auto half = static_cast<std::ptrdiff_t>(tensors.size() / 2);
    extra.insert(tensors.begin(), std::next(tensors.begin(), half));
    write_safetensors(directory.path() / "model-00001-of-00002.safetensors", extra);
    const Checkpoint checkpoint = opened(directory.path());
    CHECK(checkpoint.unknown() == std::vector<std::string>{"left.over", "mtp.0.head.weight",
                                                           "rotary.inv_freq",
                                                           "vision.proj.weight"});
    CHECK(check_checkpoint_bytes(checkpoint, expected) == expected.size());
}

TEST_CASE("a checkpoint can be moved; its views stay") {
    const Json config = small_config();
    const SyntheticTensors tensors = synthetic_tensors(config);
    const TempDirectory directory;
    write_checkpoint(directory.path(), config, tensors, 2);
    Checkpoint first = opened(directory.path());
    const Bf16* norm = first.weights().final_head.norm.data();
    const Checkpoint second = std::move(first);
    CHECK(second.weights().final_head.norm.data() == norm);
    CHECK(check_checkpoint_bytes(second, tensors) == tensors.size());
}

}  // namespace millrace::test
