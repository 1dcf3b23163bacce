#pragma once
// What is selected in the conversation, over several messages.

#include <string>

#include "ui/typeset/rich_text.h"

namespace millrace {

class Desk;
struct ViewState;
struct TextPlace;

// The part of a message's text that is selected.
[[nodiscard]] TextRange selected_in(const ViewState& view, size_t message, bool reasoning,
                                    size_t bytes);
[[nodiscard]] std::string copy_selection(const Desk& desk, const ViewState& view, CopyAs as);

}  // namespace millrace
