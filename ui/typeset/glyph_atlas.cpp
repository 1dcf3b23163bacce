#include "ui/typeset/glyph_atlas.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"

namespace millrace {
namespace {

constexpr int kGap = 1;  // so that no glyph bleeds into its neighbour when it is scaled

// Images stand on shelves: rows as high as the first image on them, filled from left to right.
std::optional<GlyphAtlas::Place> place_on(GlyphAtlas::Page& page, size_t index, int width,
                                          int height) {
    const int needed_width = width + kGap, needed_height = height + kGap;
    const bool fits_shelf =
        needed_height <= page.shelf_height && page.shelf_x + needed_width <= GlyphAtlas::kPageSize;
    if (!fits_shelf) {
        const int top = page.shelf_top + page.shelf_height;
        if (top + needed_height > GlyphAtlas::kPageSize) return std::nullopt;
        page.shelf_top = top;
        page.shelf_height = needed_height;
        page.shelf_x = kGap;
    }
    const GlyphAtlas::Place place = {.page = static_cast<uint16_t>(index),
                                     .x = static_cast<uint16_t>(page.shelf_x),
                                     .y = static_cast<uint16_t>(page.shelf_top)};
    page.shelf_x += needed_width;
    return place;
}

GlyphAtlas::Page fresh_page() {
    GlyphAtlas::Page page;
    page.pixels.resize(size_t{GlyphAtlas::kPageSize} * GlyphAtlas::kPageSize * 4);
    page.shelf_top = kGap;
    page.shelf_x = kGap;
    return page;
}

}  // namespace

std::optional<GlyphAtlas::Place> GlyphAtlas::add(int width, int height) {
    if (width + 2 * kGap > kPageSize || height + 2 * kGap > kPageSize) return std::nullopt;
    if (!pages_.empty()) {
        const size_t last = pages_.size() - 1;
        if (const auto place = place_on(pages_[last], last, width, height)) return place;
    }
    if (pages_.size() == static_cast<size_t>(kPagesMax)) {
        pages_.clear();
        ++generation_;
    }
    pages_.push_back(fresh_page());
    return place_on(pages_.back(), pages_.size() - 1, width, height);
}

void GlyphAtlas::write(const Place& place, int width, int height, std::span<const uint8_t> rgba) {
    ENSURE(place.page < pages_.size());
    ENSURE(rgba.size() == size_t{4} * static_cast<size_t>(width) * static_cast<size_t>(height));
    Page& page = pages_[place.page];
    const size_t row_bytes = size_t{4} * static_cast<size_t>(width);
    for (int row = 0; row < height; ++row) {
        const size_t to = (static_cast<size_t>(place.y + row) * kPageSize + place.x) * 4;
        std::memcpy(page.pixels.data() + to, rgba.data() + static_cast<size_t>(row) * row_bytes,
                    row_bytes);
    }
    const bool clean = page.dirty_top == page.dirty_bottom;
    page.dirty_top = clean ? place.y : std::min<int>(page.dirty_top, place.y);
    page.dirty_bottom = std::max<int>(clean ? 0 : page.dirty_bottom, place.y + height);
}

}  // namespace millrace
