#pragma once
// What the screens of engine, models and benchmark remember between frames (view_state.h).

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ui/benchmark.h"
#include "ui/engine_feed.h"
#include "ui/typeset/editor.h"
#include "ui/ui.h"

namespace millrace {

struct EngineViewState {
    EngineHistory history;
    Scroll scroll, pane_scroll, models_scroll, benchmark_scroll;
    size_t routed_tokens = 64;                           // that the heatmap counts
    std::optional<uint64_t> token_shown, token_hovered;  // clicked and pointed at in the strip

    // Models.
    std::unique_ptr<TextEditor> add_directory, pack_destination,
        pack_size;  // made when first drawn
    std::optional<Path> pack_source;
    std::string pack_format = "released", fit_format;
    bool fit_asked = false, work_told = true;
    std::string directory_known;  // of the open model, that the workshop was told of

    Benchmark benchmark;
    bool bench_cold = false;
    int64_t bench_longest = 4096;
};

}  // namespace millrace
