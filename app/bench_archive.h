#pragma once
// A known beginning from the KV archive, against computing it.

#include "app/bench_model.h"

namespace millrace {

struct ArchiveBench {
    ModelOptions model;
    int64_t tokens = 0;  // of the known beginning; rounded down to whole pages
    Path directory;      // made, and emptied afterwards
};

// Fails when what comes out of the archive goes on with other bits than what was computed.
[[nodiscard]] Status bench_archive(const BenchSetting& setting, const ArchiveBench& bench,
                                   BenchReport& report);

}  // namespace millrace
