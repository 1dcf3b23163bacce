#include "core/base/machine.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "core/base/memory.h"
#include "core/base/pool.h"
#include "tests/support/temp_directory.h"

namespace millrace {
namespace {

// A root directory with files that say what a test wants a machine to say.
class FakeRoot {
public:
    FakeRoot& with(const Path& file, std::string_view text) {
        const Path path = directory_.path() / file;
        std::filesystem::create_directories(path.parent_path());
        REQUIRE(write_file(path, text).ok());
        return *this;
    }
    FakeRoot& with_core(int cpu, std::string_view siblings) {
        return with("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/core_cpus_list",
                    siblings);
    }
    [[nodiscard]] Path path() const { return directory_.path(); }

private:
    test::TempDirectory directory_;
};

constexpr uint64_t kGiB = uint64_t{1} << 30;

}  // namespace

TEST_CASE("no files: no limits, nothing told") {
    const FakeRoot root;
    const GroupLimits limits = group_limits(root.path());
    CHECK(!limits.memory_bytes);
    CHECK(!limits.cpus);
    CHECK(machine_memory(root.path()).total_bytes == 0);
    CHECK(resident_memory(root.path()).total_bytes == 0);
}

TEST_CASE("version 2: the tightest limit on the way up counts") {
    FakeRoot root;
    root.with("proc/self/cgroup", "0::/user.slice/app.scope\n")
        .with("sys/fs/cgroup/user.slice/app.scope/memory.max", "max\n")
        .with("sys/fs/cgroup/user.slice/app.scope/cpu.max", "150000 100000\n")
        .with("sys/fs/cgroup/user.slice/memory.max", "8589934592\n")
        .with("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
    GroupLimits limits = group_limits(root.path());
    CHECK(limits.memory_bytes == 8 * kGiB);
    CHECK(limits.cpus == 1.5);
    root.with("sys/fs/cgroup/user.slice/app.scope/memory.max", "1073741824\n")
        .with("sys/fs/cgroup/user.slice/cpu.max", "50000 100000\n");
    limits = group_limits(root.path());
    CHECK(limits.memory_bytes == kGiB);
    CHECK(limits.cpus == 0.5);
}

TEST_CASE("version 2 in a container: its own group is the top") {
    FakeRoot root;
    root.with("proc/self/cgroup", "0::/\n")
        .with("sys/fs/cgroup/memory.max", "2147483648\n")
        .with("sys/fs/cgroup/cpu.max", "400000 100000\n");
    const GroupLimits limits = group_limits(root.path());
    CHECK(limits.memory_bytes == 2 * kGiB);
    CHECK(limits.cpus == 4.0);
}

TEST_CASE("version 1: each controller has a tree of its own, and a huge number is no limit") {
    FakeRoot root;
    root.with("proc/self/cgroup", "9:name=systemd:/\n4:memory:/job/7\n1:cpu,cpuacct:/job\n0::/\n")
        .with("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        .with("sys/fs/cgroup/memory/job/7/memory.limit_in_bytes", "3221225472\n")
        .with("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
        .with("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
        .with("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n")
        .with("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    GroupLimits limits = group_limits(root.path());
    CHECK(limits.memory_bytes == 3 * kGiB);
    CHECK(limits.cpus == 2.5);
    root.with("proc/self/cgroup", "4:memory:/elsewhere\n");
    limits = group_limits(root.path());
    CHECK(!limits.memory_bytes);
    CHECK(!limits.cpus);
}

TEST_CASE("files that say nonsense are no limits") {
    FakeRoot root;
    root.with("proc/self/cgroup", "\nno colons\n0::\n:::\n0::/a\n")
        .with("sys/fs/cgroup/memory.max", "")
        .with("sys/fs/cgroup/cpu.max", "0 0\n")
        .with("sys/fs/cgroup/a/memory.max", "-5\n")
        .with("sys/fs/cgroup/a/cpu.max", "100000\n");
    const GroupLimits limits = group_limits(root.path());
    CHECK(!limits.memory_bytes);
    CHECK(!limits.cpus);
}

TEST_CASE("threads: as many as CPUs, fewer by a quota, never none") {
    CHECK(usable_threads(8, {}) == 8);
    CHECK(usable_threads(8, {.memory_bytes = {}, .cpus = 2.5}) == 3);
    CHECK(usable_threads(8, {.memory_bytes = {}, .cpus = 0.1}) == 1);
    CHECK(usable_threads(2, {.memory_bytes = {}, .cpus = 16.0}) == 2);
    CHECK(usable_threads(0, {}) == 1);
    CHECK(usable_threads() >= 1);
    CHECK(usable_threads() <= static_cast<int>(allowed_cpus().size()));
}

TEST_CASE("one thread of every core comes first") {
    FakeRoot root;
    root.with_core(0, "0,4\n").with_core(1, "1,5\n").with_core(4, "0,4\n").with_core(5, "1,5\n");
    root.with_core(2, "2-3\n").with_core(3, "2-3\n");
    CHECK(cores_first({0, 1, 2, 3, 4, 5}, root.path()) == std::vector<int>{0, 1, 2, 3, 4, 5});
    CHECK(cores_first({0, 4, 1, 5}, root.path()) == std::vector<int>{0, 1, 4, 5});
    CHECK(cores_first({4, 5, 3}, root.path()) == std::vector<int>{4, 5, 3});
    CHECK(cores_first({7, 6}, root.path()) ==
          std::vector<int>{7, 6});  // nothing told: all are cores
}

TEST_CASE("the CPUs of this process are CPUs, each named once") {
    const std::vector<int> cpus = allowed_cpus();
    REQUIRE(!cpus.empty());
    CHECK(std::set<int>(cpus.begin(), cpus.end()).size() == cpus.size());
    CHECK(std::ranges::all_of(cpus, [](int cpu) { return cpu >= 0; }));
}

TEST_CASE("memory of the machine and of this process, from files and for real") {
    FakeRoot root;
    root.with("proc/meminfo",
              "MemTotal:       16328892 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n")
        .with("proc/self/smaps_rollup",
              "1000-2000 ---p 00000000 00:00 0 [rollup]\nRss:      4096 kB\nPss:  1 kB\n"
              "Anonymous:   3072 kB\nLazyFree: 0 kB\nAnonHugePages:   2048 kB\n");
    CHECK(machine_memory(root.path()).total_bytes == uint64_t{16328892} * 1024);
    CHECK(machine_memory(root.path()).available_bytes == 2048 * 1024);
    const ResidentMemory memory = resident_memory(root.path());
    CHECK(memory.total_bytes == 4096 * 1024);
    CHECK(memory.own_bytes == 3072 * 1024);
    CHECK(memory.mapped_bytes == 1024 * 1024);
    CHECK(memory.huge_bytes == 2048 * 1024);

    const ResidentMemory before = resident_memory();
    constexpr uint64_t kBytes = uint64_t{64} << 20;
    auto buffer = PageBuffer::create(kBytes, HugePages::kNo);
    REQUIRE(buffer.ok());
    // Reserved is not resident.
    CHECK(resident_memory().total_bytes < before.total_bytes + kBytes / 2);
    std::ranges::fill(buffer->bytes(), std::byte{1});
    const ResidentMemory after = resident_memory();
    CHECK(after.own_bytes >= before.own_bytes + kBytes);
    CHECK(machine_memory().total_bytes > kBytes);
}

}  // namespace millrace
