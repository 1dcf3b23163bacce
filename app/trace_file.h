#pragma once
// A recorded trace from its file.

#include "core/base/file.h"
#include "core/base/result.h"
#include "offload/router_trace.h"

namespace millrace {

// Errors name the file.
[[nodiscard]] Result<RouterTrace> read_trace(const Path& path);

}  // namespace millrace
