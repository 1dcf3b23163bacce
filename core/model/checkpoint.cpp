#include "core/model/checkpoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/model/bind_weights.h"
#include "core/model/dense_tensors.h"
#include "core/model/expert_locator.h"
#include "core/model/inventory.h"
#include "core/model/shard_table.h"

namespace millrace {
namespace {

// The index decides which draft blocks there are; the config must describe them.
Status adopt_drafts(ModelConfig& config, DraftBlocks drafts) {
    if (drafts.kind == DraftKind::kDspark && config.dspark.block_size == 0) {
        return Error{ErrorCode::kInvalid,
                     cat("the checkpoint has a DSpark drafter of ", drafts.count,
                         " stages (mtp.*), but config.json has no dspark_block_size; copy the "
                         "config.json that belongs to the checkpoint")};
    }
    if (drafts.kind != DraftKind::kDspark) config.dspark = {};
    config.mtp_blocks = drafts.count;
    return {};
}

// The number behind `prefix` in a name such as "layers.12.attn…", −1 if there is none.
int64_t number_after(std::string_view name, std::string_view prefix) {
    const size_t at = name.find(prefix);
    if (at == std::string_view::npos) return -1;
    const std::string_view digits = name.substr(at + prefix.size());
    int64_t number = 0;
    const auto [stop, problem] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const bool whole = problem == std::errc() && stop != digits.data() + digits.size();
    return whole && *stop == '.' ? number : -1;
}

// A tensor nobody expects that would have a place if the config said something else: running on
// would leave out a part of the model.
Status refuse_contradiction(const TensorEntry& entry, const ModelConfig& config) {
    const std::string_view name = entry.name;
    std::string found;
    const int64_t layer = name.starts_with("layers.") ? number_after(name, "layers.") : -1;
    const int64_t expert = number_after(name, ".ffn.experts.");
    if (layer >= config.layer_count()) {
        found = cat("config.json has ", config.layer_count(), " layers");
    } else if (expert >= config.experts) {
        found = cat("config.json has ", config.experts, " experts a layer");
    } else if (layer >= 0 && (name.find(".attn.compressor.") != std::string_view::npos ||
                              name.find(".attn.indexer.") != std::string_view::npos)) {
        found = cat("config.json gives layer ", layer, " no such part (compress_ratios)");
    } else if (layer >= 0 && (name.ends_with(".gate.tid2eid") || name.ends_with(".gate.bias"))) {
        found = cat("config.json has ", config.hash_layers, " hash layers (num_hash_layers)");
    }
    if (found.empty()) return {};
    return Error{ErrorCode::kCorrupt,
                 cat("there is a tensor ", quote_text(entry.stored), ", but ", found,
                     "; copy the config.json that belongs to the checkpoint")};
}

// All experts are stored alike; the first decides.
Status check_expert_format(const ShardTable& table, const FoundTensor& first,
                           const FoundTensor& expert) {
    if (expert.elements->dtype == first.elements->dtype) return {};
    return Error{
        ErrorCode::kCorrupt,
        cat("tensor ", expert.elements->name, " in ", table.file_name(*expert.elements), " is ",
            dtype_name(expert.elements->dtype), ", but ", first.elements->name, " is ",
            dtype_name(first.elements->dtype), "; all experts must be stored alike")};
}

struct FoundParts {
    FoundTensors dense;
    std::vector<const TensorEntry*> dense_entries;
    ExpertSource experts;
    std::unordered_set<const TensorEntry*> used;
};

Result<FoundParts> find_parts(const ModelConfig& config, int32_t draft_count,
                              const std::vector<ExpectedTensor>& inventory,
                              const ShardTable& table) {
    FoundParts parts{
        .dense = {},
        .dense_entries = {},
        .experts = ExpertSource(table.files(), config.layer_count() + draft_count, config.experts),
        .used = {}};
    std::optional<FoundTensor> first_expert;
    std::array<FoundTensor, 3> matrices;  // w1, w2, w3 of one expert, in the inventory's order
    size_t matrix_count = 0;
    for (const ExpectedTensor& expected : inventory) {
        const FoundTensor found = TRY(find_tensor(table, expected));
        parts.used.insert(found.elements);
        if (found.scales) parts.used.insert(found.scales);
        if (expected.kind != TensorClass::kRoutedExpert) {
            parts.dense.emplace(expected.name, found);
            parts.dense_entries.push_back(found.elements);
            if (found.scales) parts.dense_entries.push_back(found.scales);
            continue;
        }
        if (!first_expert) first_expert = found;
        TRY(check_expert_format(table, *first_expert, found));
        matrices[matrix_count++] = found;
        if (matrix_count == matrices.size()) {
            parts.experts.record({expected.block, expected.expert}) = make_expert_record(matrices);
            matrix_count = 0;
        }
    }
    ENSURE(matrix_count == 0);
    return parts;
}

// What nobody expects, as the files spell it, sorted; a tensor of many experts once.
Result<std::vector<std::string>> list_unknown(const ModelConfig& config, const ShardTable& table,
                                              const std::unordered_set<const TensorEntry*>& used) {
    std::vector<std::string> unknown;
    for (const TensorEntry& entry : table.entries()) {
        if (used.contains(&entry)) continue;
        TRY(refuse_contradiction(entry, config));
        unknown.push_back(entry.stored);
    }
    for (const TensorEntry& entry : table.unindexed()) unknown.push_back(entry.stored);
    std::sort(unknown.begin(), unknown.end());
    unknown.erase(std::unique(unknown.begin(), unknown.end()), unknown.end());
    return unknown;
}

}  // namespace

struct Checkpoint::Parts {
    ModelConfig config;
    DenseTensors bytes;
    ModelWeights weights;  // points into `bytes`
    ExpertSource experts;
    std::vector<std::string> unknown;
    uint64_t dense_bytes = 0;
};

Checkpoint::Checkpoint(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

Result<Checkpoint> Checkpoint::open(const Path& directory) {
    ModelConfig config = TRY(read_config(directory));
    const ShardTable table = TRY(ShardTable::read(directory, Completeness::kWhole));
    const DraftBlocks drafts = TRY(draft_blocks(table, Completeness::kWhole));
    TRY(adopt_drafts(config, drafts));
    const std::vector<ExpectedTensor> inventory = make_inventory(config, drafts);
    FoundParts found = TRY(find_parts(config, drafts.count, inventory, table));
    std::vector<std::string> unknown = TRY(list_unknown(config, table, found.used));
    DenseTensors bytes = TRY(DenseTensors::map(table, found.dense_entries));
    uint64_t dense_bytes = 0;
    for (const TensorEntry* entry : found.dense_entries) dense_bytes += entry->bytes;
    ModelWeights weights = TRY(bind_weights(config, drafts, found.dense, bytes));
    return Checkpoint(
        std::make_unique<Parts>(Parts{std::move(config), std::move(bytes), std::move(weights),
                                      std::move(found.experts), std::move(unknown), dense_bytes}));
}

const ModelConfig& Checkpoint::config() const { return parts_->config; }
const ModelWeights& Checkpoint::weights() const { return parts_->weights; }
ModelWeights& Checkpoint::weights() { return parts_->weights; }
void Checkpoint::give_back(std::span<const std::byte> mapped) const {
    DenseTensors::give_back(mapped);
}
const ExpertSource& Checkpoint::experts() const { return parts_->experts; }
uint64_t Checkpoint::dense_bytes() const { return parts_->dense_bytes; }
const std::vector<std::string>& Checkpoint::unknown() const { return parts_->unknown; }

}  // namespace millrace
