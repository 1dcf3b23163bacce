#pragma once
// Which models lie in some directories, from their headers alone.

#include <vector>

#include "core/base/file.h"
#include "ui/workshop.h"

namespace millrace {

// The demo first, then what is in `directories`: each is a model, or has models in it. A directory that holds none is
// listed with a sentence that says so.
[[nodiscard]] std::vector<KnownModel> list_models(const std::vector<Path>& directories);

}  // namespace millrace
