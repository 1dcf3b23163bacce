#pragma once
// What the workshop keeps from one start to the next: two small files in the state directory.

#include <vector>

#include "core/base/disk.h"
#include "core/base/result.h"
#include "ui/workshop.h"

namespace millrace {

struct WorkshopRecord {
    std::vector<Path> directories;
    MachineRate memory, drive, macs;  // as measured last; value 0: never
    std::vector<BenchRun> runs;       // newest first

    static constexpr size_t kRunsMax = 200;
};

// What is there and can be read; the rest is as if it were not there.
[[nodiscard]] WorkshopRecord read_workshop(const Path& state_directory);
[[nodiscard]] Status write_workshop(Disk& disk, const Path& state_directory,
                                    const WorkshopRecord& record);

}  // namespace millrace
