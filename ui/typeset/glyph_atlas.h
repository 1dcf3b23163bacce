#pragma once
// Pages of glyph images. A page is RGBA; what is not coloured is white with the coverage as alpha. Whoever shows it uploads
// what has changed.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace millrace {

class GlyphAtlas {
public:
    static constexpr int kPageSize = 1024;  // pixels a side
    static constexpr int kPagesMax = 16;    // 64 MiB; then all is forgotten and begins anew

    struct Page {
        std::vector<uint8_t> pixels;          // [kPageSize][kPageSize][4]
        int dirty_top = 0, dirty_bottom = 0;  // rows that changed since `clean`
        int shelf_top = 0, shelf_height = 0, shelf_x = 0;
    };
    struct Place {
        uint16_t page = 0, x = 0, y = 0;
    };

    // A place for an image of that size, one empty pixel around it; nothing when it is larger than a page. When all pages
    // are full everything is thrown away first, and `generation` grows: places given before are void.
    [[nodiscard]] std::optional<Place> add(int width, int height);
    // RGBA rows of the image go there.
    void write(const Place& place, int width, int height, std::span<const uint8_t> rgba);

    [[nodiscard]] std::span<Page> pages() { return pages_; }
    [[nodiscard]] uint64_t generation() const { return generation_; }

private:
    std::vector<Page> pages_;
    uint64_t generation_ = 0;
};

}  // namespace millrace
