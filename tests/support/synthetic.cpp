#include "tests/support/synthetic.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <span>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/base/random.h"
#include "core/base/strings.h"
#include "core/base/types.h"

namespace millrace::test {
namespace {

// u(i): SplitMix64 started at fnv1a64(name) xor seed·gamma, so that u(0) is the first step.
class Stream {
public:
    Stream(uint64_t seed, std::string_view name) {
        uint64_t hash = 0xCBF29CE484222325u;
        for (const char c : name) {
            hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
        }
        start_ = hash ^ (seed * kGoldenGamma);
    }
    [[nodiscard]] uint64_t at(size_t i) const { return mix64(start_ + (i + 1) * kGoldenGamma); }

private:
    uint64_t start_;
};

int rounded_log2(double x) { return static_cast<int>(std::nearbyint(std::log2(x))); }

// Writes tensors by the rules of the README's table, one function a rule.
class Writer {
public:
    explicit Writer(const Json& config)
        : config_(config), seed_(static_cast<uint64_t>(whole("synthetic_seed"))) {}

    [[nodiscard]] bool has(std::string_view key) const { return config_.find(key) != nullptr; }
    [[nodiscard]] const Json& member(std::string_view key) const {
        const Json* value = config_.find(key);
        REQUIRE_MESSAGE(value != nullptr, std::string(key));
        return *value;
    }
    [[nodiscard]] int64_t whole(std::string_view key) const { return *member(key).as_int(); }

    void bf16_grid(const std::string& name, int64_t rows, int64_t cols, int exponent) {
        fill<Bf16>(name, DType::kBf16, {rows, cols},
                   [&](uint64_t u) { return exact_bf16(grid(u, exponent)); });
    }
    void bf16(const std::string& name, int64_t rows, int64_t cols, double gain) {
        bf16_grid(name, rows, cols, grid_exponent(cols, gain));
    }
    void norm(const std::string& name, int64_t count) {
        fill<Bf16>(name, DType::kBf16, {count}, [](uint64_t u) {
            return exact_bf16(1 + (static_cast<float>(u & 127) - 64) / 128);
        });
    }
    void f32(const std::string& name, const std::vector<int64_t>& shape, int exponent) {
        fill<float>(name, DType::kF32, shape, [&](uint64_t u) { return grid(u, exponent); });
    }
    void f32_fan_in(const std::string& name, int64_t rows, int64_t cols) {
        f32(name, {rows, cols}, grid_exponent(cols, 1));
    }
    void scale01(const std::string& name, int64_t count) {
        fill<float>(name, DType::kF32, {count},
                    [](uint64_t u) { return 0.25F + static_cast<float>(u & 127) / 256; });
    }

    enum class Scales { kE8m0, kF32 };
    void fp8(const std::string& base, int64_t out, int64_t in, double gain,
             Scales scales = Scales::kE8m0) {
        fill<uint8_t>(base + ".weight", DType::kF8E4m3, {out, in}, [](uint64_t u) {
            return static_cast<uint8_t>((u & 0x87) | ((4 + ((u >> 3) & 3)) << 3));
        });
        const int e = rounded_log2(gain / (0.84 * std::sqrt(static_cast<double>(in))));
        const std::vector<int64_t> shape = {(out + 127) / 128, (in + 127) / 128};
        if (scales == Scales::kE8m0) {
            scale_bytes(base + ".scale", shape, e);
        } else {
            fill<float>(base + ".scale", DType::kF32, shape,
                        [&](uint64_t u) { return std::ldexp(1.0F, e + static_cast<int>(u & 1)); });
        }
    }
    void fp4(const std::string& base, int64_t out, int64_t in, double gain) {
        fill<uint8_t>(base + ".weight", DType::kI8, {out, in / 2},
                      [](uint64_t u) { return static_cast<uint8_t>(u); });
        const int e = rounded_log2(gain / (2.93 * std::sqrt(static_cast<double>(in))));
        scale_bytes(base + ".scale", {out, in / 32}, e);
    }
    void expert_table(const std::string& name, int64_t vocabulary, int64_t per_token,
                      int64_t experts) {
        const Stream stream(seed_, name);
        const auto e = static_cast<uint64_t>(experts);
        const auto k = static_cast<uint64_t>(per_token);
        std::vector<int64_t> table;
        for (size_t row = 0; row < static_cast<size_t>(vocabulary); ++row) {
            const uint64_t u = stream.at(row);
            const uint64_t step = 1 + (u >> 32) % ((e - 1) / std::max<uint64_t>(k - 1, 1));
            for (uint64_t j = 0; j < k; ++j) {
                table.push_back(static_cast<int64_t>((u % e + j * step) % e));
            }
        }
        put(name, DType::kI64, {vocabulary, per_token}, std::as_bytes(std::span(table)));
    }

    [[nodiscard]] SyntheticTensors take() { return std::move(tensors_); }

private:
    static float grid(uint64_t u, int exponent) {
        return std::ldexp(static_cast<float>(static_cast<int8_t>(u & 255)), -exponent);
    }
    static int grid_exponent(int64_t cols, double gain) {
        return rounded_log2(73.9 * std::sqrt(static_cast<double>(cols)) / gain);
    }
    static Bf16 exact_bf16(float x) {
        const Bf16 rounded = to_bf16(x);
        ENSURE(to_float(rounded) == x);
        return rounded;
    }
    void scale_bytes(const std::string& name, const std::vector<int64_t>& shape, int e) {
        fill<uint8_t>(name, DType::kF8E8m0, shape, [&](uint64_t u) {
            return static_cast<uint8_t>(127 + e + static_cast<int>(u & 1));
        });
    }
    template <class T, class Rule>
    void fill(const std::string& name, DType dtype, const std::vector<int64_t>& shape,
              const Rule& rule) {
        size_t count = 1;
        for (const int64_t extent : shape) count *= static_cast<size_t>(extent);
        const Stream stream(seed_, name);
        std::vector<T> values(count);
        for (size_t i = 0; i < count; ++i) values[i] = rule(stream.at(i));
        put(name, dtype, shape, std::as_bytes(std::span(values)));
    }
    void put(const std::string& name, DType dtype, const std::vector<int64_t>& shape,
             std::span<const std::byte> bytes) {
        tensors_[name] = {dtype, shape, {bytes.begin(), bytes.end()}};
    }

    const Json& config_;
    uint64_t seed_;
    SyntheticTensors tensors_;
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
    const double up =
        w.has("synthetic_ffn_gain") ? *w.member("synthetic_ffn_gain").as_double() : 1.0;
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
    const bool fp4 = !w.has("expert_dtype") || *w.member("expert_dtype").as_string() == "fp4";
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
    const auto targets = static_cast<int64_t>(w.member("dspark_target_layer_ids").items().size());
    for (int i = 0; i < 3; ++i) put_block(w, cat("mtp.", i, "."), 0, Routing::kScores);
    w.fp8("mtp.0.main_proj", hidden, hidden * targets, 1);
    w.norm("mtp.0.main_norm.weight", hidden);
    put_head(w, "mtp.2.");
    w.bf16("mtp.2.markov_head.markov_w1.weight", vocabulary, rank, 2);
    w.bf16("mtp.2.markov_head.markov_w2.weight", vocabulary, rank, 2);
    w.bf16("mtp.2.confidence_head.proj.weight", 1, hidden + rank, 2);
}

std::string safetensors_header(const SyntheticTensors& tensors) {
    Json format, header;
    format.set("format", "pt");
    Json::Object members = {{"__metadata__", format}};
    int64_t offset = 0;
    for (const auto& [name, tensor] : tensors) {
        Json entry;
        entry.set("dtype", dtype_name(tensor.dtype));
        Json::Array shape;
        for (const int64_t extent : tensor.shape) shape.emplace_back(extent);
        entry.set("shape", std::move(shape));
        const int64_t end = offset + static_cast<int64_t>(tensor.bytes.size());
        entry.set("data_offsets", Json::Array{offset, end});
        offset = end;
        members.emplace_back(name, std::move(entry));
    }
    std::string text = Json(std::move(members)).dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    return text;
}

// Not write_file(): syncing every shard of every test to the disk takes longer than the tests.
void write_or_fail(const Path& path, std::string_view bytes) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    REQUIRE_MESSAGE(file.good(), path.string());
}

}  // namespace

SyntheticTensors synthetic_tensors(const Json& config) {
    Writer w(config);
    w.bf16_grid("embed.weight", w.whole("vocab_size"), w.whole("hidden_size"), 6);
    w.bf16("head.weight", w.whole("vocab_size"), w.whole("hidden_size"), 2);
    put_head(w, "");
    const Json& ratios = w.member("compress_ratios");
    for (int64_t i = 0; i < w.whole("num_hidden_layers"); ++i) {
        put_block(w, cat("layers.", i, "."), *ratios.items()[static_cast<size_t>(i)].as_int(),
                  i < w.whole("num_hash_layers") ? Routing::kHash : Routing::kScores);
    }
    if (w.has("dspark_block_size")) {
        put_dspark(w);
    } else {
        for (int64_t i = 0; i < w.whole("num_nextn_predict_layers"); ++i) {
            put_mtp(w, cat("mtp.", i, "."));
        }
    }
    return w.take();
}

std::vector<int32_t> synthetic_tokens(uint64_t seed, int index, int64_t count, int64_t modulus) {
    const Stream stream(seed, cat("tokens.", index));
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        tokens.push_back(static_cast<int32_t>(stream.at(i) % static_cast<uint64_t>(modulus)));
    }
    return tokens;
}

void write_safetensors(const Path& path, const SyntheticTensors& tensors) {
    const std::string header = safetensors_header(tensors);
    std::string file(8, '\0');
    for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
    file += header;
    for (const auto& [name, tensor] : tensors) {
        file.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
    }
    write_or_fail(path, file);
}

void write_checkpoint(const Path& directory, const Json& config, const SyntheticTensors& tensors,
                      int shards) {
    std::filesystem::create_directories(directory);
    Json::Object map;
    size_t total = 0;
    auto next = tensors.begin();
    size_t done = 0;
    for (int s = 1; s <= shards; ++s) {
        const auto number = [](int n) {
            const std::string digits = cat(n);
            return std::string(5 - digits.size(), '0') + digits;
        };
        const std::string file = cat("model-", number(s), "-of-", number(shards), ".safetensors");
        SyntheticTensors part;
        const size_t end = static_cast<size_t>(s) * tensors.size() / static_cast<size_t>(shards);
        for (; done < end; ++done, ++next) {
            part.insert(*next);
            map.emplace_back(next->first, file);
            total += next->second.bytes.size();
        }
        write_safetensors(directory / file, part);
    }
    Json metadata, index;
    metadata.set("total_size", total);
    index.set("metadata", std::move(metadata));
    index.set("weight_map", std::move(map));
    write_or_fail(directory / "model.safetensors.index.json", index.dump());
    write_or_fail(directory / "config.json", config.dump());
}

void write_synthetic(const Path& config_json, const Path& out_dir, int shards) {
    const auto text = read_text_file(config_json, 1 << 20);
    REQUIRE_MESSAGE(text.ok(), (text.ok() ? "" : text.error().message));
    const auto config = Json::parse_unique(*text);
    REQUIRE(config.ok());
    write_checkpoint(out_dir, *config, synthetic_tensors(*config), shards);
}

}  // namespace millrace::test
