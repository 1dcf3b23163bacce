#pragma once
// The verb bench: what the machine can do, how near each operation comes to it, and how near whole tokens do.

#include <cstdint>
#include <string>
#include <vector>

#include "app/bench_report.h"
#include "core/base/file.h"
#include "core/base/memory.h"
#include "core/base/pool.h"
#include "core/base/result.h"
#include "kernels/ops.h"
#include "kernels/peak.h"

namespace millrace {

struct BenchOptions;

// How much a benchmark takes in. Full sizes are such that no cache holds them; tiny ones prove that it works.
struct BenchSizes {
    uint64_t dram_bytes = uint64_t{1} << 30;
    uint64_t weight_bytes = uint64_t{512} << 20;  // copies of a matrix to go round
    uint64_t drive_bytes = uint64_t{4} << 30;
    uint64_t cache_bytes = 0;                         // instead of what the caches have; 0: those
    int64_t peak_rounds = 20'000;                     // of one piece
    int64_t cache_passes_bytes = int64_t{256} << 20;  // read by each thread in one call
    int64_t gemm_rows = 512;
    int64_t attend_rows = 128;
    int64_t index_entries = 65536;
    int64_t shrink = 1;                      // divides the dimensions of matrices
    int64_t row_bytes = int64_t{256} << 20;  // of the rows that norms and grids work on
    int64_t decode_tokens = 16;
    uint64_t vram_bytes = uint64_t{1} << 30;    // copied within a GPU's memory
    uint64_t link_bytes = uint64_t{256} << 20;  // to it and back
    int gpu_calls = 100;                        // of an operation, before one waits

    // For a machine with so much memory.
    [[nodiscard]] static BenchSizes full(uint64_t memory_bytes);
    [[nodiscard]] static BenchSizes tiny();
};

// What a benchmark runs on.
struct BenchSetting {
    BenchTiming timing;
    BenchSizes sizes;
    Isa isa = best_isa();
    int threads = 1;
    int gpu = 0;  // which, counted from 0
};

// Bytes a second that all threads of `pool` together read from `bytes`.
[[nodiscard]] double read_bandwidth(const BenchSetting& setting, Pool& pool,
                                    std::span<const std::byte> bytes);
// Multiply-adds a second.
[[nodiscard]] double dot_peak(const BenchSetting& setting, Pool& pool, Isa isa, DotProduct dot);
// Memory in huge pages if granted, every page of it touched, the same numbers whatever the number of threads.
[[nodiscard]] Result<PageBuffer> filled_memory(Pool& pool, uint64_t bytes, HugePages huge);

// Files of `directory` that hold weights, sorted.
[[nodiscard]] Result<std::vector<Path>> weight_files(const Path& directory);
struct DriveRate {
    double bytes_per_second = 0;
    bool direct = false;  // around the page cache
};
// At most sizes.drive_bytes of `files`, read as experts are. They must hold something.
[[nodiscard]] Result<DriveRate> drive_bandwidth(const BenchSetting& setting,
                                                const std::vector<Path>& files);

// `files`: what drive.read reads, at most sizes.drive_bytes of it; none: there is no such row. Rows of a GPU: bench_gpu.h.
[[nodiscard]] Status bench_machine(const BenchSetting& setting, const std::vector<Path>& files,
                                   BenchReport& report);
[[nodiscard]] Status bench_ops(const BenchSetting& setting, BenchReport& report);

}  // namespace millrace
