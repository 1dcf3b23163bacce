#pragma once
// The machine and the releases as the window's workshop shows them (ui/workshop.h), from what `millrace plan` works out.

#include <string>
#include <vector>

#include "core/base/result.h"
#include "ui/workshop.h"

namespace millrace {

// What the system tells at once; rates are assumed. `home`: whose drive's free space counts.
[[nodiscard]] MachineFacts machine_facts(const Path& home);
// About five seconds. `model`: whose files the drive is measured by; "": none, then its rate stays assumed.
[[nodiscard]] Result<MachineFacts> measured_facts(const Path& home, const Path& model);
// Of every release, in order of size. `format`: of experts, "" as released.
[[nodiscard]] Result<std::vector<Fit>> fits_of(const MachineFacts& machine,
                                               const std::string& format);

}  // namespace millrace
