#pragma once
// The whole window: which parts stand where, keys that belong to commands, files that are dropped.

#include "ui/views.h"

namespace millrace {

// Draws a frame and does what the person wanted. The window's thread.
void draw_shell(Frame& frame);

}  // namespace millrace
