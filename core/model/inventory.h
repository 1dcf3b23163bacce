#pragma once
// The tensors a checkpoint must have: name, class and exact shape of each, from the config alone
// (spec §3). The one place that knows shapes; everything that reads a checkpoint compares with it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/base/tensor.h"
#include "core/base/types.h"
#include "core/model/config.h"
#include "core/model/shard_table.h"
#include "quant/linear_weight.h"

namespace millrace {

// What a tensor does; the rows of the table that `inspect` prints.
enum class TensorClass : uint8_t {
    kEmbedding,
    kHead,
    kAttention,   // projections, their norms, the sink
    kCompressor,  // of attention
    kIndexer,     // with its own compressor
    kRouter,      // gate, bias
    kHashTable,   // tid2eid
    kHyperConnections,
    kSharedExpert,
    kRoutedExpert,
    kNorm,   // before attention and experts, and the last one
    kDraft,  // what only draft blocks have; the rest of a draft block has the classes above
};
inline constexpr size_t kTensorClasses = 12;
[[nodiscard]] std::string_view class_name(TensorClass kind);

// How the elements may be stored.
enum class Storage : uint8_t {
    kBf16,          // BF16
    kF32,           // F32
    kI64,           // I64
    kPlainMatrix,   // BF16 or F32, without scales; released as BF16
    kDenseMatrix,   // F8_E4M3 with scales, BF16 or F32; released as F8_E4M3
    kExpertMatrix,  // I8 (packed FP4) or F8_E4M3 with scales, BF16 or F32
};

struct ExpectedTensor {
    std::string
        name;  // official; of a matrix with scales it ends in ".weight", and the scales in ".scale"
    Shape shape;  // of the elements: [out, in] also where FP4 packs two into a byte
    Storage storage = Storage::kBf16;
    TensorClass kind = TensorClass::kNorm;
    LayerId block;    // −1: global; 0 … layers−1: trunk; layers+i: draft block i
    ExpertId expert;  // −1: none
};

enum class DraftKind : uint8_t {
    kNone,
    kMtp,     // the preview's classic multi-token-prediction blocks (spec §3.3)
    kDspark,  // the three-stage drafter of 0731 and 0813
};

struct DraftBlocks {
    DraftKind kind = DraftKind::kNone;
    int32_t count = 0;
};

// Recognises the draft blocks by the names of tensors. kCorrupt when their numbers have a gap; with
// kPartial a gap counts as a block that lies in a missing shard.
[[nodiscard]] Result<DraftBlocks> draft_blocks(const ShardTable& table, Completeness completeness);

[[nodiscard]] std::vector<ExpectedTensor> make_inventory(const ModelConfig& config,
                                                         DraftBlocks drafts);

// A tensor as a file holds it.
struct StoredForm {
    std::string name;
    DType dtype = DType::kU8;
    Shape shape;

    [[nodiscard]] uint64_t bytes() const {
        return static_cast<uint64_t>(shape.count()) * dtype_bytes(dtype);
    }
};

struct StoredForms {
    StoredForm elements;
    std::optional<StoredForm> scales;  // of FP8 and FP4 matrices

    [[nodiscard]] uint64_t bytes() const {
        return elements.bytes() + (scales ? scales->bytes() : 0);
    }
};

// What differs in how the released checkpoints store matrices; dense ones are FP8 in all of them.
struct ReleaseStorage {
    WeightFormat experts = WeightFormat::kFp4;
    DType expert_scales = DType::kF8E8m0;
    DType dense_scales = DType::kF8E8m0;
};

// The form in which a released checkpoint stores it.
[[nodiscard]] StoredForms released_form(const ExpectedTensor& tensor, ReleaseStorage storage);

// An expected tensor found.
struct FoundTensor {
    const TensorEntry* elements = nullptr;
    const TensorEntry* scales = nullptr;  // null without scales

    [[nodiscard]] uint64_t bytes() const { return elements->bytes + (scales ? scales->bytes : 0); }
};

// Finds the tensor and, if it is quantised, its scales. kNotFound when one is missing, kCorrupt
// when a dtype or a shape is not a possible one.
[[nodiscard]] Result<FoundTensor> find_tensor(const ShardTable& table,
                                              const ExpectedTensor& tensor);

// The format that a dtype means for a matrix, if it means one.
[[nodiscard]] std::optional<WeightFormat> weight_format(DType dtype);

}  // namespace millrace
