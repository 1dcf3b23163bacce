#pragma once
// How each tensor of a synthetic checkpoint is made, by the rule in tests/golden/model/README.md. A recipe is a few
// numbers; its elements are computed when asked for, any range on any thread, so a checkpoint of any size can be
// written from little memory.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/random.h"
#include "core/base/result.h"
#include "core/base/tensor.h"

namespace millrace::test {

// u(i): SplitMix64 started at fnv1a64(name) xor seed·gamma, so that u(0) is the first step.
class SyntheticStream {
public:
    SyntheticStream(uint64_t seed, std::string_view name);
    [[nodiscard]] uint64_t at(uint64_t i) const { return mix64(start_ + (i + 1) * kGoldenGamma); }

private:
    uint64_t start_;
};

enum class SyntheticRule : uint8_t {
    kGrid,           // int8(u) · 2^−exponent, as BF16 or F32
    kNorm,           // around 1, BF16
    kUnitScale,      // around ½, F32
    kFp8Codes,       // e4m3 codes of moderate size
    kBytes,          // u & 255: two FP4 codes
    kPowerOfTwo,     // 2^(exponent + (u & 1)), as F8_E8M0 or F32
    kExpertOfToken,  // the table of a hash layer, I64
};

struct SyntheticRecipe {
    std::string name;
    DType dtype = DType::kU8;
    std::vector<int64_t> shape;
    SyntheticRule rule = SyntheticRule::kBytes;
    int exponent = 0;
    int64_t experts = 0;  // of kExpertOfToken

    [[nodiscard]] uint64_t count() const;
    [[nodiscard]] uint64_t bytes() const { return count() * dtype_bytes(dtype); }
};

// Elements `first`, `first` + 1, … in row-major order, as many as fill `out`, which holds whole elements and is aligned
// to them.
void synthesise(const SyntheticRecipe& recipe, uint64_t seed, uint64_t first,
                std::span<std::byte> out);

// All tensors of a config in the released spelling with a `synthetic_seed`, sorted by name. A config that lacks a
// member is kCorrupt, named by the member.
[[nodiscard]] Result<std::vector<SyntheticRecipe>> synthetic_recipes(const Json& config);

}  // namespace millrace::test
