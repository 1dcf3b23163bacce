#pragma once
// Text to glyphs in logical order: what must not act invisibly becomes visible, then clusters, fonts, embedding levels,
// scripts, and HarfBuzz for each run of one kind.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ui/typeset/font_chain.h"
#include "ui/typeset/fonts.h"

struct hb_buffer_t;

namespace millrace {

class Shaper {
public:
    explicit Shaper(FontChain& chain);
    ~Shaper();
    Shaper(const Shaper&) = delete;
    Shaper& operator=(const Shaper&) = delete;

    void shape(std::string_view text, std::span<const StyleSpan> spans, ShapedText& out);

private:
    // One character to be shown; `begin` and `end` are the bytes it stands for, shared by all of one cluster.
    struct Char {
        char32_t code = 0;
        uint32_t begin = 0, end = 0;
        uint32_t script = 0;
        uint16_t font = 0, span = 0;
        uint8_t level = 0;
    };
    void decode(std::string_view text, std::span<const StyleSpan> spans);
    void show_mark(char32_t code, Char like);
    void choose_fonts(std::span<const StyleSpan> spans);
    void resolve_scripts();
    uint8_t resolve_levels();
    void shape_run(size_t begin, size_t end, const TextStyle& style, ShapedText& out);

    FontChain& chain_;
    hb_buffer_t* buffer_;
    std::vector<Char> chars_;
    std::vector<char32_t> codes_;
    std::vector<uint32_t> clusters_;  // where each begins in chars_, and the end
    std::vector<uint32_t> types_, brackets_;
    std::vector<int8_t> levels_;
};

}  // namespace millrace
