#pragma once
// A prompt that remembers who wrote each byte. Template bytes are ours: role tokens, think tokens,
// tags. Content bytes came from people, documents and tools; whatever they spell, they can never
// become a special token.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

class MarkedText {
public:
    struct Range {
        size_t begin, end;
    };

    void add_template(std::string_view text) {
        if (text.empty()) return;
        const size_t begin = text_.size();
        text_ += text;
        if (!template_.empty() && template_.back().end == begin) {
            template_.back().end = text_.size();
        } else {
            template_.push_back({begin, text_.size()});
        }
    }
    void add_content(std::string_view text) { text_ += text; }

    [[nodiscard]] const std::string& text() const { return text_; }
    // In order, not touching each other; all else is content.
    [[nodiscard]] std::span<const Range> template_ranges() const { return template_; }

private:
    std::string text_;
    std::vector<Range> template_;
};

}  // namespace millrace
