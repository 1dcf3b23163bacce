// Any bytes: either an error, or a tree that survives being written and read again.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/check.h"
#include "core/base/json.h"
#include "core/base/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto tree = millrace::Json::parse(text);
    const auto unique = millrace::Json::parse_unique(text);
    if (!tree.ok()) {
        ENSURE(!unique.ok());
        ENSURE(!tree.error().message.empty());
        ENSURE(millrace::first_invalid_utf8(tree.error().message) == tree.error().message.size());
        return 0;
    }
    const std::string written = tree->dump();
    ENSURE(millrace::first_invalid_utf8(written) == written.size());
    const auto again = millrace::Json::parse_unique(written);
    ENSURE(again.ok());
    ENSURE(again->dump() == written);
    ENSURE(again->dump_python() == tree->dump_python());
    return 0;
}
