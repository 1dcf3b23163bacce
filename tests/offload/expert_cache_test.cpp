// The cache on real files: every byte against the file, for every way of reading, and every refusal that a machine, a
// container or a broken download can bring.

#include "offload/expert_cache.h"

#include <doctest/doctest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/base/random.h"
#include "offload/drive_files.h"
#include "offload/open_reader.h"
#include "offload/uring_reader.h"
#include "tests/offload/random_layout.h"
#include "tests/support/simulated_drive.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {
namespace {

static_assert(!std::is_copy_constructible_v<Lease> && !std::is_copy_constructible_v<LeaseBatch>);
static_assert(std::is_nothrow_move_constructible_v<Lease>);

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// A random layout whose files exist, filled as the simulated drive's would be.
struct RealLayout {
    TempDirectory directory;
    ExpertLayout layout;

    explicit RealLayout(uint64_t seed, uint64_t range_bytes_max = 60'000) {
        Random random(seed);
        RandomLayout made = random_layout(random, range_bytes_max);
        layout = std::move(made.layout);
        for (size_t i = 0; i < layout.files.size(); ++i) {
            std::vector<std::byte> bytes(made.file_bytes[i]);
            SimulatedDrive::truth(static_cast<int32_t>(i), 0, bytes);
            layout.files[i] = directory.path() / layout.files[i];
            REQUIRE(write_file(layout.files[i], bytes).ok());
        }
    }

    // The number of unequal ranges of entry `i`.
    int unequal(const LeaseBatch& batch, size_t i, ExpertKey key) const {
        const ExpertPlace& place = layout.place(key);
        int count = 0;
        for (int32_t r = 0; r < place.range_count; ++r) {
            const FileRange& range = place.ranges[static_cast<size_t>(r)];
            std::vector<std::byte> expected(range.bytes);
            SimulatedDrive::truth(range.file, range.offset, expected);
            count += std::memcmp(batch.data(i, r), expected.data(), range.bytes) == 0 ? 0 : 1;
        }
        return count;
    }

    // Reads random experts for a while. The first error, or the number of unequal ranges.
    Result<int> use(ExpertCache& cache, uint64_t seed, int rounds) const {
        Random random(seed);
        int wrong = 0;
        for (int round = 0; round < rounds; ++round) {
            const LayerId layer{
                static_cast<int32_t>(random.below(static_cast<uint64_t>(layout.layers)))};
            const auto ids = random_experts(random, layout.experts, cache.max_batch());
            if (round % 3 == 0) cache.hint({round % layout.layers}, ids);
            LeaseBatch batch = TRY(cache.acquire(layer, ids));
            if (round % 5 == 4) continue;  // dropped with its reads in flight
            for (;;) {
                const std::optional<size_t> i = TRY(batch.next());
                if (!i) break;
                wrong += unequal(batch, *i, {layer, ids[*i]});
            }
        }
        return wrong;
    }
};

ExpertCacheOptions small_options(const ExpertLayout& layout, int32_t slots) {
    ExpertCacheOptions options;
    options.min_slots = std::min<int32_t>(slots, 3);
    options.ram_budget_bytes = static_cast<uint64_t>(slots) * layout.slot_bytes();
    options.chunk_bytes = 16 << 10;
    options.window_bytes = 256 << 10;
    return options;
}

bool uring_works() {
    static constexpr uint64_t kBytes = kBlockBytes;
    const Result<PageBuffer> arena = PageBuffer::create(kBytes, HugePages::kNo);
    DriveFiles none;
    const Result<std::unique_ptr<Reader>> ring = UringReader::create(none, arena->bytes(), 1);
    if (!ring.ok()) MESSAGE("skipped: ", ring.error().message);
    return ring.ok();
}

void read_everything(IoBackend backend, DirectIo direct, const std::string& name) {
    SystemClock clock;
    for (uint64_t seed = 1; seed <= 12; ++seed) {
        CAPTURE(seed);
        const RealLayout real(seed);
        const auto slots = static_cast<int32_t>(2 + seed % 7);
        ExpertCacheOptions options = small_options(real.layout, slots);
        options.backend = backend;
        options.direct = direct;
        auto cache = ExpertCache::create(real.layout, options, clock);
        if (!cache.ok()) FAIL(cache.error().message);
        const Result<int> wrong = real.use(**cache, seed, 40);
        if (!wrong.ok()) FAIL(wrong.error().message);
        CHECK(*wrong == 0);
        const ExpertCacheStats stats = (*cache)->stats();
        CHECK(stats.backend == name);
        CHECK(stats.bytes_read > 0);
        CHECK(stats.drive_busy_ns > 0);
        CHECK(stats.bandwidth() > 0);
        if (direct == DirectIo::kOff) CHECK_FALSE(stats.direct);
        CHECK(stats.slots == std::min<int64_t>(slots, real.layout.expert_count()));
        CHECK(stats.misses > 0);
    }
}

TEST_CASE("io_uring reads what is in the files") {
    if (!uring_works()) return;
    read_everything(IoBackend::kUring, DirectIo::kAuto, "io_uring");
    read_everything(IoBackend::kUring, DirectIo::kOff, "io_uring");
}

TEST_CASE("preads read what is in the files") {
    read_everything(IoBackend::kPread, DirectIo::kAuto, "pread");
    read_everything(IoBackend::kPread, DirectIo::kOff, "pread");
}

TEST_CASE("chunks of a megabyte, an expert larger than the window") {
    SystemClock clock;
    const RealLayout real(77, 3'000'000);
    ExpertCacheOptions options = small_options(real.layout, 3);
    options.chunk_bytes = 1 << 20;
    options.window_bytes = 2 << 20;
    auto cache = ExpertCache::create(real.layout, options, clock);
    if (!cache.ok()) FAIL(cache.error().message);
    const Result<int> wrong = real.use(**cache, 1, 10);
    if (!wrong.ok()) FAIL(wrong.error().message);
    CHECK(*wrong == 0);
}

TEST_CASE("a file without O_DIRECT is read through the page cache, and the notes say so") {
    const RealLayout real(5);
    const DriveFiles::Opener refuse = [](const Path& path, int flags) -> Result<File> {
        if (flags != 0) return io_error("opening", path, EINVAL);
        return File::open(path);
    };
    Result<DriveFiles> files = DriveFiles::open(real.layout.files, DirectIo::kAuto, refuse);
    REQUIRE(files.ok());
    CHECK_FALSE(files->is_direct(0));
    CHECK(contains(files->notes(), "page cache"));
    CHECK(contains(files->notes(), "shard-0"));
}

TEST_CASE("where io_uring is refused, preads take over, unless it was demanded") {
    const RealLayout real(6);
    const UringOpener refuse = [](DriveFiles&, std::span<std::byte>,
                                  int32_t) -> Result<std::unique_ptr<Reader>> {
        return Error{ErrorCode::kUnsupported, "io_uring is refused: for a test"};
    };
    ReaderChoice choice;
    Result<DriveFiles> files = DriveFiles::open(real.layout.files, DirectIo::kOff);
    REQUIRE(files.ok());
    const Result<OpenedReader> reader = open_reader(std::move(*files), {}, choice, refuse);
    REQUIRE(reader.ok());
    CHECK(reader->reader->name() == "pread");
    CHECK(contains(reader->notes, "for a test"));

    choice.backend = IoBackend::kUring;
    files = DriveFiles::open(real.layout.files, DirectIo::kOff);
    const Result<OpenedReader> demanded = open_reader(std::move(*files), {}, choice, refuse);
    REQUIRE_FALSE(demanded.ok());
    CHECK(demanded.error().code == ErrorCode::kUnsupported);
}

// Runs `child` in a process of its own; its result is the exit code.
template <class Child>
int in_child(const Child& child) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(child());
    REQUIRE(pid > 0);
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// As container runtimes do: io_uring_setup answers `error_number`.
bool deny_io_uring(int error_number) {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error_number)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{std::size(program), program};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_CASE("a seccomp filter that denies io_uring leads to preads") {
    const RealLayout real(7);
    for (const int error_number : {EPERM, ENOSYS}) {
        const int code = in_child([&] {
            if (!deny_io_uring(error_number)) return 77;
            SystemClock clock;
            ExpertCacheOptions options = small_options(real.layout, 4);
            options.backend = IoBackend::kUring;
            const auto demanded = ExpertCache::create(real.layout, options, clock);
            if (demanded.ok() || demanded.error().code != ErrorCode::kUnsupported) return 1;
            options.backend = IoBackend::kAuto;
            auto cache = ExpertCache::create(real.layout, options, clock);
            if (!cache.ok()) return 2;
            const Result<int> wrong = real.use(**cache, 1, 20);
            if (!wrong.ok() || *wrong != 0) return 3;
            const ExpertCacheStats stats = (*cache)->stats();
            if (stats.backend != "pread") return 4;
            return contains(stats.backend_notes, std::strerror(error_number)) ? 0 : 5;
        });
        if (code == 77) {
            MESSAGE("skipped: this machine refuses seccomp filters");
            return;
        }
        CHECK(code == 0);
    }
}

TEST_CASE("without permission to lock memory it reads without registered slots") {
    const RealLayout real(8);
    ::chmod(real.directory.path().c_str(), 0755);
    const int code = in_child([&] {
        const rlimit none{4096, 4096};
        constexpr uid_t kNobody = 65534;
        if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0) return 77;
        if (::geteuid() == 0 && ::setuid(kNobody) != 0) return 77;
        SystemClock clock;
        auto cache = ExpertCache::create(real.layout, small_options(real.layout, 4), clock);
        if (!cache.ok()) return 2;
        const Result<int> wrong = real.use(**cache, 1, 20);
        return wrong.ok() && *wrong == 0 ? 0 : 3;
    });
    if (code == 77) MESSAGE("skipped: the limit on locked memory cannot be set");
    CHECK((code == 0 || code == 77));
}

TEST_CASE("a budget that is too small says which would do") {
    SystemClock clock;
    const RealLayout real(9);
    ExpertCacheOptions options = small_options(real.layout, 4);
    options.ram_budget_bytes = 3 * real.layout.slot_bytes() - 1;
    const auto cache = ExpertCache::create(real.layout, options, clock);
    REQUIRE_FALSE(cache.ok());
    CHECK(cache.error().code == ErrorCode::kCapacity);
    INFO(cache.error().message);
    CHECK(contains(cache.error().message, "holds 2 experts"));
    CHECK(contains(cache.error().message, "needs 3 slots; use --ram-budget "));
    CHECK(contains(cache.error().message, "M or more"));
}

TEST_CASE("a budget for more than all experts takes one slot each, and reads each once") {
    SystemClock clock;
    const RealLayout real(10);
    ExpertCacheOptions options = small_options(real.layout, 4);
    options.ram_budget_bytes = ~uint64_t{0};
    auto cache = ExpertCache::create(real.layout, options, clock);
    REQUIRE(cache.ok());
    CHECK((*cache)->slots() == real.layout.expert_count());
    std::vector<ExpertId> ids;
    for (int32_t i = 0; i < real.layout.experts; ++i) ids.push_back({i});
    for (int time = 0; time < 2; ++time) {
        for (int32_t layer = 0; layer < real.layout.layers; ++layer) {
            Result<LeaseBatch> batch = (*cache)->acquire({layer}, ids);
            REQUIRE(batch.ok());
            for (size_t i = 0; i < ids.size(); ++i) REQUIRE(batch->next().ok());
        }
    }
    const ExpertCacheStats stats = (*cache)->stats();
    CHECK(stats.misses == static_cast<uint64_t>(real.layout.expert_count()));
    CHECK(stats.hits == stats.misses);
    CHECK(stats.evictions == 0);
}

TEST_CASE("experts that do not exist and batches that do not fit are errors that change nothing") {
    SystemClock clock;
    const RealLayout real(11);
    REQUIRE(real.layout.experts >= 5);
    auto cache = ExpertCache::create(real.layout, small_options(real.layout, 4), clock);
    REQUIRE(cache.ok());
    const std::vector<ExpertId> wrong = {{0}, {real.layout.experts}};
    const std::vector<ExpertId> two = {{0}, {1}}, other = {{2}, {3}}, four = {{0}, {1}, {2}, {3}};
    CHECK((*cache)->acquire({0}, wrong).error().code == ErrorCode::kInvalid);
    CHECK((*cache)->acquire({-1}, two).error().code == ErrorCode::kInvalid);
    CHECK((*cache)->acquire({real.layout.layers}, two).error().code == ErrorCode::kInvalid);
    CHECK((*cache)->acquire({0}, four).error().code == ErrorCode::kCapacity);
    (*cache)->hint({real.layout.layers}, wrong);
    {
        const Result<LeaseBatch> first = (*cache)->acquire({0}, two);
        const Result<LeaseBatch> second = (*cache)->acquire({0}, other);
        REQUIRE((first.ok() && second.ok()));
        CHECK((*cache)->acquire({0}, std::vector<ExpertId>{{4}}).error().code ==
              ErrorCode::kCapacity);
        // What is pinned already can be had once more.
        CHECK((*cache)->acquire({0}, two).ok());
    }
    Result<LeaseBatch> after = (*cache)->acquire({0}, std::vector<ExpertId>{{4}});
    REQUIRE(after.ok());
    CHECK(after->next().ok());
    LeaseBatch empty = std::move(*(*cache)->acquire({0}, {}));
    CHECK_FALSE(empty.next()->has_value());
}

TEST_CASE("files that are missing, too short or lying are refused at the start") {
    SystemClock clock;
    const RealLayout real(12);
    const ExpertCacheOptions options = small_options(real.layout, 4);
    ExpertLayout layout = real.layout;
    layout.files[0] += ".missing";
    CHECK(ExpertCache::create(layout, options, clock).error().code == ErrorCode::kNotFound);

    layout = real.layout;
    const auto file = static_cast<size_t>(layout.places[0].ranges[0].file);
    std::filesystem::resize_file(layout.files[file],
                                 std::filesystem::file_size(layout.files[file]) - 1);
    const Error cut = ExpertCache::create(layout, options, clock).error();
    CHECK(cut.code == ErrorCode::kCorrupt);
    CHECK(contains(cut.message, layout.files[file].string()));
    CHECK(contains(cut.message, "truncated"));

    const auto refused = [&](const FileRange& range) {
        ExpertLayout lying = real.layout;
        lying.places.back().ranges[0] = range;
        return ExpertCache::create(lying, options, clock).error().code;
    };
    CHECK(refused({0, 0, 0}) == ErrorCode::kInvalid);
    CHECK(refused({0, ~uint64_t{0} - 10, 100}) == ErrorCode::kInvalid);
    CHECK(refused({0, 0, uint64_t{1} << 63}) == ErrorCode::kInvalid);
    CHECK(refused({static_cast<int32_t>(layout.files.size()), 0, 1}) == ErrorCode::kInvalid);
    CHECK(refused({-1, 0, 1}) == ErrorCode::kInvalid);
    CHECK(refused({0, uint64_t{1} << 40, 100}) == ErrorCode::kCorrupt);
    layout.places.pop_back();
    CHECK(ExpertCache::create(layout, options, clock).error().code == ErrorCode::kInvalid);
}

TEST_CASE(
    "a file that shrinks while it is in use is one clear error, and others can still be read") {
    SystemClock clock;
    for (const IoBackend backend : {IoBackend::kAuto, IoBackend::kPread}) {
        const RealLayout real(13);
        ExpertCacheOptions options = small_options(real.layout, 4);
        options.backend = backend;
        auto cache = ExpertCache::create(real.layout, options, clock);
        REQUIRE(cache.ok());
        const ExpertPlace& place = real.layout.places[0];
        const FileRange& range = place.ranges[0];
        const Path& path = real.layout.files[static_cast<size_t>(range.file)];
        std::filesystem::resize_file(path, range.offset + range.bytes / 2);
        {
            Result<LeaseBatch> batch = (*cache)->acquire({0}, std::vector<ExpertId>{{0}});
            REQUIRE(batch.ok());
            const Result<std::optional<size_t>> next = batch->next();
            REQUIRE_FALSE(next.ok());
            CHECK(next.error().code == ErrorCode::kCorrupt);
            CHECK(contains(next.error().message, path.string()));
            CHECK(contains(next.error().message, "expert 0 of layer 0"));
            CHECK(!batch->next()->has_value());
        }
        std::vector<std::byte> bytes(range.end() + (1 << 20));
        SimulatedDrive::truth(range.file, 0, bytes);
        std::filesystem::resize_file(path, 0);
        // Written in place: the cache has this very file open.
        FILE* out = std::fopen(path.c_str(), "r+b");
        REQUIRE(out != nullptr);
        CHECK(std::fwrite(bytes.data(), 1, bytes.size(), out) == bytes.size());
        std::fclose(out);
        Result<LeaseBatch> again = (*cache)->acquire({0}, std::vector<ExpertId>{{0}});
        REQUIRE(again.ok());
        REQUIRE(again->next().ok());
        CHECK(real.unequal(*again, 0, {{0}, {0}}) == 0);
        CHECK((*cache)->stats().failures == 1);
    }
}

// Eight experts of three blocks on a drive without faults that reads one block at a time; four slots, two of which
// may be hinted.
struct SlowDrive {
    SimulatedClock clock;
    std::unique_ptr<ExpertCache> cache;

    SlowDrive() {
        ExpertLayout layout;
        layout.files = {"shard"};
        layout.layers = 1;
        layout.experts = 8;
        for (uint64_t i = 0; i < 8; ++i) {
            ExpertPlace place;
            place.ranges[0] = {0, 3 * i * kBlockBytes, 3 * kBlockBytes};
            place.range_count = 1;
            layout.places.push_back(place);
        }
        ExpertCacheOptions options;
        options.min_slots = 3;
        options.ram_budget_bytes = 4 * layout.slot_bytes();
        options.chunk_bytes = kBlockBytes;
        const std::vector<uint64_t> sizes = {24 * kBlockBytes};
        auto drive = std::make_unique<SimulatedDrive>(1, sizes, 1, DriveFaults{}, 0, clock);
        auto made =
            ExpertCache::create_on(layout, options, clock, std::move(drive), IoRunsOn::kCaller);
        REQUIRE(made.ok());
        cache = std::move(*made);
    }

    LeaseBatch acquire(const std::vector<ExpertId>& ids) const {
        Result<LeaseBatch> batch = cache->acquire({0}, ids);
        REQUIRE(batch.ok());
        return std::move(*batch);
    }
    LeaseBatch read(const std::vector<ExpertId>& ids) const {
        LeaseBatch batch = acquire(ids);
        for (size_t i = 0; i < ids.size(); ++i) REQUIRE(batch.next().ok());
        return batch;
    }
    uint64_t blocks_read() const { return cache->stats().bytes_read / kBlockBytes; }
};

TEST_CASE("a hinted expert is there when it is asked for, and read once") {
    const SlowDrive drive;
    drive.cache->hint({0}, std::vector<ExpertId>{{0}, {1}, {2}});
    CHECK(drive.cache->stats().hints_refused == 1);
    { const LeaseBatch batch = drive.read({{0}, {1}}); }
    const ExpertCacheStats stats = drive.cache->stats();
    CHECK(stats.hint_reads == 2);
    CHECK(stats.hint_hits == 2);
    CHECK(stats.joins == 2);
    CHECK(stats.misses == 0);
    CHECK(drive.blocks_read() == 6);
}

TEST_CASE("demand is read before hints") {
    const SlowDrive drive;
    drive.cache->hint({0}, std::vector<ExpertId>{{0}, {1}});
    const LeaseBatch batch = drive.read({{2}, {3}});
    CHECK(drive.blocks_read() ==
          7);  // the one hinted block that was in flight, and six demanded ones
}

TEST_CASE("hints give way to demand that finds no other slot") {
    const SlowDrive drive;
    const LeaseBatch held = drive.read({{2}, {3}});
    drive.cache->hint({0}, std::vector<ExpertId>{{0}, {1}});
    const LeaseBatch batch = drive.read({{4}, {5}});
    CHECK(drive.blocks_read() == 6 + 1 + 6);  // again, only the hinted block in flight
}

TEST_CASE("a batch that is dropped reads no more than is in flight") {
    const SlowDrive drive;
    { const LeaseBatch dropped = drive.acquire({{0}, {1}}); }
    const LeaseBatch batch = drive.read({{2}, {3}});
    CHECK(drive.blocks_read() == 1 + 6);
}

TEST_CASE("what was used last stays longest") {
    const SlowDrive drive;
    for (const int32_t expert : {0, 1, 2, 3, 0, 4}) drive.read({{expert}});
    CHECK(drive.cache->stats().misses == 5);
    drive.read({{0}});  // 1 made room for 4
    CHECK(drive.cache->stats().misses == 5);
    drive.read({{1}});
    CHECK(drive.cache->stats().misses == 6);
}

TEST_CASE("statistics may be read by another thread while the cache works") {
    SystemClock clock;
    const RealLayout real(14);
    auto cache = ExpertCache::create(real.layout, small_options(real.layout, 3), clock);
    REQUIRE(cache.ok());
    uint64_t last = 0;
    bool falls = false;
    std::jthread watcher([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            const uint64_t bytes = (*cache)->stats().bytes_read;
            falls = falls || bytes < last;
            last = bytes;
            std::this_thread::yield();
        }
    });
    const Result<int> wrong = real.use(**cache, 3, 60);
    watcher.request_stop();
    watcher.join();
    REQUIRE(wrong.ok());
    CHECK(*wrong == 0);
    CHECK_FALSE(falls);
}

}  // namespace
TEST_CASE("a batch knows whether it has an expert ready that nobody has asked for") {
    const RealLayout real(31);
    SystemClock clock;
    ExpertCacheOptions options = small_options(real.layout, 3);
    options.min_slots = 1;
    const auto cache = ExpertCache::create(real.layout, options, clock);
    REQUIRE(cache.ok());
    CHECK_FALSE(LeaseBatch().ready());
    const std::vector<ExpertId> ids = {{0}, {1}};
    // The second time both are in memory.
    for (int time = 0; time < 2; ++time) {
        Result<LeaseBatch> batch = (*cache)->acquire(LayerId{0}, ids);
        REQUIRE(batch.ok());
        if (time == 1) CHECK(batch->ready());
        REQUIRE(batch->next().ok());
        if (time == 1) CHECK(batch->ready());
        REQUIRE(batch->next().ok());
        CHECK_FALSE(batch->ready());
        REQUIRE_FALSE(batch->next()->has_value());
    }
}

TEST_CASE("bytes may be changed in place once for every time that they are read") {
    const RealLayout real(31);
    SystemClock clock;
    ExpertCacheOptions options = small_options(real.layout, 3);
    options.min_slots = 1;
    const auto cache = ExpertCache::create(real.layout, options, clock);
    REQUIRE(cache.ok());
    // Whether it is the first use of expert `e`, whose first byte is then set to `mark`; and the byte that is found.
    const auto use = [&](int32_t e, std::byte mark) {
        const ExpertId id{e};
        Result<LeaseBatch> batch = (*cache)->acquire(LayerId{0}, {&id, 1});
        REQUIRE(batch.ok());
        const auto ready = batch->next();
        REQUIRE((ready.ok() && *ready));
        const bool first = batch->first_use(0);
        CHECK_FALSE(batch->first_use(0));
        if (first) {
            CHECK(real.unequal(*batch, 0, {LayerId{0}, id}) == 0);
            *batch->writable(0, 0) = mark;
        }
        return std::pair(first, *batch->data(0, 0));
    };
    CHECK(use(0, std::byte{0xA5}).first);
    const auto again = use(0, std::byte{0});
    CHECK_FALSE(again.first);
    CHECK(again.second == std::byte{0xA5});
    // Other experts drive it out; read anew it is fresh, and as the file has it (checked above).
    for (int round = 0; round < 8; ++round) {
        for (int32_t e = 1; e < std::min(real.layout.experts, 6); ++e) use(e, std::byte{0});
    }
    CHECK(use(0, std::byte{0x5A}).first == (real.layout.experts > 3));
}

}  // namespace millrace::test
