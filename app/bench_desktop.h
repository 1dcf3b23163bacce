#pragma once
// The window while the engine is at work, and while nothing happens.

#include "app/bench_model.h"

namespace millrace {

struct DesktopBench {
    ModelOptions model;
    Path directory;      // for its chats; made, and emptied afterwards
    double busy_s = 10;  // answers are written so long
    double idle_s = 6;   // then nothing happens so long
};

// desktop.start and desktop.ready in s, desktop.frame in ms (median, 99th percentile), desktop.idle in percent of a core.
// What the engine's view costs, as medians of pairs of answers with the pane and without it: desktop.feed (the engine
// thread makes its records) and desktop.view (the window's thread draws the pane) in us a token, desktop.engine_view both in
// percent of a token's time, desktop.token.slower what tokens lose all in all, also to threads that draw in software.
// kUnsupported without a display.
[[nodiscard]] Status bench_desktop(const DesktopBench& bench, BenchReport& report);

}  // namespace millrace
