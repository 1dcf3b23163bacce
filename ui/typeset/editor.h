#pragma once
// Text that a person writes: the composer and every field. A buffer with caret, selection, undo and word wrap, laid out
// in the product's fonts, drawn with the same painter as messages.
// Threads: the window's.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "ui/typeset/fonts.h"
#include "ui/typeset/paint.h"
#include "ui/typeset/rich_text.h"

namespace millrace {

enum class EditKey : uint8_t {
    kLeft,
    kRight,
    kUp,
    kDown,
    kHome,  // of the line; with Reach::kFar of the text
    kEnd,
    kPageUp,
    kPageDown,
    kBackspace,
    kDelete,
    kUndo,
    kRedo,
    kSelectAll,
};
enum class Reach : uint8_t { kNear, kFar };  // kFar: words for left, right, backspace, delete
enum class Extend : uint8_t { kNo, kYes };   // kYes: the selection grows

struct EditorOptions {
    bool one_line = false;       // line breaks that are pasted become spaces
    size_t bytes_max = 8 << 20;  // more is refused by `insert`
};

class TextEditor {
public:
    [[nodiscard]] static std::unique_ptr<TextEditor> create(FontSet& fonts,
                                                            const EditorOptions& options);
    virtual ~TextEditor() = default;

    [[nodiscard]] virtual const std::string& text() const = 0;
    // Grows with every change of the text.
    [[nodiscard]] virtual uint64_t version() const = 0;
    virtual void set_text(std::string_view text) = 0;  // forgets the undo history; caret at the end

    // Typed or pasted: replaces the selection. Bad UTF-8 and control characters are left out, CR LF becomes LF. False, and
    // nothing changed, when the text would grow beyond bytes_max. Single letters that follow each other undo together, a
    // word at a time; a paste undoes alone.
    virtual bool insert(std::string_view utf8) = 0;
    // False: the key did nothing (the caret stands at the edge), so that the owner may use it otherwise.
    virtual bool key(EditKey key, Reach reach, Extend extend) = 0;

    [[nodiscard]] virtual size_t caret() const = 0;  // byte; always between grapheme clusters
    [[nodiscard]] virtual TextRange selection() const = 0;
    virtual void select(TextRange range) = 0;
    [[nodiscard]] virtual std::string selected() const = 0;

    // Text that an input method is composing stands at the caret, underlined, and is not part of text().
    virtual void set_composition(std::string_view utf8) = 0;
    [[nodiscard]] virtual bool composing() const = 0;

    virtual void lay_out(float width, TextStyle style) = 0;  // with wrap, unless one_line
    [[nodiscard]] virtual float height() const = 0;
    [[nodiscard]] virtual Box caret_box() const = 0;  // relative to the editor
    // clicks: 1 sets the caret, 2 takes a word, 3 a line.
    virtual void press(float x, float y, int clicks, Extend extend) = 0;
    virtual void drag(float x, float y) = 0;
    virtual void draw(TextPainter& painter, float x, float y, float top, float bottom,
                      bool focused) const = 0;
};

}  // namespace millrace
