#pragma once
// The window's workshop (ui/workshop.h) with what the verbs plan, verify and pack are made of.

#include <functional>
#include <memory>

#include "core/base/disk.h"
#include "ui/lane.h"
#include "ui/workshop.h"

namespace millrace {

struct WorkshopParts {
    Path state_directory;  // keeps directories, measurements and benchmarks; "": they are forgotten
    Path home;             // on whose drive new models are likely to go
    std::unique_ptr<Lane> look, work;  // for what takes a moment, and for jobs
    std::function<void()> wake;        // any thread
    std::function<double()> now_s;     // any thread
    std::function<int64_t()> wall_ms;  // since 1970
};

[[nodiscard]] std::unique_ptr<Workshop> open_workshop(WorkshopParts parts);

}  // namespace millrace
