#pragma once
// The KV archive of this machine's user, with everything that it lives on.

#include <memory>

#include "app/options.h"
#include "app/terminal.h"
#include "offload/kv_archive.h"

namespace millrace {

class ArchiveHome {
public:
    [[nodiscard]] static Result<std::unique_ptr<ArchiveHome>> open(const Path& state_directory,
                                                                   const KvArchiveOptions& options);
    [[nodiscard]] KvArchive& archive() { return *archive_; }

private:
    ArchiveHome() = default;

    SystemDisk disk_;
    SystemEntropy entropy_;
    SystemCalendar calendar_;
    std::unique_ptr<KvArchive> archive_;  // last: it uses all of the above
};

// As the options say; null when there is none. Where nobody asked for one and the disk does not let it be made, a sentence
// on standard error and none. A key that others may read is an error always.
[[nodiscard]] Result<std::unique_ptr<ArchiveHome>> open_archive(const ArchiveOptions& options,
                                                                Terminal& terminal);
// Null for null.
[[nodiscard]] KvArchive* archive_of(const std::unique_ptr<ArchiveHome>& home);
// What the archive has to say, on standard error.
void tell_notices(KvArchive* archive, Terminal& terminal);

}  // namespace millrace
