// Checkpoints that are incomplete, corrupt or contradict their config: one sentence that names the
// thing, what was found and what was wanted.

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/base/strings.h"
#include "core/model/checkpoint.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/synthetic.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {
namespace {

using Parts = std::initializer_list<std::string_view>;

void check_refused(const Path& directory, Parts parts) {
    const auto checkpoint = Checkpoint::open(directory);
    REQUIRE(!checkpoint.ok());
    const std::string& message = checkpoint.error().message;
    INFO(message);
    for (const std::string_view part : parts) {
        INFO(part);
        CHECK(message.find(part) != std::string::npos);
    }
    CHECK(message.find('\n') == std::string::npos);
}

const SyntheticTensors& small_tensors() {
    static const SyntheticTensors tensors = synthetic_tensors(small_config());
    return tensors;
}

// Breaks tensors of a sound checkpoint, writes and opens it.
template <class Break>
void check_broken(const Break& break_it, Parts parts) {
    SyntheticTensors tensors = small_tensors();
    Json config = small_config();
    break_it(tensors, config);
    const TempDirectory directory;
    write_checkpoint(directory.path(), config, tensors, 2);
    check_refused(directory.path(), parts);
}

template <class T>
void put(SyntheticTensor& tensor, size_t index, T value) {
    std::memcpy(tensor.bytes.data() + index * sizeof(T), &value, sizeof value);
}

constexpr const char* kSecond = "model-00002-of-00002.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

// A sound checkpoint in two shards, to be damaged as files.
struct SoundCheckpoint {
    SoundCheckpoint() { write_checkpoint(directory.path(), small_config(), small_tensors(), 2); }
    [[nodiscard]] Path file(const char* name) const { return directory.path() / name; }
    [[nodiscard]] std::string text(const char* name) const {
        auto content = read_text_file(file(name), 1 << 30);
        REQUIRE(content.ok());
        return *content;
    }
    void write(const char* name, std::string_view content) const {
        REQUIRE(write_file(file(name), content).ok());
    }
    TempDirectory directory;
};

}  // namespace

TEST_CASE("missing tensors") {
    for (const char* name :
         {"embed.weight", "norm.weight", "hc_head_fn", "layers.0.attn.wkv.weight",
          "layers.0.attn.wkv.scale", "layers.1.attn.indexer.compressor.ape",
          "layers.2.ffn.gate.bias", "layers.0.ffn.gate.tid2eid", "layers.2.ffn.experts.1.w2.weight",
          "layers.2.ffn.experts.1.w2.scale", "mtp.0.h_proj.weight"}) {
        check_broken([&](SyntheticTensors& t, Json&) { t.erase(name); },
                     {"tensor", name, "is missing", "download"});
    }
}

TEST_CASE("misshapen tensors and types that cannot be") {
    check_broken(
        [](SyntheticTensors& t, Json&) {
            SyntheticTensor& tensor = t.at("layers.1.attn.wq_a.weight");
            tensor.shape = {64, 256};
        },
        {"tensor layers.1.attn.wq_a.weight", "model-0000", "F8_E4M3 [64, 256]",
         "wanted F8_E4M3, BF16 or F32 [128, 128]", "config.json"});
    check_broken(
        [](SyntheticTensors& t, Json&) { t.at("layers.1.attn.wq_a.scale").shape = {1}; },
        {"tensor layers.1.attn.wq_a.scale", "F8_E8M0 [1]", "wanted F8_E8M0, U8 or F32 [1, 1]"});
    check_broken(
        [](SyntheticTensors& t, Json&) { t.at("layers.1.attn.wq_a.scale").dtype = DType::kI8; },
        {"tensor layers.1.attn.wq_a.scale", "I8 [1, 1]", "wanted F8_E8M0, U8 or F32"});
    check_broken(
        [](SyntheticTensors& t, Json&) { t.at("layers.1.attn_norm.weight").dtype = DType::kF16; },
        {"tensor layers.1.attn_norm.weight", "F16 [128]", "wanted BF16 [128]"});
    check_broken(
        [](SyntheticTensors& t, Json&) {
            t.at("layers.0.ffn.gate.tid2eid").shape = {2, 64};
        },
        {"tensor layers.0.ffn.gate.tid2eid", "I64 [2, 64]", "wanted I64 [64, 2]"});
    check_broken(
        [](SyntheticTensors& t, Json&) {
            t.at("layers.0.ffn.experts.0.w1.weight").dtype = DType::kU8;
        },
        {"tensor layers.0.ffn.experts.0.w1.weight", "U8", "I8 (packed FP4), F8_E4M3, BF16 or F32"});
    check_broken(
        [](SyntheticTensors& t, Json&) {
            // FP8 codes of one expert among FP4 ones.
            SyntheticTensor& codes = t.at("layers.2.ffn.experts.1.w3.weight");
            codes = {DType::kF8E4m3, {128, 128}, std::vector<std::byte>(128 * 128)};
            t.at("layers.2.ffn.experts.1.w3.scale") = {
                DType::kF8E8m0, {1, 1}, std::vector<std::byte>(1)};
        },
        {"tensor layers.2.ffn.experts.1.w3.weight", "is F8_E4M3",
         "layers.0.ffn.experts.0.w1.weight", "is I8", "alike"});
}

TEST_CASE("values that would spoil every answer") {
    constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    check_broken(
        [](SyntheticTensors& t, Json&) { put(t.at("layers.2.attn.wq_b.scale"), 3, uint8_t{0xFF}); },
        {"tensor layers.2.attn.wq_b.scale", "NaN", "index 3", "finite scales", "corrupt"});
    check_broken(
        [](SyntheticTensors& t, Json&) {
            SyntheticTensor& scale = t.at("layers.2.ffn.shared_experts.w1.scale");
            scale = {DType::kF32, {1, 1}, std::vector<std::byte>(4)};
            put(scale, 0, -kInfinity);
        },
        {"tensor layers.2.ffn.shared_experts.w1.scale", "no number", "index 0"});
    check_broken([](SyntheticTensors& t, Json&) { put(t.at("layers.1.hc_ffn_fn"), 700, kNaN); },
                 {"tensor layers.1.hc_ffn_fn", "NaN", "index 700", "finite numbers"});
    check_broken([](SyntheticTensors& t, Json&) { put(t.at("mtp.0.ffn.gate.bias"), 2, kInfinity); },
                 {"tensor mtp.0.ffn.gate.bias", "an infinity", "index 2"});
    check_broken(
        [](SyntheticTensors& t, Json&) { put(t.at("norm.weight"), 127, uint16_t{0x7FC0}); },
        {"tensor norm.weight", "NaN", "index 127"});
}

TEST_CASE("expert ids of hash layers") {
    const char* name = "layers.0.ffn.gate.tid2eid";
    for (const int64_t id : {int64_t{3}, int64_t{-1}, std::numeric_limits<int64_t>::max()}) {
        check_broken([&](SyntheticTensors& t, Json&) { put(t.at(name), 2 * 17 + 1, id); },
                     {"tensor layers.0.ffn.gate.tid2eid", "row 17", cat("expert ", id),
                      "possible are 0 to 2"});
    }
    check_broken(
        [&](SyntheticTensors& t, Json&) {
            put(t.at(name), 2 * 63, int64_t{1});
            put(t.at(name), 2 * 63 + 1, int64_t{1});
        },
        {"tensor layers.0.ffn.gate.tid2eid", "row 63", "expert 1 twice", "2 different"});
}

TEST_CASE("configs that contradict the tensors") {
    check_broken([](SyntheticTensors&, Json& config) { config.set("hidden_size", 256); },
                 {"tensor embed.weight", "BF16 [64, 128]", "wanted BF16 [64, 256]"});
    check_broken(
        [](SyntheticTensors&, Json& config) {
            config.set("num_hidden_layers", 2);
            config.set("compress_ratios", Json::Array{0, 4, 0});
        },
        {"\"layers.2.", "config.json has 2 layers"});
    check_broken([](SyntheticTensors&, Json& config) { config.set("n_routed_experts", 2); },
                 {"layers.0.ffn.gate.weight", "[3, 128]", "[2, 128]"});
    check_broken(
        [](SyntheticTensors& t, Json&) {
            t["layers.1.ffn.experts.3.w1.weight"] = t.at("layers.1.ffn.experts.2.w1.weight");
        },
        {"\"layers.1.ffn.experts.3.w1.weight\"", "config.json has 3 experts"});
    check_broken(
        [](SyntheticTensors&, Json& config) {
            config.set("compress_ratios", Json::Array{0, 0, 128, 0});
        },
        {"\"layers.1.attn.", "gives layer 1 no such part", "compress_ratios"});
    check_broken([](SyntheticTensors&, Json& config) { config.set("num_hash_layers", 0); },
                 {"layers.0.ffn.gate.bias", "is missing"});
    check_broken([](SyntheticTensors& t,
                    Json&) { t["layers.1.ffn.gate.tid2eid"] = t.at("layers.0.ffn.gate.tid2eid"); },
                 {"\"layers.1.ffn.gate.tid2eid\"", "1 hash layers"});
}

TEST_CASE("draft blocks with gaps or without a description") {
    check_broken(
        [](SyntheticTensors& t, Json&) { t["mtp.2.norm.weight"] = t.at("mtp.0.norm.weight"); },
        {"mtp.2", "only 2 of the 3"});
    SyntheticTensors tensors = synthetic_tensors(small_dspark_config());
    const TempDirectory directory;
    write_checkpoint(directory.path(), small_config(), tensors, 1);
    check_refused(directory.path(), {"DSpark", "3 stages", "dspark_block_size"});
}

TEST_CASE("one tensor under two names, or in two files") {
    check_broken([](SyntheticTensors& t, Json&) { t["model.norm.weight"] = t.at("norm.weight"); },
                 {"\"model.norm.weight\"", "\"norm.weight\"", "the same tensor"});
    const SoundCheckpoint sound;
    std::filesystem::remove(sound.file(kIndex));
    sound.write("model-00001-of-00002.safetensors", sound.text(kSecond));
    check_refused(sound.directory.path(), {kSecond, "the same tensor"});
}

TEST_CASE("fused experts that are not what transformers writes") {
    check_broken(
        [](SyntheticTensors& t, Json&) {
            t["layers.1.ffn.experts.gate_up_proj"] = {
                DType::kI8, {5, 4}, std::vector<std::byte>(20)};
        },
        {"\"layers.1.ffn.experts.gate_up_proj\"", "[5, 4]", "[experts, 2·inner, hidden]"});
    check_broken(
        [](SyntheticTensors& t, Json&) {
            t["layers.1.ffn.experts.gate_up_proj"] = {
                DType::kI8, {1, 3, 4}, std::vector<std::byte>(12)};
        },
        {"\"layers.1.ffn.experts.gate_up_proj\"", "[1, 3, 4]"});
}

TEST_CASE("shards that are missing, truncated, overlong or no safetensors") {
    {
        const SoundCheckpoint sound;
        std::filesystem::remove(sound.file(kSecond));
        check_refused(sound.directory.path(), {kSecond, "is missing", kIndex, "download"});
        std::filesystem::remove(sound.file(kIndex));
        check_refused(sound.directory.path(), {kSecond, "is missing", "1 shards"});
    }
    const SoundCheckpoint sound;
    const std::string whole = sound.text(kSecond);
    sound.write(kSecond, whole.substr(0, whole.size() - 1));
    check_refused(sound.directory.path(), {kSecond, cat("has ", whole.size() - 1, " bytes"),
                                           cat("header says ", whole.size()), "truncated"});
    sound.write(kSecond, whole + "x");
    check_refused(sound.directory.path(), {kSecond, "too long"});
    sound.write(kSecond, "");
    check_refused(sound.directory.path(), {kSecond, "0 bytes", "too few"});
    sound.write(kSecond, "<!DOCTYPE html><html>not found</html>");
    check_refused(sound.directory.path(), {kSecond, "no safetensors file"});
}

TEST_CASE("an index that lies") {
    const SoundCheckpoint sound;
    auto index = Json::parse(sound.text(kIndex));
    REQUIRE(index.ok());
    const auto with = [&](const char* name, const char* file) {
        Json changed = *index, map = *index->find("weight_map");
        map.set(name, file);
        changed.set("weight_map", map);
        return changed.dump();
    };
    sound.write(kIndex, with("layers.9.ghost", kSecond));
    check_refused(sound.directory.path(),
                  {kIndex, "\"layers.9.ghost\"", kSecond, "no such tensor"});
    sound.write(kIndex, with("norm.weight", "model-00001-of-00002.safetensors"));
    check_refused(sound.directory.path(), {kIndex, "\"norm.weight\"", "no such tensor"});
    sound.write(kIndex, with("norm.weight", "../model-00001-of-00002.safetensors"));
    check_refused(sound.directory.path(), {kIndex, "\"norm.weight\"", "beside it"});
    sound.write(kIndex, with("norm.weight", "/etc/passwd"));
    check_refused(sound.directory.path(), {kIndex, "\"/etc/passwd\"", "beside it"});
    sound.write(kIndex, R"({"weight_map":{"norm.weight":7}})");
    check_refused(sound.directory.path(), {kIndex, "\"norm.weight\"", "\"7\""});
    sound.write(kIndex, R"({"metadata":{}})");
    check_refused(sound.directory.path(), {kIndex, "weight_map"});
    sound.write(kIndex, R"({"weight_map":{}})");
    check_refused(sound.directory.path(), {"no *.safetensors file"});
    sound.write(kIndex, "{");
    check_refused(sound.directory.path(), {kIndex, "JSON"});
    // Forgetting a tensor that a shard has is said as such.
    Json map = *index->find("weight_map");
    std::erase_if(map.members(), [](const auto& member) { return member.first == "norm.weight"; });
    Json forgetful;
    forgetful.set("weight_map", map);
    sound.write(kIndex, forgetful.dump());
    check_refused(sound.directory.path(), {"norm.weight", kSecond, "not in", kIndex});
}

TEST_CASE("directories that hold no checkpoint") {
    const TempDirectory directory;
    check_refused(directory.path(), {"config.json", "No such file"});
    check_refused(directory.path() / "nowhere", {"nowhere"});
    REQUIRE(write_file(directory.path() / "config.json", small_config().dump()).ok());
    check_refused(directory.path(), {directory.path().string(), "no *.safetensors file"});
}

TEST_CASE("expert bytes are not looked at when a checkpoint is opened") {
    // A NaN scale of an expert would be found by anyone who reads it.
    SyntheticTensors tensors = small_tensors();
    put(tensors.at("layers.1.ffn.experts.0.w1.scale"), 0, uint8_t{0xFF});
    const TempDirectory directory;
    write_checkpoint(directory.path(), small_config(), tensors, 2);
    CHECK(Checkpoint::open(directory.path()).ok());
}

}  // namespace millrace::test
