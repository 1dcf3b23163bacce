#include "core/model/checkpoint_parts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/model/expert_locator.h"
#include "core/model/store.h"

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

// What is in use; the rest is nobody's.
using UsedEntries = std::unordered_set<const TensorEntry*>;

void use(const FoundTensor& found, UsedEntries& used) {
    used.insert(found.elements);
    if (found.scales) used.insert(found.scales);
}

// Fills parts.dense and dense_entries.
Status find_dense(CheckpointParts& parts, UsedEntries& used) {
    for (const ExpectedTensor& expected : parts.inventory) {
        if (expected.kind == TensorClass::kRoutedExpert) continue;
        const FoundTensor found = TRY(find_tensor(parts.table, expected));
        use(found, used);
        parts.dense.emplace(expected.name, found);
        parts.dense_entries.push_back(found.elements);
        if (found.scales) parts.dense_entries.push_back(found.scales);
    }
    return {};
}

// Of an official checkpoint: fills parts.experts.
Status find_experts(CheckpointParts& parts, UsedEntries& used) {
    const ModelConfig& config = parts.config;
    parts.experts = ExpertSource(parts.table.files(), config.layer_count() + parts.drafts.count,
                                 config.experts);
    std::optional<FoundTensor> first_expert;
    std::array<FoundTensor, 3> matrices;  // w1, w2, w3 of one expert, in the inventory's order
    size_t matrix_count = 0;
    for (const ExpectedTensor& expected : parts.inventory) {
        if (expected.kind != TensorClass::kRoutedExpert) continue;
        const FoundTensor found = TRY(find_tensor(parts.table, expected));
        use(found, used);
        if (!first_expert) first_expert = found;
        TRY(check_expert_format(parts.table, *first_expert, found));
        matrices[matrix_count++] = found;
        if (matrix_count == matrices.size()) {
            parts.experts.record({expected.block, expected.expert}) = make_expert_record(matrices);
            matrix_count = 0;
        }
    }
    ENSURE(matrix_count == 0);
    return {};
}

// Its experts must be those that config.json and the dense file speak of.
Status check_store_shape(const Path& directory, const StorePlan& plan,
                         const CheckpointParts& parts) {
    const ModelConfig& config = parts.config;
    const int32_t layers = config.layer_count() + parts.drafts.count;
    const ExpertShape shape{config.hidden, config.expert_inner};
    if (plan.layers == layers && plan.experts == config.experts && plan.shape == shape) return {};
    return Error{
        ErrorCode::kCorrupt,
        cat((directory / kManifestName).string(), " speaks of ", plan.layers, " layers of ",
            plan.experts, " experts, ", plan.shape.inner, " by ", plan.shape.hidden, ", wanted ",
            layers, " of ", config.experts, ", ", shape.inner, " by ", shape.hidden,
            " by config.json and the dense tensors; halves of two stores are mixed")};
}

// What nobody expects, as the files spell it, sorted; a tensor of many experts once.
Result<std::vector<std::string>> list_unknown(const ModelConfig& config, const ShardTable& table,
                                              const UsedEntries& used) {
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

Result<CheckpointParts> find_checkpoint_parts(const Path& directory) {
    const StoreState state = store_state(directory);
    if (state == StoreState::kUnfinished) return unfinished_store(directory);
    std::optional<StoreManifest> store;
    if (state == StoreState::kWhole) store = TRY(read_manifest(directory));
    ModelConfig config = TRY(read_config(directory));
    std::optional<ExpertSource> stored;
    if (store) stored = TRY(locate_stored_experts(directory, *store));
    ShardTable table = store ? TRY(ShardTable::read_file(directory, std::string(kDenseName)))
              : TRY(ShardTable::read(directory, Completeness::kWhole));
              const DraftBlocks drafts = TRY(draft_blocks(table, Completeness::kWhole));
              TRY(adopt_drafts(config, drafts));
              std::vector<ExpectedTensor> inventory = make_inventory(config, drafts);
              CheckpointParts parts{.config = std::move(config),
                                    .drafts = drafts,
                                    .table = std::move(table),
                                    .inventory = std::move(inventory),
                                    .dense = {},
                                    .dense_entries = {},
                                    .experts = stored ? *std::move(stored) : ExpertSource({}, 0, 1),
                                    .unknown = {},
                                    .store = std::move(store)};
              UsedEntries used;
              if (parts.store) TRY(check_store_shape(directory, parts.store->plan, parts));
              TRY(find_dense(parts, used));
              if (!parts.store) TRY(find_experts(parts, used));
              parts.unknown = TRY(list_unknown(parts.config, parts.table, used));
              return parts;
}

}  // namespace millrace
