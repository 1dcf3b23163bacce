#pragma once
// What the screens of engine, models and benchmark remember between frames (view_state.h).

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ui/answer_tokens.h"
#include "ui/benchmark.h"
#include "ui/engine_feed.h"
#include "ui/typeset/editor.h"
#include "ui/ui.h"

namespace millrace {

// A token that is looked at in the conversation, and what the engine knows of it.
struct TextToken {
    AnswerToken token;
    LiveFeed::FoundStep step;
    std::vector<int16_t> experts;  // [layers][k]; empty: no longer kept
    Box at;                        // on the screen
    bool pointed = false;          // by the pointer; else from the strip
};

struct EngineViewState {
    EngineHistory history;
    double taken_s = -1;  // when it took in what is new
    Scroll scroll, pane_scroll, models_scroll, benchmark_scroll;
    size_t routed_tokens = 64;                           // that the heatmap counts
    std::optional<uint64_t> token_shown, token_hovered;  // clicked and pointed at in the strip
    bool strip_drawn = false;                            // in this frame
    bool strip_focused = false;                          // arrows walk over its tokens
    Box strip_box;                                       // on the screen
    bool reveal_token = false;  // they have moved: the conversation should show the token
    bool pane_shown = false;    // beside the chat

    std::optional<TextToken> text_token;
    bool strip_rests = false;  // the pointer was at a token of the text in the last frame

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
