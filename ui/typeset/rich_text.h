#pragma once
// A message: Markdown as it is written, laid out for a width, drawn, selected, searched, copied.
//
//   set(source) ─► blocks (md4c; only those that changed) ─► lay_out(width) ─► lines of glyphs ─► draw
//
// Positions are byte offsets into the source, so that a selection survives another width and copies as Markdown.
// Streaming never moves what stands already: an open fence, an unfinished table row or formula is shown as what it will be
// or as text, and only the last block is parsed again. Everything is bounded: hostile nesting, one endless word and
// control characters are shown as text (limits in rich_text.cpp).
// Threads: the window's.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ui/typeset/fonts.h"
#include "ui/typeset/paint.h"

namespace millrace {

struct TextRange {
    size_t begin = 0, end = 0;  // bytes of the source
    [[nodiscard]] bool empty() const { return begin >= end; }
    bool operator==(const TextRange&) const = default;
};

enum class Streaming : uint8_t { kNo, kYes };
enum class CopyAs : uint8_t { kMarkdown, kPlain };
// kPlain: a person's own words: paragraphs, line breaks and fenced code only, every other mark as it was typed.
enum class Markup : uint8_t { kMarkdown, kPlain };

// Sizes at scale 1, in pixels.
struct TypeScale {
    float scale = 1;  // monitor times zoom
    float body = 16, mono = 14.5F, line_height = 1.5F;
    bool operator==(const TypeScale&) const = default;
};

struct CodeBox {
    Box box;               // relative to the message
    std::string language;  // as named; may be empty
    TextRange code;        // without the fences
};

struct TextMarks {
    TextRange selection;
    std::span<const TextRange> found;
    size_t found_here = static_cast<size_t>(-1);  // index into found
    TextRange token = {};                         // of the model, that is looked at
};

// A glyph that somebody points at; of a formula, all of it.
struct GlyphPlace {
    TextRange bytes;  // that it stands for
    float along = 0;  // 0 where one begins to read it, 1 where it ends
};

class RichText {
public:
    [[nodiscard]] static std::unique_ptr<RichText> create(FontSet& fonts, Markup markup);
    virtual ~RichText() = default;

    virtual void set(std::string_view source, Streaming streaming) = 0;
    [[nodiscard]] virtual const std::string& source() const = 0;

    // Does nothing when nothing has changed.
    virtual void lay_out(float width, const TypeScale& type) = 0;
    [[nodiscard]] virtual float height() const = 0;
    // How far the longest line reaches; of a long message, the whole width.
    [[nodiscard]] virtual float reach() const = 0;

    // The message's corner is at (x, y); only what touches [top, bottom) of the screen is drawn.
    virtual void draw(TextPainter& painter, float x, float y, float top, float bottom,
                      const TextMarks& marks) const = 0;

    // All coordinates below are relative to the message.
    [[nodiscard]] virtual size_t position_at(float x, float y) const = 0;  // the nearest
    [[nodiscard]] virtual Box box_of(size_t position) const = 0;           // of the glyph there
    // Nothing beside the text.
    [[nodiscard]] virtual std::optional<GlyphPlace> glyph_at(float x, float y) const = 0;
    [[nodiscard]] virtual TextRange word_at(size_t position) const = 0;
    [[nodiscard]] virtual TextRange paragraph_at(size_t position) const = 0;
    // The target of the link there; only http, https and mailto are links, everything else is text.
    [[nodiscard]] virtual std::optional<std::string> link_at(float x, float y) const = 0;
    // The LaTeX source of the formula there.
    [[nodiscard]] virtual std::optional<std::string> formula_at(float x, float y) const = 0;
    [[nodiscard]] virtual std::span<const CodeBox> code_boxes() const = 0;

    // Case folded as Unicode says; in what is seen, not in the marks. At most `count_max`.
    [[nodiscard]] virtual std::vector<TextRange> find(std::string_view needle,
                                                      size_t count_max) const = 0;
    // A table selected whole copies as tab-separated values in kPlain.
    [[nodiscard]] virtual std::string copy(TextRange range, CopyAs as) const = 0;
};

}  // namespace millrace
