#include "core/model/inventory.h"

#include <array>
#include <charconv>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr int64_t kFp8Block = 128;
constexpr int64_t kFp4Block = 32;
constexpr int64_t kStreams = 4;     // hyper-connection streams; config.cpp refuses others
constexpr int64_t kMixes = 24;      // 4 pre + 4 post + 16 comb
constexpr int64_t kHeadDim = 512;   // config.cpp refuses others
constexpr int64_t kIndexDim = 128;  // config.cpp refuses others
constexpr int32_t kDraftBlocksMax = 64;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Collects the tensors of one block under its prefix.
class Block {
public:
    Block(std::vector<ExpectedTensor>& out, std::string prefix, LayerId block)
        : out_(out), prefix_(std::move(prefix)), block_(block) {}

    void add(std::string_view name, Shape shape, Storage storage, TensorClass kind,
             ExpertId expert = {}) {
        out_.push_back({cat(prefix_, name), shape, storage, kind, block_, expert});
    }

private:
    std::vector<ExpectedTensor>& out_;
    std::string prefix_;
    LayerId block_;
};

void add_hyper_connection(Block& block, std::string_view site, int64_t mixes, int64_t scales,
                          int64_t hidden) {
    constexpr TensorClass kKind = TensorClass::kHyperConnections;
    block.add(cat(site, "_fn"), {mixes, kStreams * hidden}, Storage::kF32, kKind);
    block.add(cat(site, "_base"), {mixes}, Storage::kF32, kKind);
    block.add(cat(site, "_scale"), {scales}, Storage::kF32, kKind);
}

void add_head(Block& block, const ModelConfig& c) {
    add_hyper_connection(block, "hc_head", kStreams, 1, c.hidden);
    block.add("norm.weight", {c.hidden}, Storage::kBf16, TensorClass::kNorm);
}

void add_compressor(Block& block, std::string_view prefix, int64_t ratio, int64_t width,
                    int64_t hidden, TensorClass kind) {
    const int64_t channels = ratio == 4 ? 2 * width : width;  // ratio 4 overlaps
    block.add(cat(prefix, "ape"), {ratio, channels}, Storage::kF32, kind);
    block.add(cat(prefix, "wkv.weight"), {channels, hidden}, Storage::kPlainMatrix, kind);
    block.add(cat(prefix, "wgate.weight"), {channels, hidden}, Storage::kPlainMatrix, kind);
    block.add(cat(prefix, "norm.weight"), {width}, Storage::kBf16, kind);
}

void add_attention(Block& block, const ModelConfig& c, LayerKind layer) {
    constexpr TensorClass kKind = TensorClass::kAttention;
    const int64_t query = c.heads * kHeadDim;
    const int64_t grouped = c.o_groups * c.o_rank;
    block.add("attn.attn_sink", {c.heads}, Storage::kF32, kKind);
    block.add("attn.wq_a.weight", {c.q_rank, c.hidden}, Storage::kDenseMatrix, kKind);
    block.add("attn.q_norm.weight", {c.q_rank}, Storage::kBf16, kKind);
    block.add("attn.wq_b.weight", {query, c.q_rank}, Storage::kDenseMatrix, kKind);
    block.add("attn.wkv.weight", {kHeadDim, c.hidden}, Storage::kDenseMatrix, kKind);
    block.add("attn.kv_norm.weight", {kHeadDim}, Storage::kBf16, kKind);
    block.add("attn.wo_a.weight", {grouped, query / c.o_groups}, Storage::kDenseMatrix, kKind);
    block.add("attn.wo_b.weight", {c.hidden, grouped}, Storage::kDenseMatrix, kKind);
    if (layer == LayerKind::kWindow) return;
    add_compressor(block, "attn.compressor.", layer == LayerKind::kSparse ? 4 : 128, kHeadDim,
                   c.hidden, TensorClass::kCompressor);
    if (layer != LayerKind::kSparse) return;
    block.add("attn.indexer.wq_b.weight", {c.index_heads * kIndexDim, c.q_rank},
              Storage::kDenseMatrix, TensorClass::kIndexer);
    block.add("attn.indexer.weights_proj.weight", {c.index_heads, c.hidden}, Storage::kBf16,
              TensorClass::kIndexer);
    add_compressor(block, "attn.indexer.compressor.", 4, kIndexDim, c.hidden,
                   TensorClass::kIndexer);
}

void add_expert(Block& block, const ModelConfig& c, std::string_view prefix, Storage storage,
                TensorClass kind, ExpertId expert) {
    block.add(cat(prefix, "w1.weight"), {c.expert_inner, c.hidden}, storage, kind, expert);
    block.add(cat(prefix, "w2.weight"), {c.hidden, c.expert_inner}, storage, kind, expert);
    block.add(cat(prefix, "w3.weight"), {c.expert_inner, c.hidden}, storage, kind, expert);
}

enum class Routing { kHash, kScores };

void add_block(Block& block, const ModelConfig& c, LayerKind layer, Routing routing) {
    block.add("attn_norm.weight", {c.hidden}, Storage::kBf16, TensorClass::kNorm);
    block.add("ffn_norm.weight", {c.hidden}, Storage::kBf16, TensorClass::kNorm);
    add_hyper_connection(block, "hc_attn", kMixes, 3, c.hidden);
    add_hyper_connection(block, "hc_ffn", kMixes, 3, c.hidden);
    add_attention(block, c, layer);
    block.add("ffn.gate.weight", {c.experts, c.hidden}, Storage::kPlainMatrix,
              TensorClass::kRouter);
    if (routing == Routing::kHash) {
        block.add("ffn.gate.tid2eid", {c.vocabulary, c.experts_per_token}, Storage::kI64,
                  TensorClass::kHashTable);
    } else {
        block.add("ffn.gate.bias", {c.experts}, Storage::kF32, TensorClass::kRouter);
    }
    add_expert(block, c, "ffn.shared_experts.", Storage::kDenseMatrix, TensorClass::kSharedExpert,
               {});
    for (int32_t e = 0; e < c.experts; ++e) {
        add_expert(block, c, cat("ffn.experts.", e, "."), Storage::kExpertMatrix,
                   TensorClass::kRoutedExpert, {e});
    }
}

void add_mtp(Block& block, const ModelConfig& c) {
    constexpr TensorClass kKind = TensorClass::kDraft;
    add_block(block, c, LayerKind::kWindow, Routing::kScores);
    block.add("e_proj.weight", {c.hidden, c.hidden}, Storage::kDenseMatrix, kKind);
    block.add("h_proj.weight", {c.hidden, c.hidden}, Storage::kDenseMatrix, kKind);
    block.add("enorm.weight", {c.hidden}, Storage::kBf16, kKind);
    block.add("hnorm.weight", {c.hidden}, Storage::kBf16, kKind);
    add_head(block, c);
}

void add_dspark_stage(Block& block, const ModelConfig& c, int32_t stage, int32_t stages) {
    constexpr TensorClass kKind = TensorClass::kDraft;
    add_block(block, c, LayerKind::kWindow, Routing::kScores);
    if (stage == 0) {
        const auto targets = static_cast<int64_t>(c.dspark.target_layers.size());
        block.add("main_proj.weight", {c.hidden, targets * c.hidden}, Storage::kDenseMatrix, kKind);
        block.add("main_norm.weight", {c.hidden}, Storage::kBf16, kKind);
    }
    if (stage + 1 == stages) {
        const int64_t rank = c.dspark.markov_rank;
        add_head(block, c);
        block.add("markov_head.markov_w1.weight", {c.vocabulary, rank}, Storage::kBf16, kKind);
        block.add("markov_head.markov_w2.weight", {c.vocabulary, rank}, Storage::kBf16, kKind);
        block.add("confidence_head.proj.weight", {1, c.hidden + rank}, Storage::kBf16, kKind);
    }
}

// "mtp.12.attn…" → 12.
std::optional<int32_t> draft_block_of(std::string_view name) {
    if (!name.starts_with("mtp.")) return std::nullopt;
    int32_t block = 0;
    const auto [stop, problem] = std::from_chars(name.data() + 4, name.data() + name.size(), block);
    const bool number = problem == std::errc() && stop != name.data() + name.size();
    if (!number || *stop != '.' || block < 0) return std::nullopt;
    return block;
}

// ".weight" → ".scale".
std::string scale_name(std::string_view weight) {
    ENSURE(weight.ends_with(".weight"));
    return cat(weight.substr(0, weight.size() - 7), ".scale");
}

// The two tensors of a matrix of that format.
StoredForms matrix_form(const ExpectedTensor& tensor, WeightFormat format, DType scales) {
    const int64_t rows = tensor.shape.dims[0];
    const int64_t cols = tensor.shape.dims[1];
    switch (format) {
        case WeightFormat::kBf16: return {{tensor.name, DType::kBf16, tensor.shape}, {}};
        case WeightFormat::kF32: return {{tensor.name, DType::kF32, tensor.shape}, {}};
        case WeightFormat::kFp8:
            return {{tensor.name, DType::kF8E4m3, tensor.shape},
                    StoredForm{scale_name(tensor.name),
                               scales,
                               {ceil_div(rows, kFp8Block), ceil_div(cols, kFp8Block)}}};
        case WeightFormat::kFp4:
            return {{tensor.name, DType::kI8, {rows, cols / 2}},
                    StoredForm{scale_name(tensor.name), scales, {rows, cols / kFp4Block}}};
        case WeightFormat::kQ3s:
        case WeightFormat::kQ2s:
        case WeightFormat::kQ2v: break;  // in stores only
    }
    return {};
}

bool may_have(Storage storage, DType dtype) {
    switch (storage) {
        case Storage::kBf16: return dtype == DType::kBf16;
        case Storage::kF32: return dtype == DType::kF32;
        case Storage::kI64: return dtype == DType::kI64;
        case Storage::kPlainMatrix: return dtype == DType::kBf16 || dtype == DType::kF32;
        case Storage::kDenseMatrix:
            return dtype == DType::kF8E4m3 || dtype == DType::kBf16 || dtype == DType::kF32;
        case Storage::kExpertMatrix: return weight_format(dtype).has_value();
    }
    return false;
}

std::string_view possible_dtypes(Storage storage) {
    switch (storage) {
        case Storage::kBf16: return "BF16";
        case Storage::kF32: return "F32";
        case Storage::kI64: return "I64";
        case Storage::kPlainMatrix: return "BF16 or F32";
        case Storage::kDenseMatrix: return "F8_E4M3, BF16 or F32";
        case Storage::kExpertMatrix: return "I8 (packed FP4), F8_E4M3, BF16 or F32";
    }
    return "?";
}

bool is_matrix(Storage storage) {
    return storage == Storage::kPlainMatrix || storage == Storage::kDenseMatrix ||
           storage == Storage::kExpertMatrix;
}

Result<const TensorEntry*> find_entry(const ShardTable& table, const std::string& name) {
    if (const TensorEntry* entry = table.find(name)) return entry;
    for (const TensorEntry& stray : table.unindexed()) {
        if (stray.name != name) continue;
        return Error{ErrorCode::kNotFound,
                     cat("tensor ", name, " is in ", table.file_name(stray),
                         " but not in model.safetensors.index.json; download the index again")};
    }
    return Error{ErrorCode::kNotFound,
                 cat("tensor ", name, " is missing from ", table.directory().string(), " (",
                     table.entries().size(), " tensors in ", table.files().size(),
                     " files); download the checkpoint again, or its own config.json if that "
                     "describes another one")};
}

Error misshapen(const ShardTable& table, const TensorEntry& entry, std::string_view wanted) {
    return {ErrorCode::kCorrupt,
            cat("tensor ", entry.name, " in ", table.file_name(entry), " is ",
                dtype_name(entry.dtype), " ", entry.shape.text(), ", wanted ", wanted,
                " by config.json; the two belong to different checkpoints")};
}

}  // namespace

std::string_view class_name(TensorClass kind) {
    switch (kind) {
        case TensorClass::kEmbedding: return "embedding";
        case TensorClass::kHead: return "head";
        case TensorClass::kAttention: return "attention";
        case TensorClass::kCompressor: return "compressors";
        case TensorClass::kIndexer: return "indexer";
        case TensorClass::kRouter: return "router";
        case TensorClass::kHashTable: return "hash tables";
        case TensorClass::kHyperConnections: return "hyper-connections";
        case TensorClass::kSharedExpert: return "shared expert";
        case TensorClass::kRoutedExpert: return "routed experts";
        case TensorClass::kNorm: return "norms";
        case TensorClass::kDraft: return "draft heads";
    }
    return "?";
}

std::optional<WeightFormat> weight_format(DType dtype) {
    switch (dtype) {
        case DType::kBf16: return WeightFormat::kBf16;
        case DType::kF32: return WeightFormat::kF32;
        case DType::kF8E4m3: return WeightFormat::kFp8;
        case DType::kI8: return WeightFormat::kFp4;
        default: return std::nullopt;
    }
}

Result<DraftBlocks> draft_blocks(const ShardTable& table, Completeness completeness) {
    std::set<int32_t> blocks;
    bool dspark = false;
    const auto look_at = [&](std::string_view name) {
        const std::optional<int32_t> block = draft_block_of(name);
        if (!block || *block >= kDraftBlocksMax) return;
        blocks.insert(*block);
        dspark = dspark || name.find(".main_proj.") != std::string_view::npos ||
                 name.find(".markov_head.") != std::string_view::npos;
    };
    for (const TensorEntry& entry : table.entries()) look_at(entry.name);
    for (const std::string& name : table.elsewhere()) look_at(name);
    if (blocks.empty()) return DraftBlocks{};
    const int32_t count = *blocks.rbegin() + 1;
    if (completeness == Completeness::kWhole && count != static_cast<int32_t>(blocks.size())) {
        return Error{ErrorCode::kCorrupt,
                     cat("there is a draft block mtp.", count - 1, ", but only ", blocks.size(),
                         " of the ", count, " up to it; download the missing shards")};
    }
    return DraftBlocks{dspark ? DraftKind::kDspark : DraftKind::kMtp, count};
}

std::vector<ExpectedTensor> make_inventory(const ModelConfig& c, DraftBlocks drafts) {
    std::vector<ExpectedTensor> out;
    const size_t blocks = c.layers.size() + static_cast<size_t>(drafts.count);
    out.reserve(blocks * (static_cast<size_t>(c.experts) * 3 + 40) + 8);
    Block global(out, "", {});
    global.add("embed.weight", {c.vocabulary, c.hidden}, Storage::kBf16, TensorClass::kEmbedding);
    for (int32_t i = 0; i < c.layer_count(); ++i) {
        Block block(out, cat("layers.", i, "."), {i});
        add_block(block, c, c.layers[static_cast<size_t>(i)],
                  i < c.hash_layers ? Routing::kHash : Routing::kScores);
    }
    add_head(global, c);
    global.add("head.weight", {c.vocabulary, c.hidden}, Storage::kBf16, TensorClass::kHead);
    for (int32_t i = 0; i < drafts.count; ++i) {
        Block block(out, cat("mtp.", i, "."), {c.layer_count() + i});
        if (drafts.kind == DraftKind::kMtp) add_mtp(block, c);
        if (drafts.kind == DraftKind::kDspark) add_dspark_stage(block, c, i, drafts.count);
    }
    return out;
}

StoredForms released_form(const ExpectedTensor& tensor, ReleaseStorage storage) {
    switch (tensor.storage) {
        case Storage::kBf16:
        case Storage::kPlainMatrix: return {{tensor.name, DType::kBf16, tensor.shape}, {}};
        case Storage::kF32: return {{tensor.name, DType::kF32, tensor.shape}, {}};
        case Storage::kI64: return {{tensor.name, DType::kI64, tensor.shape}, {}};
        case Storage::kDenseMatrix:
            return matrix_form(tensor, WeightFormat::kFp8, storage.dense_scales);
        case Storage::kExpertMatrix:
            return matrix_form(tensor, storage.experts, storage.expert_scales);
    }
    return {};
}

Result<FoundTensor> find_tensor(const ShardTable& table, const ExpectedTensor& tensor) {
    FoundTensor found;
    found.elements = TRY(find_entry(table, tensor.name));
    const DType dtype = found.elements->dtype;
    const bool possible = may_have(tensor.storage, dtype);
    const StoredForms form = possible && is_matrix(tensor.storage)
                                 ? matrix_form(tensor, *weight_format(dtype), DType::kF8E8m0)
                                 : StoredForms{{tensor.name, dtype, tensor.shape}, {}};
    if (!possible || found.elements->shape != form.elements.shape) {
        return misshapen(table, *found.elements,
                         cat(possible_dtypes(tensor.storage), " ", form.elements.shape.text()));
    }
    if (!form.scales) return found;
    found.scales = TRY(find_entry(table, form.scales->name));
    const DType scales = found.scales->dtype;
    if ((scales != DType::kF8E8m0 && scales != DType::kU8 && scales != DType::kF32) ||
        found.scales->shape != form.scales->shape) {
        return misshapen(table, *found.scales,
                         cat("F8_E8M0, U8 or F32 ", form.scales->shape.text()));
    }
    return found;
}

}  // namespace millrace
