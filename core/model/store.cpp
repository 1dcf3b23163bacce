#include "core/model/store.h"

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include "core/base/strings.h"
#include "core/model/checksum.h"
#include "core/model/safetensors.h"

namespace millrace {
namespace {

bool is_there(const Path& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
}

Error mixed(const Path& file, std::string_view found, std::string_view wanted) {
    return {ErrorCode::kCorrupt,
            cat(file.string(), " ", found, ", wanted ", wanted, " by ", kManifestName,
                "; halves of two stores are mixed, or the file was changed: millrace verify tells "
                "what is broken, --repair mends it")};
}

Status check_expert_file(const Path& path, uint64_t bytes, const ExpertFileHeader& wanted) {
    const Result<File> file = File::open(path);
    if (!file) {
        if (file.error().code != ErrorCode::kNotFound) return file.error();
        return Error{ErrorCode::kNotFound,
                     cat(path.string(),
                         " is missing; copy it from where the store was made, or "
                         "millrace verify --repair makes it again")};
    }
    const uint64_t size = TRY(file->size());
    if (size != bytes) return mixed(path, cat("has ", size, " bytes"), cat(bytes));
    std::array<std::byte, kStoreBlockBytes> block;
    TRY(file->read_at(0, block));
    const std::optional<ExpertFileHeader> found = decode_header(block);
    if (!found) return mixed(path, "has no header", "one");
    if (found->store != wanted.store) {
        return mixed(path, cat("belongs to store ", hex16(found->store)), hex16(wanted.store));
    }
    if (*found != wanted) {
        return mixed(
            path,
            cat("holds layer ", found->layer, ", part ", found->part + 1, " of ", found->parts),
            cat("layer ", wanted.layer, ", part ", wanted.part + 1, " of ", wanted.parts));
    }
    return {};
}

Status check_config(const Path& directory, const StoreManifest& manifest) {
    const auto entry = std::ranges::find(manifest.files, "config.json", &CopiedFile::name);
    const Path path = directory / "config.json";
    if (entry == manifest.files.end()) {
        return Error{ErrorCode::kCorrupt, cat((directory / kManifestName).string(),
                                              " lists no config.json; pack the store again")};
    }
    const std::string text = TRY(read_text_file(path, kCopiedBytesMax));
    if (text.size() == entry->bytes && checksum_of(text) == entry->checksum) return {};
    return mixed(path, cat("has checksum ", hex16(checksum_of(text))), hex16(entry->checksum));
}

Status check_dense(const Path& directory, const StorePlan& plan) {
    const Path path = directory / kDenseName;
    const File file = TRY(File::open(path));
    const uint64_t size = TRY(file.size());
    if (size != plan.dense_bytes) {
        return mixed(path, cat("has ", size, " bytes"), cat(plan.dense_bytes));
    }
    const SafetensorsHeader header = TRY(read_safetensors_header(file, FileLength::kExact));
    const std::pair wanted(std::string(kStoreIdMember), hex16(plan.id));
    if (std::ranges::find(header.metadata, wanted) != header.metadata.end()) return {};
    const auto other = std::ranges::find(header.metadata, kStoreIdMember, &decltype(wanted)::first);
    return mixed(path,
                 other == header.metadata.end()
                     ? std::string("belongs to no store")
                     : cat("belongs to store ", quote_text(other->second, 20)),
                 wanted.second);
}

// Where a drive is not mounted there may be an empty directory.
bool holds_experts(const Path& part, int32_t layers) {
    for (int32_t l = 0; l < layers; ++l) {
        if (is_there(part / expert_file_name(l))) return true;
    }
    return false;
}

}  // namespace

StoreState store_state(const Path& directory) {
    if (is_there(directory / kManifestName)) return StoreState::kWhole;
    const bool begun =
        is_there(directory / kPackProgressName) || is_there(directory / expert_file_name(0));
    return begun ? StoreState::kUnfinished : StoreState::kNone;
}

Error unfinished_store(const Path& directory) {
    return {ErrorCode::kCorrupt,
            cat(directory.string(), " is half a store: packing it was begun and not finished (no ",
                kManifestName,
                "); give the same millrace pack command again, it goes on where it "
                "was")};
}

Result<StoreManifest> read_manifest(const Path& directory) {
    const Path path = directory / kManifestName;
    const std::string text = TRY(read_text_file(path, kManifestBytesMax));
    Result<StoreManifest> manifest = parse_manifest(text);
    if (!manifest) return manifest.error().in(path.string());
    return manifest;
}

Error missing_part(const Path& directory, const StorePlan& plan, size_t index) {
    return {ErrorCode::kNotFound,
            cat("the store's part ", index + 1, " of ", plan.parts.size(), ", ", plan.parts[index],
                ", is missing: mount its drive there, or write its new place into \"parts\" in ",
                (directory / kManifestName).string())};
}

Result<std::vector<Path>> part_directories(const Path& directory, const StorePlan& plan) {
    std::vector<Path> parts;
    for (size_t i = 0; i < plan.parts.size(); ++i) {
        parts.push_back(i == 0 ? directory : Path(plan.parts[i]));
        if (i == 0 || holds_experts(parts.back(), plan.layers)) continue;
        return missing_part(directory, plan, i);
    }
    return parts;
}

Result<ExpertSource> locate_stored_experts(const Path& directory, const StoreManifest& manifest) {
    const StorePlan& plan = manifest.plan;
    const std::vector<Path> parts = TRY(part_directories(directory, plan));
    TRY(check_config(directory, manifest));
    TRY(check_dense(directory, plan));
    const auto part_count = static_cast<int32_t>(parts.size());
    std::vector<Path> files;
    for (int32_t l = 0; l < plan.layers; ++l) {
        for (int32_t p = 0; p < part_count; ++p) {
            files.push_back(parts[static_cast<size_t>(p)] / expert_file_name(l));
            TRY(check_expert_file(files.back(), plan.file_bytes({l}, p),
                                  {.store = plan.id,
                                   .layer = static_cast<uint32_t>(l),
                                   .part = static_cast<uint32_t>(p),
                                   .parts = static_cast<uint32_t>(part_count)}));
        }
    }
    ExpertSource source(std::move(files), plan.layers, plan.experts);
    for (int32_t l = 0; l < plan.layers; ++l) {
        const std::vector<uint64_t> offsets = plan.record_offsets({l});
        for (int32_t e = 0; e < plan.experts; ++e) {
            const ExpertKey key{{l}, {e}};
            ExpertRecord& record = source.record(key);
            record = stored_record(plan.format(key), plan.shape, l * part_count + plan.part_of({e}),
                                   offsets[static_cast<size_t>(e)]);
            record.checksum = manifest.expert_checksums[plan.index(key)];
        }
    }
    return source;
}

}  // namespace millrace
