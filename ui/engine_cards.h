#pragma once
// The cards of the engine's screen; the pane beside the chat shows some of them.

#include <span>
#include <string>
#include <string_view>

#include "ui/views.h"

namespace millrace {

struct EngineCard {
    std::string_view title;
    bool wide = false;
    float (*height)(const Frame&, float width) = nullptr;  // of the content
    void (*draw)(Frame&, const Box&) = nullptr;
    std::string (*csv)(const Frame&) = nullptr;
};

[[nodiscard]] std::span<const EngineCard> engine_cards();
// Draws the card with its frame; "Copy CSV" goes to the clipboard.
void draw_engine_card(Frame& frame, const EngineCard& card, const Box& box);

}  // namespace millrace
