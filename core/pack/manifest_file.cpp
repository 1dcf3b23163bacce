#include "core/pack/manifest_file.h"

#include <algorithm>

#include "core/base/strings.h"

namespace millrace {

Result<std::optional<StoreManifest>> find_manifest(Disk& disk, const Path& directory) {
    const std::vector<std::string> names = TRY(disk.list(directory));
    if (!std::ranges::binary_search(names, kManifestName)) return std::optional<StoreManifest>();
    const Path path = directory / kManifestName;
    const std::unique_ptr<DiskFile> file =
        TRY(disk.open(path, OpenFor::kReading, Through::kPageCache));
    const uint64_t size = TRY(file->size());
    if (size > kManifestBytesMax) {
        return Error{ErrorCode::kCorrupt,
                     cat(path.string(), " has ", size, " bytes, far more than any manifest")};
    }
    std::string text(size, '\0');
    TRY(file->read(0, std::as_writable_bytes(std::span(text))));
    Result<StoreManifest> manifest = parse_manifest(text);
    if (!manifest) return manifest.error().in(path.string());
    return std::optional<StoreManifest>(*std::move(manifest));
}

}  // namespace millrace
