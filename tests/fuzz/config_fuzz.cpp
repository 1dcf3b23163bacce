// Any text as config.json: either an error, or a config whose inventory can be made.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/check.h"
#include "core/base/json.h"
#include "core/base/utf8.h"
#include "core/model/config.h"
#include "core/model/inventory.h"

namespace {

constexpr int64_t kExpertsMax = 2048;  // larger inventories are sound, but slow

void check_inventory(const millrace::ModelConfig& config) {
    using namespace millrace;
    if (config.layer_count() * int64_t{config.experts} > kExpertsMax) return;
    const DraftBlocks drafts = config.dspark.block_size > 0 ? DraftBlocks{DraftKind::kDspark, 3}
                                                            : DraftBlocks{DraftKind::kMtp, 1};
    for (const ExpectedTensor& tensor : make_inventory(config, drafts)) {
        ENSURE(tensor.shape.count() > 0);
        for (const WeightFormat experts : {WeightFormat::kFp4, WeightFormat::kFp8}) {
            ENSURE(released_form(tensor, {.experts = experts}).bytes() > 0);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace millrace;
    const auto json =
        Json::parse_unique(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!json) return 0;
    const auto config = parse_config(*json);
    if (config) {
        check_inventory(*config);
    } else {
        ENSURE(!config.error().message.empty());
        ENSURE(first_invalid_utf8(config.error().message) == config.error().message.size());
        ENSURE(config.error().message.find('\n') == std::string::npos);
    }
    return 0;
}
