#include "ui/selection.h"

#include <algorithm>

#include "ui/view_state.h"

namespace millrace {

TextRange selected_in(const ViewState& view, size_t message, bool reasoning, size_t bytes) {
    if (view.selection_empty()) return {};
    const TextPlace low = std::min(*view.select_from, *view.select_to);
    const TextPlace high = std::max(*view.select_from, *view.select_to);
    // Reasoning stands before the content, so it is the smaller place.
    const auto rank = [](const TextPlace& place) {
        return std::pair(place.message, place.reasoning ? 0 : 1);
    };
    const auto here = std::pair(message, reasoning ? 0 : 1);
    if (here < rank(low) || here > rank(high)) return {};
    // Reasoning is taken only where the selection begins or ends in it.
    if (reasoning && !low.reasoning && !high.reasoning) return {};
    const size_t begin = here == rank(low) ? low.byte : 0;
    const size_t end = here == rank(high) ? high.byte : bytes;
    return {std::min(begin, bytes), std::min(end, bytes)};
}

std::string copy_selection(const Desk& desk, const ViewState& view, CopyAs as) {
    std::string out;
    if (!desk.state().chat) return out;
    const std::vector<MessageId> shown = desk.state().chat->branches.shown();
    for (size_t i = 0; i < shown.size(); ++i) {
        const StoredMessage* message = desk.state().chat->branches.find(shown[i]);
        for (const bool reasoning : {true, false}) {
            const std::string& source = reasoning ? message->reasoning : message->content;
            const TextRange range = selected_in(view, i, reasoning, source.size());
            if (range.empty()) continue;
            if (!out.empty()) out += "\n\n";
            const auto text = view.texts.find(shown[i]);
            const RichText* rich = text == view.texts.end() ? nullptr
                                   : reasoning              ? text->second.reasoning.get()
                                                            : text->second.content.get();
            // A message far outside the view is not laid out; its source is what Markdown copies anyway.
            out += rich != nullptr ? rich->copy(range, as)
                                   : source.substr(range.begin, range.end - range.begin);
        }
    }
    return out;
}

}  // namespace millrace
