#pragma once
// What the screens of engine, models and benchmark remember between frames (view_state.h).

#include <memory>
#include <optional>
#include <vector>

#include "ui/engine_feed.h"
#include "ui/typeset/editor.h"
#include "ui/ui.h"

namespace millrace {

struct EngineViewState {
    EngineHistory history;
    Scroll scroll, pane_scroll, models_scroll, benchmark_scroll;
    size_t routed_tokens = 64;                           // that the heatmap counts
    std::optional<uint64_t> token_shown, token_hovered;  // clicked and pointed at in the strip

    // Models: the fields of packing and of adding a directory, made when they are first drawn.
    std::unique_ptr<TextEditor> add_directory, pack_destination, pack_size;
    size_t pack_source = 0;
    int pack_format = 0;
};

}  // namespace millrace
