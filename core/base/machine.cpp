#include "core/base/machine.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include "core/base/strings.h"

namespace millrace {
namespace {

// "" when the system has no such file or keeps it from us. Read as a stream: files of /proc and /sys claim to be empty.
std::string system_text(const Path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::optional<uint64_t> number(std::string_view text) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end == text.data()) return std::nullopt;
    return value;
}

template <class T>
void tighten(std::optional<T>& limit, std::optional<T> other) {
    if (other && (!limit || *other < *limit)) limit = other;
}

// "cpu.max": "max 100000" or "150000 100000".
std::optional<double> cpus_of(const std::string& quota, const std::string& period) {
    const std::optional<uint64_t> used = number(quota), of = number(period);
    if (!used || !of || *used == 0 || *of == 0) return std::nullopt;
    return static_cast<double>(*used) / static_cast<double>(*of);
}

// Version 1 writes the largest number of pages for "no limit".
std::optional<uint64_t> memory_of(const std::string& text) {
    constexpr uint64_t kNoLimit = uint64_t{1} << 60;
    const std::optional<uint64_t> bytes = number(text);
    return bytes && *bytes < kNoLimit ? bytes : std::nullopt;
}

void read_version_2(const Path& directory, GroupLimits& limits) {
    std::istringstream cpu(system_text(directory / "cpu.max"));
    std::string quota, period;
    cpu >> quota >> period;
    tighten(limits.cpus, cpus_of(quota, period));
    tighten(limits.memory_bytes, memory_of(system_text(directory / "memory.max")));
}

void read_memory_version_1(const Path& directory, GroupLimits& limits) {
    tighten(limits.memory_bytes, memory_of(system_text(directory / "memory.limit_in_bytes")));
}

void read_cpu_version_1(const Path& directory, GroupLimits& limits) {
    const std::string quota = system_text(directory / "cpu.cfs_quota_us");  // −1: none
    tighten(limits.cpus, cpus_of(quota, system_text(directory / "cpu.cfs_period_us")));
}

// The group and every group above it. Inside a container the path may be one of the machine outside: then only the top
// is there to read.
template <class Read>
void walk_up(const Path& mount, const Path& group, const Read& read) {
    Path at = group.relative_path();
    while (!at.empty()) {
        read(mount / at);
        at = at.parent_path();
    }
    read(mount);
}

// "Rss:   1234 kB" → bytes.
uint64_t field(const std::string& text, std::string_view name) {
    const std::string start = cat(name, ":");
    size_t at = text.starts_with(start) ? 0 : text.find(cat("\n", start));
    if (at == std::string::npos) return 0;
    at = text.find_first_of("0123456789", at);
    if (at == std::string::npos) return 0;
    return number(std::string_view(text).substr(at)).value_or(0) * 1024;
}

// The lowest CPU among those that share a core with `cpu`: "0,32" or "4-5".
int core_of(int cpu, const Path& root) {
    const Path topology = root / "sys/devices/system/cpu" / cat("cpu", cpu) / "topology";
    std::string text = system_text(topology / "core_cpus_list");
    if (text.empty()) text = system_text(topology / "thread_siblings_list");
    const std::optional<uint64_t> first = number(text);
    return first ? static_cast<int>(*first) : cpu;
}

}  // namespace

std::vector<int> cores_first(const std::vector<int>& cpus, const Path& root) {
    std::vector<int> first, others, cores;
    for (const int cpu : cpus) {
        const int core = core_of(cpu, root);
        const bool taken = std::ranges::find(cores, core) != cores.end();
        (taken ? others : first).push_back(cpu);
        cores.push_back(core);
    }
    first.insert(first.end(), others.begin(), others.end());
    return first;
}

std::vector<int> allowed_cpus() {
    std::vector<int> cpus;
    // The kernel refuses a mask that is shorter than its own; there is no machine with so many.
    for (size_t count = 1024; count <= size_t{1} << 20; count *= 4) {
        cpu_set_t* set = CPU_ALLOC(count);
        const size_t bytes = CPU_ALLOC_SIZE(count);
        const bool told = set != nullptr && ::sched_getaffinity(0, bytes, set) == 0;
        for (size_t cpu = 0; told && cpu < count; ++cpu) {
            if (CPU_ISSET_S(cpu, bytes, set)) cpus.push_back(static_cast<int>(cpu));
        }
        CPU_FREE(set);
        if (told) break;
    }
    if (cpus.empty()) {
        const auto count = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
        for (int cpu = 0; cpu < count; ++cpu) cpus.push_back(cpu);
    }
    return cores_first(cpus);
}

GroupLimits group_limits(const Path& root) {
    GroupLimits limits;
    const Path mount = root / "sys/fs/cgroup";
    std::istringstream groups(system_text(root / "proc/self/cgroup"));
    std::string line;
    while (std::getline(groups, line)) {  // "0::/path", or "4:memory:/path"
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = cat(",", line.substr(first + 1, second - first - 1), ",");
        const Path group = line.substr(second + 1);
        if (controllers == ",,") {
            for (const Path& top : {mount, mount / "unified"}) {
                walk_up(top, group, [&](const Path& at) { read_version_2(at, limits); });
            }
        }
        if (controllers.find(",memory,") != std::string::npos) {
            walk_up(mount / "memory", group,
                    [&](const Path& at) { read_memory_version_1(at, limits); });
        }
        if (controllers.find(",cpu,") != std::string::npos) {
            for (const Path& top : {mount / "cpu", mount / "cpu,cpuacct"}) {
                walk_up(top, group, [&](const Path& at) { read_cpu_version_1(at, limits); });
            }
        }
    }
    return limits;
}

int usable_threads(size_t cpus, const GroupLimits& limits) {
    auto threads = static_cast<int>(cpus);
    if (limits.cpus) threads = std::min(threads, static_cast<int>(std::ceil(*limits.cpus)));
    return std::max(1, threads);
}

int usable_threads() { return usable_threads(allowed_cpus().size(), group_limits()); }

MachineMemory machine_memory(const Path& root) {
    const std::string text = system_text(root / "proc/meminfo");
    return {.total_bytes = field(text, "MemTotal"), .available_bytes = field(text, "MemAvailable")};
}

ResidentMemory resident_memory(const Path& root) {
    const std::string text = system_text(root / "proc/self/smaps_rollup");
    ResidentMemory memory;
    memory.total_bytes = field(text, "Rss");
    memory.own_bytes = field(text, "Anonymous");
    memory.mapped_bytes = memory.total_bytes - std::min(memory.total_bytes, memory.own_bytes);
    memory.huge_bytes = field(text, "AnonHugePages");
    return memory;
}

}  // namespace millrace
