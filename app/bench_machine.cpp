// What the machine can do at most: reading memory and caches, dot products in registers, reading from the drive.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "app/bench.h"
#include "app/bench_gpu.h"
#include "core/base/random.h"
#include "core/base/strings.h"
#include "offload/expert_cache.h"

namespace millrace {
namespace {

constexpr double kGiga = 1e-9;
constexpr uint64_t kPartBytes = uint64_t{4} << 20;

uint64_t cache_bytes(int name) {
    const long bytes = ::sysconf(name);
    return bytes > 0 ? static_cast<uint64_t>(bytes) : 0;
}

int64_t parts_of(std::span<const std::byte> bytes, const Pool& pool) {
    const auto wanted = static_cast<int64_t>(bytes.size() / kPartBytes);
    return std::clamp<int64_t>(wanted, pool.threads(), kReadPiecesMax);
}

Status bench_dram(const BenchSetting& setting, BenchReport& report) {
    Pool all(setting.threads);
    const PageBuffer memory =
        TRY(filled_memory(all, setting.sizes.dram_bytes, HugePages::kIfGranted));
    const std::span<const std::byte> huge = memory.bytes().first(setting.sizes.dram_bytes);
    const auto add = [&](std::string row, Pool& pool, std::span<const std::byte> bytes) {
        // In so many parts whatever the threads, because a rest of each is left out.
        constexpr int64_t kParts = 16;
        const auto sum =
            static_cast<uint64_t>(run_reads(pool, setting.isa, bytes, kParts, 1).result);
        report.add_rate(std::move(row), read_bandwidth(setting, pool, bytes) * kGiga, "GB/s", {},
                        hash_bytes(std::as_bytes(std::span(&sum, 1))));
    };
    for (int threads = 1; threads <= setting.threads; ++threads) {
        const std::string row = cat("dram.read.", threads);
        if (!report.wants(row)) continue;
        Pool pool(threads);
        add(row, pool, huge);
    }
    if (report.wants("dram.read")) add("dram.read", all, huge);
    if (!report.wants("dram.read.4k")) return {};
    const PageBuffer small = TRY(PageBuffer::create(setting.sizes.dram_bytes, HugePages::kNo));
    // Where the system gives huge pages to everybody it must be told not to.
    ::madvise(small.bytes().data(), small.bytes().size(), MADV_NOHUGEPAGE);
    std::memcpy(small.bytes().data(), huge.data(), huge.size());
    add("dram.read.4k", all, small.bytes().first(huge.size()));
    return {};
}

// `bytes` in all, cut over the threads: each reads its part again and again.
Status bench_cache(const BenchSetting& setting, std::string row, uint64_t bytes,
                   BenchReport& report) {
    if (!report.wants(row) || bytes == 0) return {};
    Pool pool(setting.threads);
    const PageBuffer memory = TRY(filled_memory(pool, bytes, HugePages::kIfGranted));
    const std::span<const std::byte> part = memory.bytes().first(bytes);
    const int64_t each = std::max<int64_t>(1, static_cast<int64_t>(bytes) / pool.threads());
    const int64_t times = std::max<int64_t>(1, setting.sizes.cache_passes_bytes / each);
    PeakRun run;
    const double seconds = seconds_a_call(
        setting.timing, [&] { run = run_reads(pool, setting.isa, part, pool.threads(), times); });
    report.add_rate(std::move(row), static_cast<double>(run.amount) / seconds * kGiga, "GB/s", {});
    return {};
}

void bench_peaks(const BenchSetting& setting, BenchReport& report) {
    Pool one(1), all(setting.threads);
    for (const DotProduct dot : {DotProduct::kFloats, DotProduct::kBf16, DotProduct::kInt8}) {
        const std::string row = cat("peak.", dot_name(dot));
        if (!report.wants(row)) continue;
        const double result = run_dots(one, setting.isa, dot, 1, setting.sizes.peak_rounds).result;
        const uint64_t hash = hash_bytes(std::as_bytes(std::span(&result, 1)));
        const double alone = dot_peak(setting, one, setting.isa, dot) * kGiga;
        report.add_rate(row + ".1", alone, "GMAC/s", {}, hash);
        report.add_rate(row, dot_peak(setting, all, setting.isa, dot) * kGiga, "GMAC/s",
                        alone * setting.threads, hash);
        if (setting.isa <= Isa::kAvx2) continue;
        report.add_rate(row + ".avx2", dot_peak(setting, all, Isa::kAvx2, dot) * kGiga, "GMAC/s",
                        {});
    }
}

// The files as experts of 8 MiB, so that they are read exactly as experts are.
Result<ExpertLayout> layout_of(const std::vector<Path>& files, uint64_t bytes_max) {
    constexpr uint64_t kExpertBytes = uint64_t{8} << 20;
    ExpertLayout layout;
    layout.files = files;
    layout.layers = 1;
    uint64_t total = 0;
    for (size_t f = 0; f < files.size(); ++f) {
        const File file = TRY(File::open(files[f]));
        const uint64_t size = TRY(file.size());
        for (uint64_t at = 0; at < size && total < bytes_max; at += kExpertBytes) {
            ExpertPlace place;
            place.range_count = 1;
            place.ranges[0] = {static_cast<int32_t>(f), at, std::min(kExpertBytes, size - at)};
            total += place.ranges[0].bytes;
            layout.places.push_back(place);
        }
    }
    layout.experts = static_cast<int32_t>(layout.places.size());
    return layout;
}

// Everything once, in order, with the next experts hinted as a model's hash layers do it.
Status read_everything(ExpertCache& cache, int32_t experts) {
    const int32_t batch = std::min<int32_t>(4, cache.max_batch());
    const auto ids_from = [&](int32_t first) {
        std::vector<ExpertId> ids;
        for (int32_t i = first; i < std::min(first + batch, experts); ++i) ids.push_back({i});
        return ids;
    };
    for (int32_t first = 0; first < experts; first += batch) {
        LeaseBatch leases = TRY(cache.acquire(LayerId{0}, ids_from(first)));
        cache.hint(LayerId{0}, ids_from(first + batch));
        while (TRY(leases.next())) {
        }
    }
    return {};
}

Status bench_drive(const BenchSetting& setting, const std::vector<Path>& files,
                   BenchReport& report) {
    if (!report.wants("drive.read") || files.empty()) return {};
    const DriveRate rate = TRY(drive_bandwidth(setting, files));
    report.add_rate(rate.direct ? "drive.read" : "drive.read.cached", rate.bytes_per_second * kGiga,
                    "GB/s", {});
    return {};
}

}  // namespace

BenchSizes BenchSizes::full(uint64_t memory_bytes) {
    BenchSizes sizes;
    if (memory_bytes > 0) {
        sizes.dram_bytes = std::min(sizes.dram_bytes, memory_bytes / 4);
        sizes.weight_bytes = std::min(sizes.weight_bytes, memory_bytes / 8);
    }
    return sizes;
}

BenchSizes BenchSizes::tiny() {
    return {.dram_bytes = uint64_t{1} << 20,
            .weight_bytes = uint64_t{64} << 10,
            .drive_bytes = uint64_t{1} << 20,
            .cache_bytes = uint64_t{64} << 10,
            .peak_rounds = 50,
            .cache_passes_bytes = int64_t{128} << 10,
            .gemm_rows = 3,
            .attend_rows = 2,
            .index_entries = 700,
            .shrink = 16,
            .row_bytes = int64_t{32} << 10,
            .decode_tokens = 2,
            .vram_bytes = uint64_t{64} << 10,
            .link_bytes = uint64_t{32} << 10,
            .gpu_calls = 2};
}

Result<PageBuffer> filled_memory(Pool& pool, uint64_t bytes, HugePages huge) {
    PageBuffer memory = TRY(PageBuffer::create(bytes, huge));
    const auto words = static_cast<int64_t>(memory.bytes().size() / sizeof(uint64_t));
    constexpr int64_t kPieces = 64;
    pool.run(kPieces, [&](int64_t piece) {
        uint64_t* at = memory.as<uint64_t>();
        for (int64_t i = words * piece / kPieces; i < words * (piece + 1) / kPieces; ++i) {
            at[i] = mix64(static_cast<uint64_t>(i));
        }
    });
    return memory;
}

double read_bandwidth(const BenchSetting& setting, Pool& pool, std::span<const std::byte> bytes) {
    PeakRun run;
    const double seconds = seconds_a_call(setting.timing, [&] {
        run = run_reads(pool, setting.isa, bytes, parts_of(bytes, pool), 1);
    });
    return static_cast<double>(run.amount) / seconds;
}

double dot_peak(const BenchSetting& setting, Pool& pool, Isa isa, DotProduct dot) {
    // Several pieces a thread: who is late does not hold up the others.
    const int64_t pieces = int64_t{16} * pool.threads();
    PeakRun run;
    const double seconds = seconds_a_call(
        setting.timing, [&] { run = run_dots(pool, isa, dot, pieces, setting.sizes.peak_rounds); });
    return static_cast<double>(run.amount) / seconds;
}

Result<DriveRate> drive_bandwidth(const BenchSetting& setting, const std::vector<Path>& files) {
    const ExpertLayout layout = TRY(layout_of(files, setting.sizes.drive_bytes));
    if (layout.experts == 0) {
        return Error{ErrorCode::kInvalid,
                     cat(files.front().string(), " is empty: drive.read needs a file with data")};
    }
    std::vector<double> runs;
    DriveRate rate{.direct = true};
    for (int i = 0; i < setting.timing.repeat; ++i) {
        // A new cache each time: nothing of the files is in a slot.
        const auto cache = TRY(ExpertCache::create(
            layout, {.ram_budget_bytes = 12 * layout.slot_bytes(), .min_slots = 1},
            setting.timing.clock));
        TRY(read_everything(*cache, layout.experts));
        runs.push_back(cache->stats().bandwidth());
        rate.direct = rate.direct && cache->stats().direct;
    }
    rate.bytes_per_second = median(runs);
    return rate;
}

Status bench_machine(const BenchSetting& setting, const std::vector<Path>& files,
                     BenchReport& report) {
    TRY(bench_dram(setting, report));
    const uint64_t given = setting.sizes.cache_bytes;
    // Half of a cache: the other half is for everybody else.
    const auto threads = static_cast<uint64_t>(setting.threads);
    TRY(bench_cache(setting, "cache.l2",
                    given != 0 ? given : cache_bytes(_SC_LEVEL2_CACHE_SIZE) / 2 * threads, report));
    TRY(bench_cache(setting, "cache.l3",
                    given != 0 ? given : cache_bytes(_SC_LEVEL3_CACHE_SIZE) / 2, report));
    bench_peaks(setting, report);
    TRY(bench_drive(setting, files, report));
    return bench_gpu(setting, report);
}

}  // namespace millrace
