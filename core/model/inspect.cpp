#include "core/model/inspect.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "core/base/strings.h"
#include "core/model/expert_locator.h"
#include "core/model/shard_table.h"
#include "core/model/store.h"
#include "quant/format.h"

namespace millrace {
namespace {

constexpr size_t kMisshapenMax = 100;
constexpr size_t kNamesALine = 4;

// The two sizes that were released.
struct ReleasedSize {
    std::string_view name;
    int64_t hidden;
    int32_t layers, heads, experts;
    int64_t q_rank, expert_inner;
    std::string_view with_dspark;
};
constexpr std::array kSizes = {
    ReleasedSize{"Flash", 4096, 43, 64, 256, 1024, 2048, "0731 (or Flash-DSpark: same shapes)"},
    ReleasedSize{"Pro", 7168, 61, 128, 384, 1536, 3072, "0813"},
};

std::string format_words(const LinearWeight& expert) {
    const std::string_view scales =
        expert.scale_format == ScaleFormat::kF32 ? "with F32 scales" : "with E8M0 scales";
    switch (expert.format) {
        case WeightFormat::kBf16: return "BF16";
        case WeightFormat::kF32: return "F32";
        case WeightFormat::kFp8: return cat("FP8 ", scales);
        case WeightFormat::kFp4: return cat("FP4 ", scales);
        case WeightFormat::kQ3s:
        case WeightFormat::kQ2s:
        case WeightFormat::kQ2v: return std::string(format_name(expert.format));
    }
    return "?";
}

// Expected tensors of one block that are not here.
struct Absent {
    std::vector<std::string> names;
    size_t expected = 0;
};

// Layer and part.
using StoredFiles = std::set<std::pair<int32_t, int32_t>>;

class Inspector {
public:
    // `files_here`: of a store, the files of experts that are there and whole.
    Inspector(const ShardTable& table, const StoredFiles& files_here, Inspection& out)
        : table_(table), files_here_(files_here), out_(out) {}

    void run() {
        const std::vector<ExpectedTensor> inventory = make_inventory(out_.config, out_.drafts);
        const ReleaseStorage storage =
            out_.store ? see_stored_experts(*out_.store) : see_experts(inventory);
        out_.release = out_.store ? out_.store->plan.source_variant
                                  : release_name(out_.config, out_.drafts, storage.experts);
        for (const ExpectedTensor& expected : inventory) {
            if (out_.store && expected.kind == TensorClass::kRoutedExpert) continue;
            look_for(expected, storage);
        }
        if (out_.store) look_for_stored_experts(*out_.store);
        list_missing();
        list_unknown();
    }

private:
    // The first expert that is here tells how all are stored; without one, config.json does.
    ReleaseStorage see_experts(const std::vector<ExpectedTensor>& inventory) {
        for (size_t i = 0; i + 2 < inventory.size(); ++i) {
            if (inventory[i].kind != TensorClass::kRoutedExpert) continue;
            const Result<FoundTensor> w1 = find_tensor(table_, inventory[i]);
            if (!w1) {
                i += 2;  // to the next expert
                continue;
            }
            const LinearWeight layout = matrix_layout(*w1);
            out_.expert_format = format_words(layout);
            const ReleaseStorage storage{.experts = layout.format,
                                         .expert_scales = layout.scale_format == ScaleFormat::kF32
                                                              ? DType::kF32
                                                              : DType::kF8E8m0};
            for (size_t j = i; j < i + 3; ++j) {
                out_.expert_bytes += released_form(inventory[j], storage).bytes();
            }
            return storage;
        }
        const bool fp8 = out_.config.expert_dtype == "fp8";
        const ReleaseStorage storage{.experts = fp8 ? WeightFormat::kFp8 : WeightFormat::kFp4};
        for (const ExpectedTensor& tensor : inventory) {
            const bool one = tensor.block == LayerId{0} && tensor.expert == ExpertId{0};
            if (one && tensor.kind == TensorClass::kRoutedExpert) {
                out_.expert_bytes += released_form(tensor, storage).bytes();
            }
        }
        return storage;
    }

    // Their formats and how many have each: "f4", or "300 f4, 1000 q2s".
    ReleaseStorage see_stored_experts(const StoreManifest& store) {
        std::map<std::string_view, int64_t> counts;
        uint64_t bytes = 0;
        for (const ExpertFormat format : store.plan.formats) {
            ++counts[expert_format_name(format)];
            bytes += record_layout(format, store.plan.shape).bytes;
        }
        for (const auto& [name, count] : counts) {
            if (!out_.expert_format.empty()) out_.expert_format += ", ";
            out_.expert_format += counts.size() == 1 ? std::string(name) : cat(count, " ", name);
        }
        out_.expert_bytes = bytes / store.plan.formats.size();
        return {};
    }

    void look_for_stored_experts(const StoreManifest& store) {
        const StorePlan& plan = store.plan;
        const ExpertShape shape{out_.config.hidden, out_.config.expert_inner};
        if (plan.layers != out_.config.layer_count() + out_.drafts.count ||
            plan.experts != out_.config.experts || plan.shape != shape) {
            out_.misshapen.push_back(cat(kManifestName, " speaks of ", plan.layers, " layers of ",
                                         plan.experts, " experts; config.json does not"));
            return;
        }
        const auto kind = static_cast<size_t>(TensorClass::kRoutedExpert);
        uint64_t trunk_bytes = 0;
        for (int32_t l = 0; l < plan.layers; ++l) {
            const bool in_trunk = l < out_.config.layer_count();
            for (int32_t e = 0; e < plan.experts; ++e) {
                const ExpertFormat format = plan.format({{l}, {e}});
                const RecordLayout layout = record_layout(format, plan.shape);
                const int64_t tensors = format.scales == ScaleFormat::kNone ? 3 : 6;
                out_.complete.tensors += tensors;
                out_.complete.bytes += layout.bytes;
                if (in_trunk) trunk_bytes += layout.bytes;
                Absent& block = absent_[LayerId{l}];
                block.expected += 3;
                if (files_here_.contains({l, plan.part_of({e})})) {
                    ClassBytes& sum = (in_trunk ? out_.trunk : out_.draft)[kind];
                    sum.tensors += tensors;
                    sum.bytes += layout.bytes;
                    continue;
                }
                block.names.insert(block.names.end(), 3, cat("expert ", e));
            }
        }
        out_.token_bytes[kind] = trunk_bytes / static_cast<uint64_t>(plan.experts) *
                                 static_cast<uint64_t>(out_.config.experts_per_token);
    }

    void look_for(const ExpectedTensor& expected, ReleaseStorage storage) {
        const Result<FoundTensor> found = find_tensor(table_, expected);
        const StoredForms released = released_form(expected, storage);
        const uint64_t bytes = found ? found->bytes() : released.bytes();
        const int64_t tensors = found ? (found->scales ? 2 : 1) : (released.scales ? 2 : 1);
        const bool in_trunk = expected.block.value < out_.config.layer_count();
        const auto kind = static_cast<size_t>(expected.kind);
        out_.complete.tensors += tensors;
        out_.complete.bytes += bytes;
        if (in_trunk) out_.token_bytes[kind] += bytes_a_token_reads(expected, bytes);

        const TensorEntry* here = table_.find(expected.name);
        if (here) used_.insert(here);
        Absent& block = absent_[expected.block];
        ++block.expected;
        if (found) {
            ClassBytes& sum = (in_trunk ? out_.trunk : out_.draft)[kind];
            sum.tensors += tensors;
            sum.bytes += bytes;
            if (found->scales) used_.insert(found->scales);
        } else if (found.error().code == ErrorCode::kNotFound) {
            // Where the elements are here, it is the scales that are not.
            block.names.push_back(here && released.scales ? released.scales->name : expected.name);
        } else {
            if (out_.misshapen.size() < kMisshapenMax) {
                out_.misshapen.push_back(found.error().message);
            }
        }
    }

    [[nodiscard]] uint64_t bytes_a_token_reads(const ExpectedTensor& expected,
                                               uint64_t bytes) const {
        switch (expected.kind) {
            case TensorClass::kEmbedding:
            case TensorClass::kHashTable:
                return bytes / static_cast<uint64_t>(expected.shape.dims[0]);
            case TensorClass::kRoutedExpert:
                // All experts of a layer are of one size: count the first ones.
                return expected.expert.value < out_.config.experts_per_token ? bytes : 0;
            default: return bytes;
        }
    }

    void list_missing() {
        for (const auto& [block, absent] : absent_) {
            if (absent.names.empty()) continue;
            const int32_t layers = out_.config.layer_count();
            std::string line = block.value < 0         ? "outside the layers"
                               : block.value >= layers ? cat("mtp.", block.value - layers)
                                                       : cat("layers.", block.value);
            if (absent.names.size() == absent.expected) {
                line += cat(": all ", absent.expected, " matrices and vectors");
            } else {
                line += ": ";
                for (size_t i = 0; i < std::min(absent.names.size(), kNamesALine); ++i) {
                    line += cat(i ? ", " : "", absent.names[i]);
                }
                if (absent.names.size() > kNamesALine) {
                    line += cat(" and ", absent.names.size() - kNamesALine, " more");
                }
            }
            out_.missing.push_back(std::move(line));
        }
    }

    void list_unknown() {
        for (const TensorEntry& entry : table_.entries()) {
            if (!used_.contains(&entry)) out_.unknown.push_back(entry.stored);
        }
        for (const TensorEntry& entry : table_.unindexed()) out_.unknown.push_back(entry.stored);
        std::sort(out_.unknown.begin(), out_.unknown.end());
        out_.unknown.erase(std::unique(out_.unknown.begin(), out_.unknown.end()),
                           out_.unknown.end());
    }

    const ShardTable& table_;
    const StoredFiles& files_here_;
    Inspection& out_;
    std::map<LayerId, Absent> absent_;
    std::unordered_set<const TensorEntry*> used_;
};

// Which files of a store are there; tells of the others.
StoredFiles find_stored_files(const Path& directory, const StorePlan& plan, Inspection& out) {
    StoredFiles here;
    for (int32_t l = 0; l < plan.layers; ++l) {
        for (int32_t p = 0; p < static_cast<int32_t>(plan.parts.size()); ++p) {
            const Path path = (p == 0 ? directory : Path(plan.parts[static_cast<size_t>(p)])) /
                              expert_file_name(l);
            const std::string name = p == 0 ? expert_file_name(l) : path.string();
            std::error_code error;
            const uint64_t bytes = std::filesystem::file_size(path, error);
            const uint64_t wanted = plan.file_bytes({l}, p);
            if (error) {
                out.missing_files.push_back(name);
            } else if (bytes != wanted) {
                out.cut_files.push_back(cat(name, " has ", bytes, " of ", wanted, " bytes"));
            } else {
                here.emplace(l, p);
            }
        }
    }
    out.files += static_cast<int32_t>(here.size());
    return here;
}

}  // namespace

std::string release_name(const ModelConfig& config, DraftBlocks drafts, WeightFormat experts) {
    for (const ReleasedSize& size : kSizes) {
        if (config.hidden != size.hidden || config.layer_count() != size.layers ||
            config.heads != size.heads || config.q_rank != size.q_rank ||
            config.expert_inner != size.expert_inner) {
            continue;
        }
        std::string name = cat("DeepSeek-V4-", size.name);
        if (experts == WeightFormat::kFp8) name += "-Base";
        if (drafts.kind == DraftKind::kDspark) name += cat("-", size.with_dspark);
        if (config.experts != size.experts) {
            name += cat(", with ", config.experts, " of ", size.experts, " experts a layer");
        }
        return name;
    }
    return cat(config.synthetic_seed != 0 ? "A synthetic checkpoint" : "A model",
               " of the DeepSeek-V4 architecture in none of the released sizes");
}

Result<Inspection> inspect(const Path& directory) {
    Inspection out;
    const StoreState state = store_state(directory);
    if (state == StoreState::kUnfinished) return unfinished_store(directory);
    if (state == StoreState::kWhole) out.store = TRY(read_manifest(directory));
    out.config = TRY(read_config(directory));
    const ShardTable table =
        out.store ? TRY(ShardTable::read_file(directory, std::string(kDenseName)))
                  : TRY(ShardTable::read(directory, Completeness::kPartial));
                  out.drafts = TRY(draft_blocks(table, Completeness::kPartial));
                  out.files = static_cast<int32_t>(table.files().size());
                  out.missing_files = table.missing_files();
                  out.cut_files = table.cut_files();
                  StoredFiles here;
                  if (out.store) here = find_stored_files(directory, out.store->plan, out);
                  Inspector(table, here, out).run();
                  return out;
}

Inspection inspect_config(const ModelConfig& config) {
    Inspection out;
    out.config = config;
    // The index would decide; without one, the keys of the drafter do.
    if (config.dspark.block_size > 0) {
        out.drafts = {DraftKind::kDspark, static_cast<int32_t>(config.dspark.target_layers.size())};
    } else if (config.mtp_blocks > 0) {
        out.drafts = {DraftKind::kMtp, config.mtp_blocks};
    }
    const ShardTable nothing = ShardTable::none();
    Inspector(nothing, {}, out).run();
    return out;
}

ClassBytes Inspection::total() const {
    ClassBytes sum;
    for (const BytesByClass* part : {&trunk, &draft}) {
        for (const ClassBytes& kind : *part) {
            sum.tensors += kind.tensors;
            sum.bytes += kind.bytes;
        }
    }
    return sum;
}

uint64_t Inspection::token_bytes_total() const {
    return std::accumulate(token_bytes.begin(), token_bytes.end(), uint64_t{0});
}

}  // namespace millrace
