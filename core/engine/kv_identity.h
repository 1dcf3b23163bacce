#pragma once
// Whose KV state it is: two runs with the same identity make the same bits of the same tokens.

#include <string>

#include "core/engine/runtime.h"

namespace millrace {

// The model's files, the arithmetic, the instructions, the program. Not threads, chunks, budgets or the context: no bit
// depends on those.
[[nodiscard]] Result<std::string> kv_identity(const Path& checkpoint,
                                              const RuntimeOptions& options);

}  // namespace millrace
