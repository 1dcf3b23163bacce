#pragma once
// When the window is drawn while text streams: in calm steps, but a person is answered at once.

#include "ui/window.h"

namespace millrace {

// Whether the person did something since what `drawn` knows.
[[nodiscard]] bool acted(const PersonInput& input, const PersonInput& drawn);

// Sleeps until `until_s` of the window's clock, or until the person acts. Every report of a token wakes the window, so one
// sleep is not enough.
void keep_calm(Window& window, double until_s, const PersonInput& drawn);

}  // namespace millrace
