#pragma once
// Cards: in one or two columns on a page that scrolls (engine, models, benchmark), or alone over a shaded page.

#include <array>
#include <string_view>

#include "ui/ui.h"

namespace millrace {

// Ground and title; returns the box inside, below the title. `action`: a quiet button at the right, "" none; its press
// comes back in `acted`.
[[nodiscard]] Box draw_card(Ui& ui, const Box& box, std::string_view title,
                            std::string_view action = {}, bool* acted = nullptr);
// What a card's frame adds to its content's height.
[[nodiscard]] float card_frame_height(const Ui& ui);

// A card in the middle of a shaded page; returns its inside.
[[nodiscard]] Box overlay_card(Ui& ui, float width, float height, float top_share);
[[nodiscard]] bool pressed_outside(const Ui& ui, const Box& inside);

class CardPage {
public:
    CardPage(Ui& ui, std::string_view name, const Box& box, Scroll& scroll);
    void end();

    void title(std::string_view text, std::string_view note);
    // Space for a card of this height in the shorter column, or across both.
    Box place(float height, bool wide);
    [[nodiscard]] float width() const { return right_ - left_; }
    // Of a card in one column.
    [[nodiscard]] float column_width() const;
    // Whether any of it can be seen; who cannot be seen need not be drawn.
    [[nodiscard]] bool seen(const Box& box) const {
        return box.bottom > box_.top && box.top < box_.bottom;
    }

private:
    Ui& ui_;
    Box box_;
    float left_ = 0, right_ = 0, top_ = 0;
    size_t columns_ = 1;
    std::array<float, 2> y_ = {};
};

}  // namespace millrace
