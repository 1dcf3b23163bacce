// Any bytes as a store's manifest: either an error, or one whose files have room for every record and that reads back as
// it was.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "core/model/store_manifest.h"

namespace {

void check_sound(const millrace::StoreManifest& manifest) {
    using namespace millrace;
    const StorePlan& plan = manifest.plan;
    ENSURE(plan.formats.size() == manifest.expert_checksums.size());
    ENSURE(manifest.dense_checksums.size() == static_cast<size_t>(plan.dense_chunks()));
    for (int32_t l = 0; l < plan.layers; ++l) {
        const auto offsets = plan.record_offsets({l});
        for (int32_t e = 0; e < plan.experts; ++e) {
            const ExpertRecord record = stored_record(plan.format({{l}, {e}}), plan.shape, 0,
                                                      offsets[static_cast<size_t>(e)]);
            const ByteRange& range = record.ranges[0];
            ENSURE(range.offset % kStoreBlockBytes == 0);
            ENSURE(range.offset + range.bytes <= plan.file_bytes({l}, plan.part_of({e})));
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace millrace;
    const auto manifest = parse_manifest({reinterpret_cast<const char*>(data), size});
    if (!manifest) {
        ENSURE(!manifest.error().message.empty());
        ENSURE(first_invalid_utf8(manifest.error().message) == manifest.error().message.size());
        ENSURE(manifest.error().message.find('\n') == std::string::npos);
        return 0;
    }
    check_sound(*manifest);
    const std::string text = manifest_text(*manifest);
    const auto again = parse_manifest(text);
    ENSURE(again.ok());
    ENSURE(manifest_text(*again) == text);
    return 0;
}
