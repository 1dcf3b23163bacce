// The inventory meets the sizes of the released checkpoints to the byte (spec §3.4).

#include "core/model/inventory.h"

#include <doctest/doctest.h>

#include <map>

#include "tests/support/golden.h"

namespace millrace::test {
namespace {

// The preview Flash and Pro-0813 differ from the configs at hand by documented keys (spec §1.1,
// §1.3, §1.5).
ModelConfig flash_0731() {
    Json json = read_golden_json("config/v4-flash-0731.config.json");
    json.set("n_routed_experts", 256);  // the copy at hand is pruned to 160
    auto config = parse_config(json);
    REQUIRE_MESSAGE(config.ok(), (config.ok() ? "" : config.error().message));
    return *config;
}
ModelConfig pro() {
    auto config = parse_config(read_golden_json("config/v4-pro.config.json"));
    REQUIRE(config.ok());
    return *config;
}
ModelConfig pro_0813() {
    Json json = read_golden_json("config/v4-pro.config.json");
    json.set("dspark_block_size", 5);
    json.set("dspark_noise_token_id", 128799);
    json.set("dspark_target_layer_ids", Json::Array{58, 59, 60});
    json.set("dspark_markov_rank", 512);
    Json::Array ratios = json.find("compress_ratios")->items();
    ratios.emplace_back(0);
    ratios.emplace_back(0);
    json.set("compress_ratios", ratios);
    auto config = parse_config(json);
    REQUIRE_MESSAGE(config.ok(), (config.ok() ? "" : config.error().message));
    return *config;
}

constexpr DraftBlocks kPreview = {DraftKind::kMtp, 1};
constexpr DraftBlocks kThreeStages = {DraftKind::kDspark, 3};
constexpr ReleaseStorage kFp4 = {};
constexpr ReleaseStorage kFp8 = {.experts = WeightFormat::kFp8};
constexpr ReleaseStorage kFp8WithF32 = {WeightFormat::kFp8, DType::kF32, DType::kF32};

struct Sum {
    int64_t tensors = 0;
    uint64_t bytes = 0;
    friend bool operator==(const Sum&, const Sum&) = default;
};

template <class Counts>
Sum sum_of(const ModelConfig& config, DraftBlocks drafts, ReleaseStorage experts,
           const Counts& counts) {
    Sum sum;
    for (const ExpectedTensor& tensor : make_inventory(config, drafts)) {
        if (!counts(tensor)) continue;
        const StoredForms forms = released_form(tensor, experts);
        sum.tensors += forms.scales ? 2 : 1;
        sum.bytes += forms.bytes();
    }
    return sum;
}

Sum total(const ModelConfig& config, DraftBlocks drafts, ReleaseStorage experts) {
    return sum_of(config, drafts, experts, [](const ExpectedTensor&) { return true; });
}

bool in_attention(const ExpectedTensor& t) {
    return t.kind == TensorClass::kAttention || t.kind == TensorClass::kCompressor ||
           t.kind == TensorClass::kIndexer;
}

struct LayerSize {
    int32_t layer;
    int64_t tensors;
    uint64_t bytes, without_experts, attention;
};

void check_layer(const ModelConfig& config, const LayerSize& size) {
    CAPTURE(size.layer);
    const LayerId layer{size.layer};
    const auto of_layer = [&](const ExpectedTensor& t) { return t.block == layer; };
    CHECK(sum_of(config, kPreview, kFp4, of_layer) == Sum{size.tensors, size.bytes});
    CHECK(sum_of(config, kPreview, kFp4, [&](const ExpectedTensor& t) {
              return of_layer(t) && t.kind != TensorClass::kRoutedExpert;
          }).bytes == size.without_experts);
    CHECK(sum_of(config, kPreview, kFp4, [&](const ExpectedTensor& t) {
              return of_layer(t) && in_attention(t);
          }).bytes == size.attention);
}

uint64_t expert_bytes(const ModelConfig& config, ReleaseStorage storage) {
    return sum_of(config, kPreview, storage,
                  [](const ExpectedTensor& t) {
                      return t.block == LayerId{5} && t.expert == ExpertId{7};
                  })
        .bytes;
}

}  // namespace

TEST_CASE("tensor counts and byte totals of the four FP4 releases") {
    CHECK(total(flash_0731(), kPreview, kFp4) == Sum{69187, 159609485896});
    CHECK(total(flash_0731(), kThreeStages, kFp4) == Sum{72317, 166878536440});
    CHECK(total(pro(), kPreview, kFp4) == Sum{145116, 864704792696});
    CHECK(total(pro_0813(), kThreeStages, kFp4) == Sum{149782, 892727580904});
}

TEST_CASE("byte totals of the Base releases for both kinds of scales") {
    CHECK(total(flash_0731(), kPreview, kFp8) == Sum{69187, 292502338120});
    CHECK(total(flash_0731(), kPreview, kFp8WithF32) == Sum{69187, 292555345480});
    CHECK(total(pro(), kPreview, kFp8) == Sum{145116, 1602033600632});
    CHECK(total(pro(), kPreview, kFp8WithF32) == Sum{145116, 1602325824632});
}

TEST_CASE("sizes of single layers and experts") {
    const ModelConfig flash = flash_0731();
    check_layer(flash, {0, 1565, 3566148952, 143596888, 106964608});
    check_layer(flash, {2, 1576, 3596055640, 173503576, 136871296});
    check_layer(flash, {4, 1576, 3589851224, 167299160, 136871296});
    check_layer(flash, {3, 1569, 3568596312, 146044248, 115616384});
    const ModelConfig large = pro();
    check_layer(large, {2, 2344, 13909746200, 433447448, 350138752});
    check_layer(large, {4, 2344, 13903542296, 427243544, 350138752});
    check_layer(large, {0, 2337, 13874466328, 398167576, 314858880});
    check_layer(large, {3, 2337, 13868262424, 391963672, 314858880});
    // No trunk layer of Pro has ratio 0, but its draft block does.
    CHECK(sum_of(large, kPreview, kFp4, [&](const ExpectedTensor& t) {
              return t.block == LayerId{61} && in_attention(t);
          }).bytes == 299915648);

    CHECK(expert_bytes(flash, kFp4) == 13369344);
    CHECK(expert_bytes(flash, kFp8) == 25167360);
    CHECK(expert_bytes(large, kFp4) == 35094528);
    CHECK(expert_bytes(large, kFp8) == 66064320);
    const auto no_expert = [](const ExpectedTensor& t) {
        return t.kind != TensorClass::kRoutedExpert;
    };
    CHECK(sum_of(flash, kPreview, kFp4, no_expert).bytes == 9017195080);
    CHECK(sum_of(large, kPreview, kFp4, no_expert).bytes == 29174270072);
    CHECK(sum_of(flash, kPreview, kFp4, [](const ExpectedTensor& t) {
              return t.block == LayerId{9} && t.kind == TensorClass::kRoutedExpert;
          }).bytes == 3422552064);
    CHECK(sum_of(large, kPreview, kFp4, [](const ExpectedTensor& t) {
              return t.block == LayerId{9} && t.kind == TensorClass::kRoutedExpert;
          }).bytes == 13476298752);
}

TEST_CASE("every tensor of the seven released headers is in the inventory, as it is") {
    auto config = parse_config(read_golden_json("config/v4-flash-0731.config.json"));
    REQUIRE(config.ok());
    std::map<std::string, StoredForm> expected;
    for (const ExpectedTensor& tensor : make_inventory(*config, kThreeStages)) {
        const StoredForms forms = released_form(tensor, kFp4);
        expected[forms.elements.name] = forms.elements;
        if (forms.scales) expected[forms.scales->name] = *forms.scales;
    }
    size_t seen = 0, unequal = 0;
    for (const char* shard : {"00001", "00002", "00004", "00005", "00045", "00046", "00048"}) {
        const Json header = read_golden_json("safetensors-headers/v4-flash-0731.model-" +
                                             std::string(shard) + "-of-00048.json");
        for (const auto& [name, entry] : header.members()) {
            ++seen;
            const auto at = expected.find(name);
            REQUIRE_MESSAGE(at != expected.end(), name);
            bool equal = *entry.find("dtype")->as_string() == dtype_name(at->second.dtype);
            const Json::Array& shape = entry.find("shape")->items();
            equal = equal && static_cast<int32_t>(shape.size()) == at->second.shape.rank;
            for (size_t i = 0; equal && i < shape.size(); ++i) {
                equal = shape[i].as_int() == at->second.shape.dims[i];
            }
            if (!equal) ++unequal;
        }
    }
    CHECK(seen == 4976);
    CHECK(unequal == 0);
}

}  // namespace millrace::test
