#pragma once
// The directory of the archive: records in and out of files, nothing remembered. Any thread may call.

#include <optional>
#include <string>
#include <vector>

#include "core/base/disk.h"
#include "offload/kv_index.h"
#include "offload/kv_record.h"

namespace millrace {

class KvFiles {
public:
    // `salt` tells this process's unfinished files from those of others.
    KvFiles(Disk& disk, Path directory, const ArchiveKey& key, std::string salt)
        : disk_(disk), directory_(std::move(directory)), sealer_(key), salt_(std::move(salt)) {}

    // What of the directory is the archive's. Unfinished files belong to processes that ended in the middle; one that still
    // runs loses a page when its own are removed, no more.
    enum class Unfinished { kLeave, kRemove };
    [[nodiscard]] Result<std::vector<KvFileName>> list(Unfinished unfinished);

    struct Seen {
        KvSight sight = KvSight::kBroken;
        KvRecord record;  // kOurs: it is what the name says
        uint64_t bytes = 0;
    };
    // Nothing when it cannot be opened or read.
    [[nodiscard]] std::optional<Seen> look(const KvKey& key, KvPart part);
    // The bytes of the file of `record`, in the scratch.
    [[nodiscard]] Result<std::span<const std::byte>> seal(KvRecord& record,
                                                          std::span<const std::byte> bytes,
                                                          const ArchiveKey::Nonce& nonce,
                                                          KvScratch& scratch) const {
        return sealer_.seal(record, bytes, nonce, scratch);
    }
    // What was sealed, under its name: whole or not at all.
    [[nodiscard]] Status put(const KvKey& key, KvPart part, std::span<const std::byte> file);
    // All of `out`, and the size of the file; kNotFound, kIo or kCorrupt.
    [[nodiscard]] Result<uint64_t> read(const KvKey& key, KvPart part, std::span<std::byte> out,
                                        KvScratch& scratch);
    // The same for who does not know how much there is: at most `bytes_max`.
    [[nodiscard]] Result<std::vector<std::byte>> read_all(const KvKey& key, KvPart part,
                                                          uint64_t bytes_max, KvScratch& scratch);
    Status remove(const KvKey& key, KvPart part) { return disk_.remove(path(key, part)); }
    // Overwrites the nonce, without which nobody can decrypt what a drive may keep of the rest, and removes the file.
    [[nodiscard]] Status wipe(const KvFileName& name);
    // Names that were removed or renamed stay so after a loss of power.
    [[nodiscard]] Status sync() { return disk_.sync_directory(directory_); }
    [[nodiscard]] const Path& directory() const { return directory_; }

private:
    [[nodiscard]] Path path(const KvKey& key, KvPart part) const {
        return directory_ / kv_file_name(key, part);
    }
    struct Opened {
        std::span<std::byte> whole;
        KvRecord record;
    };
    [[nodiscard]] Result<Opened> open(const KvKey& key, KvPart part, uint64_t file_bytes_max,
                                      KvScratch& scratch);

    Disk& disk_;
    const Path directory_;
    const KvSealer sealer_;
    const std::string salt_;
};

}  // namespace millrace
