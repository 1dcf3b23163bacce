#include "core/model/inspect.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <unordered_set>
#include <utility>

#include "core/base/strings.h"
#include "core/model/expert_locator.h"
#include "core/model/shard_table.h"
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

// Expected tensors of one block that are not here.
struct Absent {
    std::vector<std::string> names;
    size_t expected = 0;
};

class Inspector {
public:
    Inspector(const ShardTable& table, Inspection& out) : table_(table), out_(out) {}

    void run() {
        const std::vector<ExpectedTensor> inventory = make_inventory(out_.config, out_.drafts);
        const ReleaseStorage storage = see_experts(inventory);
        out_.release = release_name(out_.config, out_.drafts, storage.experts);
        for (const ExpectedTensor& expected : inventory) look_for(expected, storage);
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
        return {.experts = fp8 ? WeightFormat::kFp8 : WeightFormat::kFp4};
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
    Inspection& out_;
    std::map<LayerId, Absent> absent_;
    std::unordered_set<const TensorEntry*> used_;
};

}  // namespace

Result<Inspection> inspect(const Path& directory) {
    Inspection out;
    out.config = TRY(read_config(directory));
    const ShardTable table = TRY(ShardTable::read(directory, Completeness::kPartial));
    out.drafts = TRY(draft_blocks(table, Completeness::kPartial));
    out.files = static_cast<int32_t>(table.files().size());
    out.missing_files = table.missing_files();
    out.cut_files = table.cut_files();
    Inspector(table, out).run();
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
