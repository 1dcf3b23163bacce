#pragma once
// The flags of the KV archive, and of the verb that looks after it.

#include "app/options.h"

namespace CLI {
class App;
}

namespace millrace {

// As they were written; the last part of reading the command line makes options of them.
struct ArchiveFlags {
    std::string directory;
    std::optional<uint64_t> budget_bytes;
};

void add_archive_flags(CLI::App& verb, ArchiveFlags& flags);
void add_cache_flags(CLI::App& verb, CacheOptions& options, ArchiveFlags& flags);
// `state_directory`: "" without a home.
[[nodiscard]] ArchiveOptions archive_options(const ArchiveFlags& flags,
                                             const Path& state_directory);

}  // namespace millrace
