#pragma once
// A token of an answer that is looked at in the conversation, beside the engine's pane: which one, lit in the text, and the
// card that says what it cost. A token's cost is that of the step that took it in, at its own position: the step of which
// the router's experts are that token's, and which made the next one.

#include <optional>

#include "ui/answer_tokens.h"
#include "ui/views.h"

namespace millrace {

// Where the view is about to draw a glyph that the pointer is at.
struct PointedGlyph {
    MessageId message = MessageId::kNone;
    bool reasoning = false;
    GlyphPlace glyph;
    Box box;  // on the screen
};

// Begins a frame of the conversation: nothing is pointed at yet.
void forget_text_token(Frame& frame);
// The pointer is at a glyph of an answer; nothing follows if no token of this session made it.
void look_at(Frame& frame, const PointedGlyph& pointed);
// The token to be lit: under the pointer here, or the one that is looked at in the pane's strip.
[[nodiscard]] std::optional<AnswerToken> lit_token(const Frame& frame);
// The keyboard moved to another token in the strip: the view should show it, once. `at`: where it drew that token.
void card_of_strip(Frame& frame, const AnswerToken& token, const Box& at);
// Over the page; after everything else of it.
void draw_token_card(Frame& frame, const Box& room);

}  // namespace millrace
