#pragma once
// What this process may use of the machine: CPUs by its affinity mask and its control group's quota, memory by the machine
// and by its control group (version 2 or 1). And what it does use. Nothing here fails: what the system does not tell is
// reported as no limit.

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/file.h"

namespace millrace {

// The CPUs of the calling thread's affinity mask: one thread of every core first, then the cores' other threads.
[[nodiscard]] std::vector<int> allowed_cpus();
// The same order for a given set, by what `root`/sys says about who shares a core.
[[nodiscard]] std::vector<int> cores_first(const std::vector<int>& cpus, const Path& root = "/");

// Limits of the process's control group: the tightest on the way up from it.
struct GroupLimits {
    std::optional<uint64_t> memory_bytes;
    std::optional<double> cpus;  // 1.5: one and a half CPUs' time
};
[[nodiscard]] GroupLimits group_limits(const Path& root = "/");

// Threads that can compute at the same time: allowed CPUs, at most the quota rounded up, at least 1.
[[nodiscard]] int usable_threads(size_t cpus, const GroupLimits& limits);
[[nodiscard]] int usable_threads();

// Memory of the machine, 0 where it is not told.
struct MachineMemory {
    uint64_t total_bytes = 0;
    uint64_t available_bytes = 0;
};
[[nodiscard]] MachineMemory machine_memory(const Path& root = "/");

// What of this process lies in memory now.
struct ResidentMemory {
    uint64_t total_bytes = 0;
    uint64_t own_bytes = 0;     // anonymous: heap, slots, KV state
    uint64_t mapped_bytes = 0;  // pages of files, shared with the system's cache
    uint64_t huge_bytes = 0;    // of own_bytes, in huge pages
};
[[nodiscard]] ResidentMemory resident_memory(const Path& root = "/");

}  // namespace millrace
