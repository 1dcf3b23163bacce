#pragma once
// What results depend on, as text: the same text, the same bits. For state that is kept and used again.

#include <string>

#include "core/base/file.h"

namespace millrace {

// A checkpoint or store: what its config says, and the name, size and date of every file with weights. Reads no weights: a
// copy with other dates counts as another model, and costs a new computation, never a wrong one.
[[nodiscard]] Result<std::string> checkpoint_identity(const Path& directory);

// This program, to the byte, and the library whose functions it calls. Kernels that sum in another order give other bits;
// no version number would be raised as reliably as a hash changes.
[[nodiscard]] Result<std::string> program_identity();

}  // namespace millrace
