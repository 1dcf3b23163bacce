#pragma once
// The fonts of the product, as ./check installs them.

#include "ui/typeset/fonts.h"

namespace millrace::test {

// Opened once. Ends the program with 77 ("skipped") when a package of fonts is missing.
[[nodiscard]] FontSet& product_fonts();

}  // namespace millrace::test
