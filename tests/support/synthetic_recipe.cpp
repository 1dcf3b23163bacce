#include "tests/support/synthetic_recipe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/base/types.h"

namespace millrace::test {
namespace {

int rounded_log2(double x) { return static_cast<int>(std::nearbyint(std::log2(x))); }

// Notes down tensors by the rules of the README's table, one function a rule. A member that the config lacks is noted
// too, and stands for a small number meanwhile.
class Writer {
public:
    explicit Writer(const Json& config) : config_(config) {}

    [[nodiscard]] bool has(std::string_view key) const { return config_.find(key) != nullptr; }
    [[nodiscard]] int64_t whole(std::string_view key) {
        const Json* value = config_.find(key);
        const int64_t number = value == nullptr ? -1 : value->as_int().value_or(-1);
        if (number < 0) miss(key, "a number");
        return number < 0 ? 1 : number;
    }
    [[nodiscard]] double real(std::string_view key) {
        const Json* value = config_.find(key);
        const double number = value == nullptr ? 0 : value->as_double().value_or(0);
        if (number == 0) miss(key, "a number");
        return number == 0 ? 1 : number;
    }
    [[nodiscard]] std::string_view text(std::string_view key) {
        const Json* value = config_.find(key);
        const std::string* found = value == nullptr ? nullptr : value->as_string();
        if (found == nullptr) miss(key, "text");
        return found == nullptr ? std::string_view() : *found;
    }
    [[nodiscard]] std::span<const Json> list(std::string_view key) {
        const Json* value = config_.find(key);
        if (value == nullptr || !value->is_array()) miss(key, "a list");
        return value == nullptr ? std::span<const Json>() : value->items();
    }
    void miss(std::string_view key, std::string_view wanted) {
        if (missing_.empty()) missing_ = cat(key, " (", wanted, ")");
    }
    [[nodiscard]] const std::string& missing() const { return missing_; }

    void bf16_grid(const std::string& name, int64_t rows, int64_t cols, int exponent) {
        put(name, DType::kBf16, {rows, cols}, SyntheticRule::kGrid, exponent);
    }
    void bf16(const std::string& name, int64_t rows, int64_t cols, double gain) {
        bf16_grid(name, rows, cols, grid_exponent(cols, gain));
    }
    void norm(const std::string& name, int64_t count) {
        put(name, DType::kBf16, {count}, SyntheticRule::kNorm);
    }
    void f32(const std::string& name, const std::vector<int64_t>& shape, int exponent) {
        put(name, DType::kF32, shape, SyntheticRule::kGrid, exponent);
    }
    void f32_fan_in(const std::string& name, int64_t rows, int64_t cols) {
        f32(name, {rows, cols}, grid_exponent(cols, 1));
    }
    void scale01(const std::string& name, int64_t count) {
        put(name, DType::kF32, {count}, SyntheticRule::kUnitScale);
    }

    enum class Scales { kE8m0, kF32 };
    void fp8(const std::string& base, int64_t out, int64_t in, double gain,
             Scales scales = Scales::kE8m0) {
        put(base + ".weight", DType::kF8E4m3, {out, in}, SyntheticRule::kFp8Codes);
        const int e = rounded_log2(gain / (0.84 * std::sqrt(static_cast<double>(in))));
        put(base + ".scale", scales == Scales::kE8m0 ? DType::kF8E8m0 : DType::kF32,
            {(out + 127) / 128, (in + 127) / 128}, SyntheticRule::kPowerOfTwo, e);
    }
    void fp4(const std::string& base, int64_t out, int64_t in, double gain) {
        put(base + ".weight", DType::kI8, {out, in / 2}, SyntheticRule::kBytes);
        const int e = rounded_log2(gain / (2.93 * std::sqrt(static_cast<double>(in))));
        put(base + ".scale", DType::kF8E8m0, {out, in / 32}, SyntheticRule::kPowerOfTwo, e);
    }
    void expert_table(const std::string& name, int64_t vocabulary, int64_t per_token,
                      int64_t experts) {
        put(name, DType::kI64, {vocabulary, per_token}, SyntheticRule::kExpertOfToken);
        recipes_.back().experts = experts;
    }

    [[nodiscard]] std::vector<SyntheticRecipe> take() {
        std::ranges::sort(recipes_, {}, &SyntheticRecipe::name);
        return std::move(recipes_);
    }

private:
    static int grid_exponent(int64_t cols, double gain) {
        return rounded_log2(73.9 * std::sqrt(static_cast<double>(cols)) / gain);
    }
    void put(const std::string& name, DType dtype, const std::vector<int64_t>& shape,
             SyntheticRule rule, int exponent = 0) {
        recipes_.push_back(
            {.name = name, .dtype = dtype, .shape = shape, .rule = rule, .exponent = exponent});
    }

    const Json& config_;
    std::string missing_;
    std::vector<SyntheticRecipe> recipes_;
};

void put_compressor(Writer& w, const std::string& p, int64_t hidden, int64_t ratio, int64_t width) {
    const int64_t channels = ratio == 4 ? 2 * width : width;
    w.f32(p + "ape", {ratio, channels}, 7);
    w.bf16(p + "wkv.weight", channels, hidden, 1);
    w.bf16(p + "wgate.weight", channels, hidden, 1);
    w.norm(p + "norm.weight", width);
}

void put_attention(Writer& w, const std::string& p, int64_t ratio) {
    const int64_t hidden = w.whole("hidden_size"), head_dim = w.whole("head_dim");
    const int64_t heads = w.whole("num_attention_heads"), q_rank = w.whole("q_lora_rank");
    const int64_t groups = w.whole("o_groups"), o_rank = w.whole("o_lora_rank");
    w.f32(p + "attn_sink", {heads}, 6);
    w.fp8(p + "wq_a", q_rank, hidden, 1);
    w.norm(p + "q_norm.weight", q_rank);
    w.fp8(p + "wq_b", heads * head_dim, q_rank, 1);
    w.fp8(p + "wkv", head_dim, hidden, 1);
    w.norm(p + "kv_norm.weight", head_dim);
    w.fp8(p + "wo_a", groups * o_rank, heads * head_dim / groups, 1);
    w.fp8(p + "wo_b", hidden, groups * o_rank, 0.25);
    if (ratio != 0) put_compressor(w, p + "compressor.", hidden, ratio, head_dim);
    if (ratio != 4) return;
    const int64_t index_heads = w.whole("index_n_heads"), index_dim = w.whole("index_head_dim");
    w.fp8(p + "indexer.wq_b", index_heads * index_dim, q_rank, 1);
    w.bf16(p + "indexer.weights_proj.weight", index_heads, hidden, 1);
    put_compressor(w, p + "indexer.compressor.", hidden, 4, index_dim);
}

// w1, w2, w3. Small gains behind every sub-layer keep the random model well conditioned.
template <class Put>
void put_expert(Writer& w, const std::string& p, const Put& put) {
    const int64_t hidden = w.whole("hidden_size"), inner = w.whole("moe_intermediate_size");
    const double up = w.has("synthetic_ffn_gain") ? w.real("synthetic_ffn_gain") : 1.0;
    put(p + "w1", inner, hidden, up);
    put(p + "w2", hidden, inner, 0.5 / up);
    put(p + "w3", inner, hidden, up);
}

enum class Routing { kHash, kScores };

void put_experts(Writer& w, const std::string& p, Routing routing) {
    const int64_t hidden = w.whole("hidden_size"), experts = w.whole("n_routed_experts");
    w.bf16(p + "gate.weight", experts, hidden, 1);
    if (routing == Routing::kHash) {
        w.expert_table(p + "gate.tid2eid", w.whole("vocab_size"), w.whole("num_experts_per_tok"),
                       experts);
    } else {
        w.f32(p + "gate.bias", {experts}, 10);
    }
    const bool fp4 = !w.has("expert_dtype") || w.text("expert_dtype") == "fp4";
    for (int64_t e = 0; e < experts; ++e) {
        put_expert(w, cat(p, "experts.", e, "."),
                   [&](const std::string& name, int64_t out, int64_t in, double gain) {
                       if (fp4) {
                           w.fp4(name, out, in, gain);
                       } else {
                           w.fp8(name, out, in, gain, Writer::Scales::kF32);
                       }
                   });
    }
    put_expert(w, p + "shared_experts.",
               [&](const std::string& name, int64_t out, int64_t in, double gain) {
                   w.fp8(name, out, in, gain);
               });
}

void put_block(Writer& w, const std::string& p, int64_t ratio, Routing routing) {
    const int64_t hidden = w.whole("hidden_size");
    w.norm(p + "attn_norm.weight", hidden);
    w.norm(p + "ffn_norm.weight", hidden);
    for (const std::string site : {"hc_attn", "hc_ffn"}) {
        w.f32_fan_in(p + site + "_fn", 24, 4 * hidden);
        w.f32(p + site + "_base", {24}, 6);
        w.scale01(p + site + "_scale", 3);
    }
    put_attention(w, p + "attn.", ratio);
    put_experts(w, p + "ffn.", routing);
}

void put_head(Writer& w, const std::string& p) {
    const int64_t hidden = w.whole("hidden_size");
    w.f32_fan_in(p + "hc_head_fn", 4, 4 * hidden);
    w.f32(p + "hc_head_base", {4}, 6);
    w.scale01(p + "hc_head_scale", 1);
    w.norm(p + "norm.weight", hidden);
}

void put_mtp(Writer& w, const std::string& p) {
    const int64_t hidden = w.whole("hidden_size");
    put_block(w, p, 0, Routing::kScores);
    w.fp8(p + "e_proj", hidden, hidden, 1);
    w.fp8(p + "h_proj", hidden, hidden, 1);
    w.norm(p + "enorm.weight", hidden);
    w.norm(p + "hnorm.weight", hidden);
    put_head(w, p);
}

void put_dspark(Writer& w) {
    const int64_t hidden = w.whole("hidden_size"), vocabulary = w.whole("vocab_size");
    const int64_t rank = w.whole("dspark_markov_rank");
    const auto targets = static_cast<int64_t>(w.list("dspark_target_layer_ids").size());
    for (int i = 0; i < 3; ++i) put_block(w, cat("mtp.", i, "."), 0, Routing::kScores);
    w.fp8("mtp.0.main_proj", hidden, hidden * targets, 1);
    w.norm("mtp.0.main_norm.weight", hidden);
    put_head(w, "mtp.2.");
    w.bf16("mtp.2.markov_head.markov_w1.weight", vocabulary, rank, 2);
    w.bf16("mtp.2.markov_head.markov_w2.weight", vocabulary, rank, 2);
    w.bf16("mtp.2.confidence_head.proj.weight", 1, hidden + rank, 2);
}

void put_model(Writer& w) {
    w.bf16_grid("embed.weight", w.whole("vocab_size"), w.whole("hidden_size"), 6);
    w.bf16("head.weight", w.whole("vocab_size"), w.whole("hidden_size"), 2);
    put_head(w, "");
    const std::span<const Json> ratios = w.list("compress_ratios");
    for (int64_t i = 0; i < w.whole("num_hidden_layers"); ++i) {
        put_block(w, cat("layers.", i, "."), *ratios[static_cast<size_t>(i)].as_int(),
                  i < w.whole("num_hash_layers") ? Routing::kHash : Routing::kScores);
    }
    if (w.has("dspark_block_size")) {
        put_dspark(w);
    } else {
        for (int64_t i = 0; i < w.whole("num_nextn_predict_layers"); ++i) {
            put_mtp(w, cat("mtp.", i, "."));
        }
    }
}

Bf16 exact_bf16(float x) {
    const Bf16 rounded = to_bf16(x);
    ENSURE(to_float(rounded) == x);
    return rounded;
}

// The value of an element whose low byte of u is `low`. No rule but that of the expert table looks at more of u.
float value_of(const SyntheticRecipe& recipe, uint64_t low) {
    switch (recipe.rule) {
        case SyntheticRule::kGrid:
            return std::ldexp(static_cast<float>(static_cast<int8_t>(low)), -recipe.exponent);
        case SyntheticRule::kNorm: return 1 + (static_cast<float>(low & 127) - 64) / 128;
        case SyntheticRule::kUnitScale: return 0.25F + static_cast<float>(low & 127) / 256;
        default: return std::ldexp(1.0F, recipe.exponent + static_cast<int>(low & 1));
    }
}

uint8_t code_of(const SyntheticRecipe& recipe, uint64_t low) {
    switch (recipe.rule) {
        case SyntheticRule::kFp8Codes:
            return static_cast<uint8_t>((low & 0x87) | ((4 + ((low >> 3) & 3)) << 3));
        case SyntheticRule::kPowerOfTwo:
            return static_cast<uint8_t>(127 + recipe.exponent + static_cast<int>(low & 1));
        default: return static_cast<uint8_t>(low);
    }
}

// An element is looked up by the low byte of its u.
template <class T, class ValueOfLow>
void look_up(const SyntheticStream& stream, uint64_t first, std::span<std::byte> out,
             const ValueOfLow& value_of_low) {
    std::array<T, 256> values;
    for (uint64_t low = 0; low < values.size(); ++low) values[low] = value_of_low(low);
    T* at = reinterpret_cast<T*>(out.data());
    const uint64_t count = out.size() / sizeof(T);
    for (uint64_t i = 0; i < count; ++i) at[i] = values[stream.at(first + i) & 255];
}

// Experts j = 0 … k−1 of token r: a start and a step from one word.
void write_expert_table(const SyntheticRecipe& recipe, const SyntheticStream& stream,
                        uint64_t first, std::span<std::byte> out) {
    const auto e = static_cast<uint64_t>(recipe.experts);
    const auto k = static_cast<uint64_t>(recipe.shape[1]);
    const uint64_t steps = (e - 1) / std::max<uint64_t>(k - 1, 1);
    int64_t* at = reinterpret_cast<int64_t*>(out.data());
    for (uint64_t i = 0; i < out.size() / sizeof(int64_t); ++i) {
        const uint64_t u = stream.at((first + i) / k);
        const uint64_t step = 1 + (u >> 32) % steps;
        at[i] = static_cast<int64_t>((u % e + (first + i) % k * step) % e);
    }
}

// What makes the rules impossible to follow, or empty.
std::string why_impossible(Writer& w) {
    const int64_t layers = w.whole("num_hidden_layers");
    if (static_cast<int64_t>(w.list("compress_ratios").size()) < layers) {
        w.miss("compress_ratios", "one ratio a layer");
    }
    for (const Json& ratio : w.list("compress_ratios")) {
        if (!ratio.as_int()) w.miss("compress_ratios", "whole numbers");
    }
    if (w.whole("n_routed_experts") < std::max<int64_t>(w.whole("num_experts_per_tok"), 2)) {
        w.miss("n_routed_experts", "at least 2 and num_experts_per_tok");
    }
    if (w.whole("o_groups") == 0) w.miss("o_groups", "a number above 0");
    static_cast<void>(w.whole("synthetic_seed"));
    return w.missing();
}

}  // namespace

SyntheticStream::SyntheticStream(uint64_t seed, std::string_view name) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (const char c : name) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    }
    start_ = hash ^ (seed * kGoldenGamma);
}

uint64_t SyntheticRecipe::count() const {
    uint64_t count = 1;
    for (const int64_t extent : shape) count *= static_cast<uint64_t>(extent);
    return count;
}

void synthesise(const SyntheticRecipe& recipe, uint64_t seed, uint64_t first,
                std::span<std::byte> out) {
    ENSURE(out.size() % dtype_bytes(recipe.dtype) == 0);
    const SyntheticStream stream(seed, recipe.name);
    if (recipe.rule == SyntheticRule::kExpertOfToken) {
        write_expert_table(recipe, stream, first, out);
    } else if (recipe.dtype == DType::kBf16) {
        look_up<Bf16>(stream, first, out,
                      [&](uint64_t low) { return exact_bf16(value_of(recipe, low)); });
    } else if (recipe.dtype == DType::kF32) {
        look_up<float>(stream, first, out, [&](uint64_t low) { return value_of(recipe, low); });
    } else {
        look_up<uint8_t>(stream, first, out, [&](uint64_t low) { return code_of(recipe, low); });
    }
}

Result<std::vector<SyntheticRecipe>> synthetic_recipes(const Json& config) {
    Writer w(config);
    std::string missing = why_impossible(w);
    if (missing.empty()) {
        put_model(w);
        missing = w.missing();
    }
    if (!missing.empty()) {
        return Error{ErrorCode::kCorrupt,
                     cat("the config lacks ", missing,
                         ": a synthetic checkpoint needs the released spelling and a "
                         "synthetic_seed")};
    }
    return w.take();
}

}  // namespace millrace::test
