#pragma once
// The archive's table as a file: a shortcut for the next start, and the only place that knows when a page was last read.
// Files that it does not list are asked themselves; what it lists and is not there is forgotten.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "offload/kv_table.h"

namespace millrace {

enum class KvOwner : uint32_t { kOurs, kForeign };

struct KvIndexEntry {
    KvPlace place;
    KvOwner owner = KvOwner::kOurs;  // foreign: only the key, the part and the bytes say something
};

[[nodiscard]] std::vector<std::byte> pack_index(std::span<const KvIndexEntry> entries);
// Nothing when these bytes are no index.
[[nodiscard]] std::optional<std::vector<KvIndexEntry>> unpack_index(
    std::span<const std::byte> bytes);

// "0123…ef.rows": the key in hexadecimal and the part.
[[nodiscard]] std::string kv_file_name(const KvKey& key, KvPart part);
struct KvFileName {
    KvKey key;
    KvPart part = KvPart::kRows;
    bool whole = true;  // false: something was being written there ("….part")
};
// Nothing for files that the archive did not make.
[[nodiscard]] std::optional<KvFileName> parse_kv_file_name(std::string_view name);

}  // namespace millrace
