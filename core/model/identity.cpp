#include "core/model/identity.h"

#include <gnu/libc-version.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr uint64_t kConfigBytesMax = uint64_t{64} << 20;

bool holds_weights(const Path& path) {
    return path.extension() == ".safetensors" || path.extension() == ".bin";
}

// A store may have parts on other drives; its manifest has the checksums of all.
bool names_weights(const Path& path) {
    const std::string name = path.filename().string();
    return name == "model.safetensors.index.json" || name == "manifest.json";
}

Result<std::string> hash_of(const Path& path) {
    const MappedFile mapped = TRY(MappedFile::map(TRY(File::open(path))));
    const XXH128_hash_t hash = XXH3_128bits(mapped.bytes().data(), mapped.bytes().size());
    return cat(hash.high64, " ", hash.low64);
}

}  // namespace

Result<std::string> checkpoint_identity(const Path& directory) {
    std::vector<std::string> lines;
    std::error_code error;
    std::filesystem::directory_iterator entries(directory, error);
    for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
        const Path& path = entries->path();
        if (names_weights(path)) {
            lines.push_back(cat(path.filename().string(), " ", TRY(hash_of(path)), "\n"));
        }
        if (!holds_weights(path) || !entries->is_regular_file(error)) continue;
        const auto date = entries->last_write_time(error).time_since_epoch();
        const auto bytes = entries->file_size(error);
        if (error) break;
        lines.push_back(cat(path.filename().string(), " ", bytes, " ",
                            std::chrono::nanoseconds(date).count(), "\n"));
    }
    if (error) return io_error("listing", directory, error.value());
    std::ranges::sort(lines);
    std::string text = TRY(read_text_file(directory / "config.json", kConfigBytesMax));
    text += '\n';
    for (const std::string& line : lines) text += line;
    return text;
}

Result<std::string> program_identity() {
    return cat("program ", TRY(hash_of("/proc/self/exe")), " libc ", ::gnu_get_libc_version());
}

}  // namespace millrace
