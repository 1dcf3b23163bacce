// config.json in its three spellings, and what contradicts itself.

#include "core/model/config.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>

#include "core/base/strings.h"
#include "tests/support/golden.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {
namespace {

Json flash() { return read_golden_json("config/v4-flash-0731.config.json"); }
Json pro() { return read_golden_json("config/v4-pro.config.json"); }

ModelConfig parsed(const Json& json) {
    auto config = parse_config(json);
    REQUIRE_MESSAGE(config.ok(), (config.ok() ? "" : config.error().message));
    return *config;
}

void remove(Json& json, std::string_view key) {
    std::erase_if(json.members(), [key](const auto& member) { return member.first == key; });
}

// What the engine reads, without what only some spellings carry.
void check_same_model(const ModelConfig& a, const ModelConfig& b) {
    CHECK(a.vocabulary == b.vocabulary);
    CHECK(a.hidden == b.hidden);
    CHECK(a.heads == b.heads);
    CHECK(a.q_rank == b.q_rank);
    CHECK(a.o_rank == b.o_rank);
    CHECK(a.o_groups == b.o_groups);
    CHECK(a.index_heads == b.index_heads);
    CHECK(a.index_topk == b.index_topk);
    CHECK(a.experts == b.experts);
    CHECK(a.experts_per_token == b.experts_per_token);
    CHECK(a.expert_inner == b.expert_inner);
    CHECK(a.hash_layers == b.hash_layers);
    CHECK(a.route_scale == b.route_scale);
    CHECK(a.swiglu_limit == b.swiglu_limit);
    CHECK(a.sinkhorn_rounds == b.sinkhorn_rounds);
    CHECK(a.hc_eps == b.hc_eps);
    CHECK(a.norm_eps == b.norm_eps);
    CHECK(a.rope.theta == b.rope.theta);
    CHECK(a.rope.compress_theta == b.rope.compress_theta);
    CHECK(a.rope.yarn_factor == b.rope.yarn_factor);
    CHECK(a.rope.beta_fast == b.rope.beta_fast);
    CHECK(a.rope.beta_slow == b.rope.beta_slow);
    CHECK(a.rope.original_positions == b.rope.original_positions);
    CHECK(a.layers == b.layers);
    CHECK(a.expert_dtype == b.expert_dtype);
}

// The released config with transformers' normalised names (spec §1.4).
Json transformers_spelling(Json json) {
    Json::Array types, moe;
    const Json ratios = *json.find("compress_ratios");
    for (int64_t i = 0; i < *json.find("num_hidden_layers")->as_int(); ++i) {
        const int64_t ratio = *ratios.items()[static_cast<size_t>(i)].as_int();
        types.emplace_back(ratio == 0   ? "sliding_attention"
                           : ratio == 4 ? "compressed_sparse_attention"
                                        : "heavily_compressed_attention");
        moe.emplace_back(i < *json.find("num_hash_layers")->as_int() ? "hash_moe" : "moe");
    }
    Json rates, main, compress, parameters;
    rates.set("compressed_sparse_attention", 4);
    rates.set("heavily_compressed_attention", 128);
    main.set("rope_type", "default");
    main.set("rope_theta", *json.find("rope_theta"));
    compress = *json.find("rope_scaling");
    remove(compress, "type");
    compress.set("rope_type", "yarn");
    compress.set("rope_theta", *json.find("compress_rope_theta"));
    compress.set("attention_factor", Json::number("1.0"));
    parameters.set("main", main);
    parameters.set("compress", compress);
    for (const char* key : {"compress_ratios", "num_hash_layers", "rope_scaling", "rope_theta",
                            "compress_rope_theta", "qk_rope_head_dim"}) {
        remove(json, key);
    }
    json.set("layer_types", types);
    json.set("mlp_layer_types", moe);
    json.set("compress_rates", rates);
    json.set("rope_parameters", parameters);
    json.set("partial_rotary_factor", Json::number("0.125"));
    return json;
}

}  // namespace

TEST_CASE("the released spelling of Pro") {
    const ModelConfig c = parsed(pro());
    CHECK(c.vocabulary == 129280);
    CHECK(c.hidden == 7168);
    CHECK(c.heads == 128);
    CHECK(c.q_rank == 1536);
    CHECK(c.o_rank == 1024);
    CHECK(c.o_groups == 16);
    CHECK(c.index_heads == 64);
    CHECK(c.index_topk == 1024);
    CHECK(c.experts == 384);
    CHECK(c.experts_per_token == 6);
    CHECK(c.expert_inner == 3072);
    CHECK(c.hash_layers == 3);
    CHECK(c.route_scale == 2.5F);
    CHECK(c.swiglu_limit == 10.0F);
    CHECK(c.sinkhorn_rounds == 20);
    CHECK(c.hc_eps == 1e-6F);
    CHECK(c.context_max == 1048576);
    CHECK(c.rope.theta == 10000);
    CHECK(c.rope.compress_theta == 160000);
    CHECK(c.rope.yarn_factor == 16);
    CHECK(c.rope.original_positions == 65536);
    REQUIRE(c.layer_count() == 61);
    CHECK(std::count(c.layers.begin(), c.layers.end(), LayerKind::kSparse) == 30);
    CHECK(std::count(c.layers.begin(), c.layers.end(), LayerKind::kHeavy) == 31);
    CHECK(c.layers[0] == LayerKind::kHeavy);
    CHECK(c.mtp_blocks == 1);
    CHECK(c.dspark.block_size == 0);
    CHECK(c.expert_dtype == "fp4");
}

TEST_CASE("the released spelling of Flash-0731 has a drafter and entries for its stages") {
    const ModelConfig c = parsed(flash());
    REQUIRE(c.layer_count() == 43);
    CHECK(std::count(c.layers.begin(), c.layers.end(), LayerKind::kWindow) == 2);
    CHECK(std::count(c.layers.begin(), c.layers.end(), LayerKind::kSparse) == 21);
    CHECK(std::count(c.layers.begin(), c.layers.end(), LayerKind::kHeavy) == 20);
    CHECK(c.dspark.block_size == 5);
    CHECK(c.dspark.noise_token == 128799);
    CHECK(c.dspark.markov_rank == 256);
    CHECK(c.dspark.target_layers == std::vector<int32_t>{40, 41, 42});
}

TEST_CASE("three spellings, one model") {
    check_same_model(parsed(pro()),
                     parsed(read_golden_json("config/v4-pro.inference-config.json")));
    check_same_model(parsed(pro()), parsed(transformers_spelling(pro())));
    check_same_model(parsed(flash()), parsed(transformers_spelling(flash())));
    // Keys of two spellings in one file are one model as long as they agree.
    Json both = pro();
    both.set("dim", 7168);
    check_same_model(parsed(pro()), parsed(both));
}

TEST_CASE("every tiny config is read") {
    for (const std::string tiny :
         {"tiny-flash", "tiny-pro", "tiny-base", "tiny-clamp", "tiny-0731"}) {
        const ModelConfig c = parsed(read_golden_json("model/" + tiny + "/config.json"));
        CHECK(c.synthetic_seed > 0);
        CHECK(c.synthetic_ffn_gain == (tiny == "tiny-clamp" ? 8.0 : 1.0));
    }
}

namespace {

struct Wrong {
    const char* key;
    const char* value;  // JSON; "" removes the key
    const char* says;
};

void check_refused(const Json& base, const Wrong& wrong) {
    Json json = base;
    if (*wrong.value == '\0') {
        remove(json, wrong.key);
    } else {
        auto value = Json::parse(wrong.value);
        REQUIRE(value.ok());
        json.set(wrong.key, *value);
    }
    const auto config = parse_config(json);
    INFO(wrong.key, " = ", wrong.value);
    REQUIRE(!config.ok());
    INFO(config.error().message);
    CHECK(config.error().message.find(wrong.says) != std::string::npos);
    CHECK(config.error().message.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("what is missing, out of range or of the wrong type is named") {
    const std::array wrongs = {
        Wrong{"model_type", "\"llama\"", "model_type is \"llama\""},
        Wrong{"hidden_size", "", "hidden_size is missing"},
        Wrong{"hidden_size", "0", "hidden_size is 0, possible"},
        Wrong{"hidden_size", "4100", "hidden_size is 4100, possible are multiples of 128"},
        Wrong{"hidden_size", "4096.5", "hidden_size is 4096.5"},
        Wrong{"hidden_size", "9223372036854775807", "possible is a whole number from 128"},
        Wrong{"hidden_size", "1e300", "hidden_size is 1e300"},
        Wrong{"hidden_size", "\"4096\"", "hidden_size"},
        Wrong{"vocab_size", "", "vocab_size is missing"},
        Wrong{"vocab_size", "-1", "vocab_size is -1"},
        Wrong{"num_hidden_layers", "2000", "num_hidden_layers is 2000"},
        Wrong{"num_hidden_layers", "47", "compress_ratios is an array of 46 entries"},
        Wrong{"num_hidden_layers", "42", "compress_ratios[42] is 4"},
        Wrong{"compress_ratios", "", "compress_ratios is missing"},
        Wrong{"compress_ratios", "[]", "an array of 0 entries"},
        Wrong{"compress_ratios", "7", "compress_ratios is a number"},
        Wrong{"num_attention_heads", "0", "num_attention_heads"},
        Wrong{"head_dim", "256", "head_dim is 256, this engine runs only 512"},
        Wrong{"num_key_value_heads", "8", "num_key_value_heads"},
        Wrong{"qk_rope_head_dim", "32", "qk_rope_head_dim"},
        Wrong{"attention_bias", "true", "attention_bias"},
        Wrong{"q_lora_rank", "1000", "q_lora_rank is 1000, possible are multiples of 128"},
        Wrong{"o_groups", "0", "o_groups"},
        Wrong{"o_groups", "7", "o_groups"},
        Wrong{"sliding_window", "4096", "sliding_window is 4096, this engine runs only 128"},
        Wrong{"index_n_heads", "", "index_n_heads is missing"},
        Wrong{"index_topk", "0", "index_topk"},
        Wrong{"index_head_dim", "64", "index_head_dim"},
        Wrong{"n_routed_experts", "4", "num_experts_per_tok is 6, but there are 4 experts"},
        Wrong{"n_routed_experts", "1000000", "n_routed_experts is 1000000"},
        Wrong{"n_shared_experts", "2", "n_shared_experts"},
        Wrong{"num_experts_per_tok", "65", "num_experts_per_tok"},
        Wrong{"moe_intermediate_size", "2000", "moe_intermediate_size is 2000"},
        Wrong{"num_hash_layers", "44", "num_hash_layers is 44"},
        Wrong{"routed_scaling_factor", "-1", "routed_scaling_factor"},
        Wrong{"routed_scaling_factor", "1e300", "routed_scaling_factor"},
        Wrong{"swiglu_limit", "0", "swiglu_limit"},
        Wrong{"scoring_func", "\"softmax\"", "scoring_func"},
        Wrong{"topk_method", "\"greedy\"", "topk_method"},
        Wrong{"norm_topk_prob", "false", "norm_topk_prob"},
        Wrong{"hidden_act", "\"gelu\"", "hidden_act"},
        Wrong{"hc_mult", "8", "hc_mult is 8, this engine runs only 4"},
        Wrong{"hc_sinkhorn_iters", "0", "hc_sinkhorn_iters"},
        Wrong{"hc_eps", "0", "hc_eps"},
        Wrong{"rms_norm_eps", "\"x\"", "rms_norm_eps"},
        Wrong{"rope_theta", "", "rope_theta is missing"},
        Wrong{"rope_theta", "0", "rope_theta"},
        Wrong{"compress_rope_theta", "", "compress_rope_theta is missing"},
        Wrong{"rope_scaling", "{\"type\": \"linear\", \"factor\": 2}", "rope_scaling: type"},
        Wrong{"rope_scaling", "{\"type\": \"yarn\"}", "rope_scaling: factor is missing"},
        Wrong{"rope_scaling", "[1]", "rope_scaling is an array"},
        Wrong{"rope_scaling", "", "rope_factor is missing"},
        Wrong{"max_position_embeddings", "0", "max_position_embeddings"},
        Wrong{"tie_word_embeddings", "true", "tie_word_embeddings"},
        Wrong{"bos_token_id", "129280", "bos_token_id"},
        Wrong{"dspark_block_size", "0", "dspark_block_size"},
        Wrong{"dspark_noise_token_id", "129280", "dspark_noise_token_id"},
        Wrong{"dspark_markov_rank", "", "dspark_markov_rank is missing"},
        Wrong{"dspark_target_layer_ids", "", "dspark_target_layer_ids is missing"},
        Wrong{"dspark_target_layer_ids", "[40, 43]", "dspark_target_layer_ids has 43"},
        Wrong{"dspark_target_layer_ids", "[40, 40]", "dspark_target_layer_ids has 40"},
        Wrong{"quantization_config", "{\"weight_block_size\": [64, 64]}", "weight_block_size"},
        Wrong{"quantization_config", "{\"quant_method\": \"awq\"}", "quant_method"},
        Wrong{"dim", "7168", "hidden_size is 4096 and dim is 7168"},
        Wrong{"layer_types", "[\"sliding_attention\"]", "layer_types is an array of 1 entries"},
    };
    for (const Wrong& wrong : wrongs) check_refused(flash(), wrong);
}

TEST_CASE("a config that is no object is refused") {
    const Json list = Json(Json::Array{});
    CHECK(parse_config(list).error().message.find("an array") != std::string::npos);
}

TEST_CASE("transformers names are checked as strictly") {
    const Json base = transformers_spelling(flash());
    Json::Array types = base.find("layer_types")->items();
    Json::Array moe = base.find("mlp_layer_types")->items();
    types[5] = "linear_attention";
    moe[7] = "hash_moe";
    check_refused(base, {"layer_types", Json(types).dump().c_str(), "layer_types[5]"});
    check_refused(base, {"mlp_layer_types", Json(moe).dump().c_str(), "mlp_layer_types[7]"});
    check_refused(base, {"mlp_layer_types", "[\"moe\"]", "an array of 1 entries"});
    check_refused(base,
                  {"num_hash_layers", "2", "num_hash_layers is 2, but mlp_layer_types has 3"});
    check_refused(base, {"compress_rates", "{\"compressed_sparse_attention\": 8}",
                         "compress_rates: compressed_sparse_attention"});
    check_refused(base, {"rope_parameters", "{}", "rope_parameters: main or compress is missing"});
    check_refused(base, {"partial_rotary_factor", "0.5", "partial_rotary_factor"});
    Json::Array ratios = flash().find("compress_ratios")->items();
    ratios[2] = 128;
    check_refused(base, {"compress_ratios", Json(ratios).dump().c_str(), "must agree"});
}

TEST_CASE("read_config names the file") {
    const TempDirectory directory;
    auto missing = read_config(directory.path());
    REQUIRE(!missing.ok());
    CHECK(missing.error().code == ErrorCode::kNotFound);
    CHECK(missing.error().message.find("config.json") != std::string::npos);
    for (const char* text :
         {"{\"hidden_size\": ", "{\"vocab_size\": 1, \"vocab_size\": 2}", "[]"}) {
        REQUIRE(write_file(directory.path() / "config.json", std::string_view(text)).ok());
        auto broken = read_config(directory.path());
        REQUIRE(!broken.ok());
        CHECK(broken.error().message.find("config.json: ") != std::string::npos);
    }
    REQUIRE(write_file(directory.path() / "config.json", flash().dump()).ok());
    CHECK(read_config(directory.path()).ok());
}

}  // namespace millrace::test
