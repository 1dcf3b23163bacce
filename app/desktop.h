#pragma once
// What the window stands on, composed.

#include "app/options.h"
#include "offload/kv_archive.h"
#include "ui/desktop.h"

namespace millrace {

// How the window opens a model, now and whenever the person chooses another. `archive` may be null; it outlives the engine.
[[nodiscard]] ModelOpener opener_of(const ModelOptions& options, KvArchive* archive);

}  // namespace millrace
