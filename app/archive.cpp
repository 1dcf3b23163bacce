#include "app/archive.h"

#include "core/base/strings.h"

namespace millrace {

Result<std::unique_ptr<ArchiveHome>> ArchiveHome::open(const Path& state_directory,
                                                       const KvArchiveOptions& options) {
    std::unique_ptr<ArchiveHome> home(new ArchiveHome());
    const ArchiveKey key = TRY(ArchiveKey::open(state_directory, home->entropy_));
    home->archive_ =
        TRY(KvArchive::open({home->disk_, home->entropy_, home->calendar_}, key, options));
    return home;
}

Result<std::unique_ptr<ArchiveHome>> open_archive(const ArchiveOptions& options,
                                                  Terminal& terminal) {
    using Use = ArchiveOptions::Use;
    if (options.use == Use::kOff) return std::unique_ptr<ArchiveHome>();
    if (options.state_directory.empty()) {
        if (options.use == Use::kDefault) return std::unique_ptr<ArchiveHome>();
        return Error{ErrorCode::kInvalid,
                     "there is no home directory to keep the key of the KV archive in; set HOME or "
                     "XDG_STATE_HOME, or use --kv-archive off"};
    }
    auto home = ArchiveHome::open(options.state_directory, {.directory = options.directory,
                                                            .budget_bytes = options.budget_bytes});
    if (home.ok()) {
        tell_notices(archive_of(*home), terminal);
        return home;
    }
    const ErrorCode code = home.error().code;
    const bool unsafe = code == ErrorCode::kInvalid || code == ErrorCode::kCorrupt;
    if (options.use == Use::kChosen || unsafe) return home.error();
    terminal.error(cat("going on without the KV archive: ", home.error().message));
    return std::unique_ptr<ArchiveHome>();
}

KvArchive* archive_of(const std::unique_ptr<ArchiveHome>& home) {
    return home ? &home->archive() : nullptr;
}

void tell_notices(KvArchive* archive, Terminal& terminal) {
    if (archive == nullptr) return;
    for (const std::string& notice : archive->take_notices()) terminal.error(notice);
}

}  // namespace millrace
