#pragma once
// One font file: its characters, its metrics, its glyphs as pictures. Mapped, shared by FreeType and HarfBuzz.

#include <memory>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"

struct FT_LibraryRec_;
struct hb_font_t;

namespace millrace {

// Straight RGBA; white with coverage as alpha, unless coloured.
struct GlyphPicture {
    int width = 0, height = 0;
    float left = 0, top = 0;  // of the picture, from the pen: right and up
    float scale = 1;          // pixels of the screen for one of the picture
    bool coloured = false;
    std::vector<uint8_t> rgba;
};

class FontFile {
public:
    // `family` picks a face of a collection; empty: the first. `library` outlives the font.
    [[nodiscard]] static Result<std::unique_ptr<FontFile>> open(FT_LibraryRec_* library,
                                                                const Path& path,
                                                                std::string_view family);
    virtual ~FontFile() = default;

    [[nodiscard]] virtual bool has(char32_t code) const = 0;
    [[nodiscard]] virtual hb_font_t* harfbuzz() const = 0;
    [[nodiscard]] virtual float units_per_em() const = 0;
    [[nodiscard]] virtual float ascent() const = 0;   // in em
    [[nodiscard]] virtual float descent() const = 0;  // in em, positive
    // `size` in pixels an em. Nothing to see: no width.
    virtual void picture(uint32_t id, float size, float fraction, GlyphPicture& out) = 0;
};

}  // namespace millrace
