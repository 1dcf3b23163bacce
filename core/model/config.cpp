#include "core/model/config.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr uint64_t kConfigBytesMax = uint64_t{16} << 20;
constexpr int64_t kLayersMax = 1024;
constexpr int64_t kDraftBlocksMax = 64;
constexpr int64_t kAllExpertsMax = int64_t{1} << 18;  // bounds what a hostile config can allocate

constexpr size_t kShownBytes = 40;  // of a value in a message

// The spellings of one key; the released one first.
using Names = std::initializer_list<std::string_view>;

struct WholeRange {
    int64_t least, most;
};
struct RealRange {
    double least, most;
};

Error invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }

// Reads an object's members by any of their names. The first failure stays in `problem`, and later
// reads return defaults: the caller checks once.
class Reader {
public:
    explicit Reader(const Json& object) : object_(object) {}

    [[nodiscard]] const std::optional<Error>& problem() const { return problem_; }
    void fail(std::string message) {
        if (!problem_) problem_ = invalid(std::move(message));
    }

    // Null if no spelling is there; a JSON null counts as absent. Two spellings must agree.
    const Json* find(Names names) {
        const Json* found = nullptr;
        std::string_view found_name;
        for (const std::string_view name : names) {
            const Json* value = object_.find(name);
            if (!value || value->is_null()) continue;
            if (found && found->dump() != value->dump()) {
                fail(cat(found_name, " is ", shown(*found), " and ", name, " is ", shown(*value),
                         "; they mean the same and must agree"));
                return nullptr;
            }
            found = value;
            found_name = name;
        }
        return found;
    }

    int64_t whole(Names names, WholeRange range, std::optional<int64_t> otherwise = {}) {
        const Json* value = find(names);
        if (!value) return missing(names, otherwise, range.least);
        // 1e4 and 10000.0 are whole numbers too: Python writes them for what was computed.
        std::optional<int64_t> number = value->as_int();
        if (const std::optional<double> real = value->as_double();
            !number && real && std::floor(*real) == *real && std::fabs(*real) < 0x1p53) {
            number = static_cast<int64_t>(*real);
        }
        if (!number || *number < range.least || *number > range.most) {
            fail(cat(*names.begin(), " is ", shown(*value), ", possible is a whole number from ",
                     range.least, " to ", range.most));
            return range.least;
        }
        return *number;
    }
    int32_t whole32(Names names, WholeRange range, std::optional<int64_t> otherwise = {}) {
        return static_cast<int32_t>(whole(names, range, otherwise));
    }

    double real(Names names, RealRange range, std::optional<double> otherwise = {}) {
        const Json* value = find(names);
        if (!value) return missing(names, otherwise, range.least);
        const std::optional<double> number = value->as_double();
        if (!number || *number < range.least || *number > range.most) {
            fail(cat(*names.begin(), " is ", shown(*value), ", possible is a number from ",
                     range.least, " to ", range.most));
            return range.least;
        }
        return *number;
    }

    std::string word(Names names, std::string otherwise) {
        const Json* value = find(names);
        if (!value) return otherwise;
        const std::string* text = value->as_string();
        if (!text) {
            fail(cat(*names.begin(), " is ", shown(*value), ", possible is a string"));
            return otherwise;
        }
        return *text;
    }

    // For switches of the architecture that this engine knows in one position only.
    void only(Names names, const Json& possible) {
        const Json* value = find(names);
        if (!value || value->dump() == possible.dump()) return;
        const std::optional<double> a = value->as_double(), b = possible.as_double();
        if (a && b && *a == *b) return;
        fail(cat(*names.begin(), " is ", shown(*value), ", this engine runs only ",
                 possible.dump()));
    }

    static std::string shown(const Json& value) {
        if (value.is_array() || value.is_object()) return std::string(value.kind_name());
        if (const std::string* text = value.as_string()) return quote_text(*text, kShownBytes);
        const std::string text = value.dump();
        return text.size() <= kShownBytes ? text : text.substr(0, kShownBytes) + "…";
    }

private:
    template <class T>
    T missing(Names names, std::optional<T> otherwise, T fallback) {
        if (!otherwise) {
            fail(cat(*names.begin(),
                     " is missing; copy the config.json that belongs to the "
                     "checkpoint"));
        }
        return otherwise.value_or(fallback);
    }

    const Json& object_;
    std::optional<Error> problem_;
};

// Read what is in `reader` first, then what is in the nested object.
template <class Read>
void read_nested(Reader& outer, const Json* object, std::string_view name, const Read& read) {
    if (!object) return;
    if (!object->is_object()) {
        outer.fail(cat(name, " is ", object->kind_name(), ", possible is an object"));
        return;
    }
    Reader inner(*object);
    read(inner);
    if (inner.problem()) outer.fail(cat(name, ": ", inner.problem()->message));
}

std::optional<LayerKind> kind_of_ratio(int64_t ratio) {
    switch (ratio) {
        case 0: return LayerKind::kWindow;
        case 4: return LayerKind::kSparse;
        case 128: return LayerKind::kHeavy;
        default: return std::nullopt;
    }
}

std::optional<LayerKind> kind_of_word(std::string_view word) {
    if (word == "sliding_attention") return LayerKind::kWindow;
    if (word == "compressed_sparse_attention") return LayerKind::kSparse;
    if (word == "heavily_compressed_attention") return LayerKind::kHeavy;
    return std::nullopt;
}

// One entry a layer of the trunk, then zeros for draft blocks.
std::vector<LayerKind> read_ratios(Reader& reader, const Json& list, int64_t layers) {
    const auto count = static_cast<int64_t>(list.items().size());
    if (!list.is_array() || count < layers || count > layers + kDraftBlocksMax) {
        reader.fail(cat("compress_ratios is ", list.kind_name(), " of ", count,
                        " entries, wanted one for each of ", layers, " layers, then at most ",
                        kDraftBlocksMax, " zeros for draft blocks"));
        return {};
    }
    std::vector<LayerKind> kinds;
    for (int64_t i = 0; i < count; ++i) {
        const Json& item = list.items()[static_cast<size_t>(i)];
        const std::optional<LayerKind> kind = kind_of_ratio(item.as_int().value_or(-1));
        if (!kind || (i >= layers && *kind != LayerKind::kWindow)) {
            reader.fail(cat("compress_ratios[", i, "] is ", Reader::shown(item), ", possible ",
                            i < layers ? "are 0, 4 and 128" : "is 0, as this is a draft block"));
            return {};
        }
        if (i < layers) kinds.push_back(*kind);
    }
    return kinds;
}

std::vector<LayerKind> read_layer_types(Reader& reader, const Json& list, int64_t layers) {
    if (!list.is_array() || static_cast<int64_t>(list.items().size()) != layers) {
        reader.fail(cat("layer_types is ", list.kind_name(), " of ", list.items().size(),
                        " entries, wanted one for each of ", layers, " layers"));
        return {};
    }
    std::vector<LayerKind> kinds;
    for (size_t i = 0; i < list.items().size(); ++i) {
        const std::string* word = list.items()[i].as_string();
        const std::optional<LayerKind> kind = word ? kind_of_word(*word) : std::nullopt;
        if (!kind) {
            reader.fail(cat("layer_types[", i, "] is ", Reader::shown(list.items()[i]),
                            ", possible are \"sliding_attention\", "
                            "\"compressed_sparse_attention\" and "
                            "\"heavily_compressed_attention\""));
            return {};
        }
        kinds.push_back(*kind);
    }
    return kinds;
}

void read_layers(Reader& reader, ModelConfig& config) {
    const int64_t layers = reader.whole({"num_hidden_layers", "n_layers"}, {1, kLayersMax});
    const Json* ratios = reader.find({"compress_ratios"});
    const Json* types = reader.find({"layer_types"});
    if (!ratios && !types) {
        reader.fail(
            "compress_ratios is missing, and layer_types too; copy the config.json that "
            "belongs to the checkpoint");
        return;
    }
    if (ratios) config.layers = read_ratios(reader, *ratios, layers);
    if (types) {
        std::vector<LayerKind> kinds = read_layer_types(reader, *types, layers);
        if (ratios && kinds != config.layers) {
            reader.fail(
                "compress_ratios and layer_types describe different layers; they mean the "
                "same and must agree");
        }
        config.layers = std::move(kinds);
    }
    read_nested(reader, reader.find({"compress_rates"}), "compress_rates", [](Reader& rates) {
        rates.only({"compressed_sparse_attention"}, 4);
        rates.only({"heavily_compressed_attention"}, 128);
    });
}

// Transformers lists the kind of every layer's experts; hash layers must come first.
void read_hash_layers(Reader& reader, ModelConfig& config) {
    const int64_t layers = config.layer_count();
    const Json* list = reader.find({"mlp_layer_types"});
    const bool counted = reader.find({"num_hash_layers", "n_hash_layers"}) != nullptr;
    if (!list || counted) {
        config.hash_layers =
            reader.whole32({"num_hash_layers", "n_hash_layers"}, {0, std::max<int64_t>(layers, 0)});
    }
    if (!list) return;
    if (static_cast<int64_t>(list->items().size()) != layers) {
        reader.fail(cat("mlp_layer_types is ", list->kind_name(), " of ", list->items().size(),
                        " entries, wanted one for each of ", layers, " layers"));
        return;
    }
    int32_t hash = 0;
    for (size_t i = 0; i < list->items().size(); ++i) {
        const std::string* word = list->items()[i].as_string();
        const bool is_hash = word && *word == "hash_moe";
        if (!word || (!is_hash && *word != "moe") || (is_hash && static_cast<size_t>(hash) != i)) {
            reader.fail(cat("mlp_layer_types[", i, "] is ", Reader::shown(list->items()[i]),
                            ", possible are \"hash_moe\" in the first layers, then \"moe\""));
            return;
        }
        if (is_hash) ++hash;
    }
    if (counted && hash != config.hash_layers) {
        reader.fail(cat("num_hash_layers is ", config.hash_layers, ", but mlp_layer_types has ",
                        hash, " hash layers; they must agree"));
    }
    config.hash_layers = hash;
}

void read_attention(Reader& reader, ModelConfig& config) {
    config.heads = reader.whole32({"num_attention_heads", "n_heads"}, {1, 4096});
    reader.only({"head_dim"}, 512);
    reader.only({"num_key_value_heads"}, 1);
    reader.only({"qk_rope_head_dim", "rope_head_dim"}, 64);
    reader.only({"partial_rotary_factor"}, 0.125);
    reader.only({"attention_bias"}, false);
    config.q_rank = reader.whole({"q_lora_rank"}, {128, 1 << 16});
    config.o_rank = reader.whole({"o_lora_rank"}, {1, 1 << 16});
    config.o_groups = reader.whole32({"o_groups"}, {1, 4096});
    reader.only({"sliding_window", "window_size"}, 128);
    const bool sparse = std::find(config.layers.begin(), config.layers.end(), LayerKind::kSparse) !=
                        config.layers.end();
    const std::optional<int64_t> unused = sparse ? std::nullopt : std::optional<int64_t>(1);
    config.index_heads = reader.whole32({"index_n_heads"}, {1, 4096}, unused);
    config.index_topk = reader.whole32({"index_topk"}, {1, 1 << 20}, unused);
    reader.only({"index_head_dim"}, 128);
}

void read_experts(Reader& reader, ModelConfig& config) {
    config.experts = reader.whole32({"n_routed_experts", "num_local_experts"}, {1, 4096});
    config.experts_per_token =
        reader.whole32({"num_experts_per_tok", "n_activated_experts"}, {1, 64});
    reader.only({"n_shared_experts"}, 1);
    config.expert_inner = reader.whole({"moe_intermediate_size", "moe_inter_dim"}, {128, 1 << 17});
    config.route_scale =
        static_cast<float>(reader.real({"routed_scaling_factor", "route_scale"}, {1e-6, 1e6}));
    config.swiglu_limit = static_cast<float>(reader.real({"swiglu_limit"}, {1e-3, 1e6}));
    reader.only({"scoring_func", "score_func"}, "sqrtsoftplus");
    reader.only({"topk_method"}, "noaux_tc");
    reader.only({"norm_topk_prob"}, true);
    reader.only({"hidden_act"}, "silu");
    config.expert_dtype = reader.word({"expert_dtype"}, "");
}

constexpr RealRange kTheta = {1.0 + 1e-6, 1e12};

void read_yarn(Reader& reader, RopeConfig& rope) {
    reader.only({"type", "rope_type"}, "yarn");
    rope.yarn_factor = reader.real({"factor"}, {1, 1e6});
    rope.beta_fast = reader.real({"beta_fast"}, {1e-3, 1e6}, 32.0);
    rope.beta_slow = reader.real({"beta_slow"}, {1e-3, 1e6}, 1.0);
    rope.original_positions =
        reader.whole({"original_max_position_embeddings"}, {1, int64_t{1} << 31});
}

void read_rope(Reader& reader, ModelConfig& config) {
    RopeConfig& rope = config.rope;
    const Json* scaling = reader.find({"rope_scaling"});
    const Json* parameters = reader.find({"rope_parameters"});
    if (parameters) {
        read_nested(reader, parameters, "rope_parameters", [&](Reader& kinds) {
            read_nested(kinds, kinds.find({"main"}), "main", [&](Reader& main) {
                main.only({"rope_type", "type"}, "default");
                main.only({"partial_rotary_factor"}, 0.125);
                rope.theta = main.real({"rope_theta"}, kTheta);
            });
            const Json* compress = kinds.find({"compress"});
            if (!kinds.find({"main"}) || !compress) {
                kinds.fail("main or compress is missing; this engine needs both");
            }
            read_nested(kinds, compress, "compress", [&](Reader& yarn) {
                yarn.only({"attention_factor"}, 1);
                yarn.only({"partial_rotary_factor"}, 0.125);
                rope.compress_theta = yarn.real({"rope_theta"}, kTheta);
                read_yarn(yarn, rope);
            });
        });
    } else {
        rope.theta = reader.real({"rope_theta"}, kTheta);
        rope.compress_theta = reader.real({"compress_rope_theta"}, kTheta);
        if (scaling) {
            read_nested(reader, scaling, "rope_scaling",
                        [&](Reader& yarn) { read_yarn(yarn, rope); });
        } else {
            rope.yarn_factor = reader.real({"rope_factor"}, {1, 1e6});
            rope.beta_fast = reader.real({"beta_fast"}, {1e-3, 1e6}, 32.0);
            rope.beta_slow = reader.real({"beta_slow"}, {1e-3, 1e6}, 1.0);
            rope.original_positions = reader.whole({"original_seq_len"}, {1, int64_t{1} << 31});
        }
    }
    if (rope.beta_fast <= rope.beta_slow) {
        reader.fail(cat("beta_fast is ", rope.beta_fast, " and beta_slow is ", rope.beta_slow,
                        "; beta_fast must be the larger"));
    }
}

void read_streams(Reader& reader, ModelConfig& config) {
    reader.only({"hc_mult"}, 4);
    config.sinkhorn_rounds = reader.whole32({"hc_sinkhorn_iters"}, {1, 1000}, 20);
    config.hc_eps = static_cast<float>(reader.real({"hc_eps"}, {1e-30, 0.1}, 1e-6));
    config.norm_eps =
        static_cast<float>(reader.real({"rms_norm_eps", "norm_eps"}, {1e-30, 0.1}, 1e-6));
}

void read_dspark(Reader& reader, ModelConfig& config) {
    if (!reader.find({"dspark_block_size"})) return;
    DsparkConfig& dspark = config.dspark;
    dspark.block_size = reader.whole32({"dspark_block_size"}, {1, 64});
    dspark.noise_token = reader.whole32({"dspark_noise_token_id"}, {0, config.vocabulary - 1});
    dspark.markov_rank = reader.whole32({"dspark_markov_rank"}, {1, 1 << 16});
    const Json* list = reader.find({"dspark_target_layer_ids"});
    if (!list || list->items().empty() || list->items().size() > config.layers.size()) {
        reader.fail(cat("dspark_target_layer_ids is ", list ? list->kind_name() : "missing",
                        ", wanted an array of 1 to ", config.layers.size(), " layers"));
        return;
    }
    std::set<int64_t> seen;
    for (const Json& item : list->items()) {
        const int64_t layer = item.as_int().value_or(-1);
        if (layer < 0 || layer >= config.layer_count() || !seen.insert(layer).second) {
            reader.fail(cat("dspark_target_layer_ids has ", Reader::shown(item),
                            ", possible are different layers from 0 to ",
                            config.layer_count() - 1));
            return;
        }
        dspark.target_layers.push_back(static_cast<int32_t>(layer));
    }
}

void read_quantisation(Reader& reader) {
    read_nested(reader, reader.find({"quantization_config"}), "quantization_config",
                [](Reader& quant) {
                    quant.only({"quant_method"}, "fp8");
                    quant.only({"fmt"}, "e4m3");
                    quant.only({"activation_scheme"}, "dynamic");
                    quant.only({"scale_fmt"}, "ue8m0");
                    quant.only({"weight_block_size"}, Json(Json::Array{128, 128}));
                });
    reader.only({"scale_fmt"}, "ue8m0");
}

void read_vocabulary(Reader& reader, ModelConfig& config) {
    config.vocabulary = reader.whole({"vocab_size"}, {2, 1 << 24});
    config.bos = reader.whole({"bos_token_id"}, {0, config.vocabulary - 1}, 0);
    config.eos = reader.whole({"eos_token_id"}, {0, config.vocabulary - 1}, 1);
    reader.only({"tie_word_embeddings"}, false);
}

// What holds between keys.
void check_relations(Reader& reader, const ModelConfig& config) {
    const auto divisible = [&reader](std::string_view key, int64_t value) {
        if (value % 128 != 0) {
            reader.fail(cat(key, " is ", value,
                            ", possible are multiples of 128, the block of "
                            "FP8 scales"));
        }
    };
    divisible("hidden_size", config.hidden);
    divisible("q_lora_rank", config.q_rank);
    divisible("moe_intermediate_size", config.expert_inner);
    divisible("o_groups times o_lora_rank", config.o_groups * config.o_rank);
    if (config.heads * int64_t{512} % config.o_groups != 0) {
        reader.fail(cat("o_groups is ", config.o_groups, ", but ", config.heads,
                        " heads of 512 do not fall into that many equal groups"));
    }
    if (config.experts_per_token > config.experts) {
        reader.fail(cat("num_experts_per_tok is ", config.experts_per_token, ", but there are ",
                        config.experts, " experts (n_routed_experts)"));
    }
    if (config.layer_count() * int64_t{config.experts} > kAllExpertsMax) {
        reader.fail(cat(config.layer_count(), " layers of ", config.experts,
                        " experts are more than the possible ", kAllExpertsMax,
                        " experts in all (num_hidden_layers, n_routed_experts)"));
    }
    if (config.hash_layers > config.layer_count()) {
        reader.fail(cat("num_hash_layers is ", config.hash_layers, ", but there are ",
                        config.layer_count(), " layers"));
    }
}

}  // namespace

Result<ModelConfig> parse_config(const Json& json) {
    if (!json.is_object()) return invalid(cat("is ", json.kind_name(), ", wanted an object"));
    Reader reader(json);
    ModelConfig config;
    reader.only({"model_type"}, "deepseek_v4");
    read_vocabulary(reader, config);
    config.hidden = reader.whole({"hidden_size", "dim"}, {128, 1 << 17});
    read_layers(reader, config);
    read_hash_layers(reader, config);
    read_attention(reader, config);
    read_experts(reader, config);
    read_rope(reader, config);
    read_streams(reader, config);
    read_dspark(reader, config);
    read_quantisation(reader);
    config.context_max = reader.whole({"max_position_embeddings"}, {1, int64_t{1} << 31}, 1048576);
    // 0731 has 1 as num_nextn_predict_layers and 3 as n_mtp_layers: these two need not agree.
    config.mtp_blocks = reader.find({"n_mtp_layers"})
                            ? reader.whole32({"n_mtp_layers"}, {0, kDraftBlocksMax})
                            : reader.whole32({"num_nextn_predict_layers"}, {0, kDraftBlocksMax}, 1);
    config.synthetic_seed = static_cast<uint64_t>(
        reader.whole({"synthetic_seed"}, {0, std::numeric_limits<int64_t>::max()}, 0));
    config.synthetic_ffn_gain = reader.real({"synthetic_ffn_gain"}, {1e-6, 1e6}, 1.0);
    check_relations(reader, config);
    if (reader.problem()) return *reader.problem();
    return config;
}

Result<ModelConfig> read_config(const Path& directory) {
    const Path path = directory / "config.json";
    const std::string text = TRY(read_text_file(path, kConfigBytesMax));
    const Result<Json> json = Json::parse_unique(text);
    if (!json) return json.error().in(path.string());
    Result<ModelConfig> config = parse_config(*json);
    if (!config) return config.error().in(path.string());
    return config;
}

}  // namespace millrace
