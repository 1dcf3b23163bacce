#pragma once
// The changes of a text, taken back and made again.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace millrace {

struct TextChange {
    size_t at = 0;
    std::string removed, inserted;
    size_t caret_before = 0, anchor_before = 0;
};

enum class EditKind : uint8_t { kTyping, kErasing, kOther };

class EditHistory {
public:
    // Typing that goes on where it stopped joins the change before it until a word ends.
    void add(TextChange change, EditKind kind);
    // The change to take back / to make again.
    [[nodiscard]] std::optional<TextChange> undo();
    [[nodiscard]] std::optional<TextChange> redo();
    // The caret was moved: what is typed next is a change of its own.
    void close() { open_ = false; }
    void clear();

private:
    static constexpr size_t kChangesMax = 2000;
    std::vector<TextChange> done_, undone_;
    EditKind kind_ = EditKind::kOther;
    bool open_ = false;
};

}  // namespace millrace
