#pragma once
// Models and the machine: what is here, what would fit, and the slow work on them (measuring, checking, packing). The
// program implements it; tests have one that follows a script. One job at a time; it reports through `state`, which only
// changes in `tick`.
// Threads: the window's; jobs run on a lane of the workshop's own.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "core/engine/memory_plan.h"

namespace millrace {

struct KnownModel {
    Path directory;
    std::string name;    // "DeepSeek-V4-Flash-0731", or the directory's
    std::string what;    // "store, experts q3s, 43 layers of 256 experts"
    uint64_t bytes = 0;  // on the drive
    bool store = false;  // packed: has checksums
    bool demo = false;
    std::string problem;  // why it cannot be opened; "" if it can
    // What a store of it would take, by format of the experts; none: it cannot be packed so.
    std::vector<std::pair<std::string, uint64_t>> packed;
};

// A number that was measured here, or not: the two never look alike.
struct MachineRate {
    double value = 0;  // a second; 0: unknown
    bool measured = false;
    std::string source;  // "assumed: …"
};

struct MachineFacts {
    uint64_t ram_bytes = 0, available_bytes = 0, free_disk_bytes = 0;
    int threads = 0;
    MachineRate memory, drive, macs;  // bytes, bytes, multiply-adds
    [[nodiscard]] bool measured() const { return memory.measured && drive.measured; }
};

// Whether a release would run here, and how fast.
struct Fit {
    struct Term {
        std::string name;    // "experts from the drive"
        double seconds = 0;  // of one token
        std::string how;     // "95.2 MB ÷ (3.00 GB/s × 0.92)"
        bool counts = true;  // false: hidden behind a longer one
    };
    std::string release, name;  // "flash", "DeepSeek-V4-Flash"
    std::string why_not;        // in plain words; "" if it runs
    uint64_t drive_bytes = 0;   // the whole model
    bool drive_has_room = true;
    uint64_t ram_bytes = 0, system_bytes = 0;
    MemoryPlan memory;
    double hit_rate = 0;
    std::vector<Term> terms;
    double decode = 0, prefill = 0;   // tokens a second
    std::vector<std::string> advice;  // "twice the memory: 12.3 tok/s"
};

enum class WorkKind : uint8_t { kNone, kMeasure, kVerify, kPack };

struct Work {
    WorkKind kind = WorkKind::kNone;
    bool running = false, stopping = false;
    std::string subject;  // what is worked on
    uint64_t done_bytes = 0, total_bytes = 0, found_bytes = 0;
    double began_s = 0, now_s = 0;
    // Of the last one that ended: a sentence, and what was found.
    std::string result;
    std::vector<std::string> details;
    bool bad = false;

    // Bytes a second of this run, and what is left at that rate; 0: cannot be told yet.
    [[nodiscard]] double rate() const;
    [[nodiscard]] double seconds_left() const;
};

struct PackWish {
    Path source, destination;
    std::string format = "released";
    std::optional<uint64_t> size_bytes;  // with "auto"
};

// One run of the benchmark (benchmark.h).
struct BenchPoint {
    int64_t context = 0;             // tokens before the ones that are timed
    double prefill = 0, decode = 0;  // tokens a second
    double hit_rate = 0;
    bool cold = false;  // nothing of the experts was in memory before
};
struct BenchRun {
    int64_t at_ms = 0;  // of the wall clock
    std::string model, memory;
    std::vector<BenchPoint> points;
};

struct WorkshopState {
    std::vector<KnownModel> models;
    MachineFacts machine;
    std::vector<Fit> fits;
    std::string fit_format;  // that they are for; "": as released
    bool fitting = false;    // it is being worked out
    std::string fit_problem;
    Work work;
    std::vector<BenchRun> runs;  // newest first
};

class Workshop {
public:
    virtual ~Workshop() = default;  // a job that runs is stopped

    [[nodiscard]] virtual const WorkshopState& state() const = 0;
    // Takes in what jobs report; true if anything changed.
    virtual bool tick() = 0;

    virtual void add_directory(const Path& directory) = 0;
    virtual void forget_directory(const Path& directory) = 0;  // files stay where they are
    virtual void refresh() = 0;                                // looks at the directories again

    // Works out `fits` anew: a moment. `format`: of experts; "": as released.
    virtual void fit(const std::string& format) = 0;

    // Each begins a job; nothing happens while one runs.
    virtual void measure() = 0;
    virtual void verify(const Path& directory) = 0;
    virtual void pack(const PackWish& wish) = 0;
    virtual void cancel() = 0;

    // Why this cannot be packed so, before anything is written; "" if it can as far as one can tell.
    [[nodiscard]] virtual std::string pack_hindrance(const PackWish& wish) const = 0;

    virtual void keep(BenchRun run) = 0;  // in the history, with the time that it is now
    virtual void forget_runs() = 0;
};

// "45 s", "12 min", "3 h 20 min"
[[nodiscard]] std::string duration_text(double seconds);
// "12.4 of 142 GB, 1.02 GB/s, 2 min left"
[[nodiscard]] std::string progress_text(const Work& work);
[[nodiscard]] std::string_view doing_text(WorkKind kind);  // "Packing"

[[nodiscard]] std::string to_json(const BenchRun& run);  // one line
[[nodiscard]] std::optional<BenchRun> bench_run_of(std::string_view json);
[[nodiscard]] std::string to_csv(const std::vector<BenchRun>& runs);

}  // namespace millrace
