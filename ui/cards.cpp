#include "ui/cards.h"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr float kPad = 16, kTitle = 36, kGap = 16;

}  // namespace

Box draw_card(Ui& ui, const Box& box, std::string_view title, std::string_view action,
              bool* acted) {
    ui.canvas().fill(box, ui.tone(Tone::kRaised), ui.px(10));
    ui.canvas().outline(box, ui.tone(Tone::kBorder), ui.px(10), 1);
    const float pad = ui.px(kPad);
    float right = box.right - pad;
    const float top = box.top + ui.px(8), bottom = top + ui.px(kTitle - 8);
    if (!action.empty()) {
        const float width = ui.button_width(action);
        ui.push_id(title);
        *acted = ui.button(action, {right - width + ui.px(8), top, right + ui.px(8), bottom},
                           ButtonLook::kQuiet);
        ui.pop_id();
        right -= width;
    }
    ui.label(title, {box.left + pad, top, right, bottom}, Size::kStrong, Tone::kText);
    return {box.left + pad, box.top + ui.px(kTitle + 6), box.right - pad, box.bottom - pad};
}

float card_frame_height(const Ui& ui) { return ui.px(kTitle + 6 + kPad); }

Box overlay_card(Ui& ui, float width, float height, float top_share) {
    ui.canvas().fill(ui.whole(), ui.tone(Tone::kShade), 0);
    width = std::min(width, ui.whole().width() - ui.px(32));
    height = std::min(height, ui.whole().height() - ui.px(32));
    const float left = std::round((ui.whole().width() - width) / 2);
    const float top = std::round(std::max(ui.px(16), (ui.whole().height() - height) * top_share));
    const Box box = {left, top, left + width, top + height};
    ui.canvas().fill(box, ui.tone(Tone::kGround), ui.px(12));
    ui.canvas().outline(box, ui.tone(Tone::kBorder), ui.px(12), 1);
    return {box.left + ui.px(20), box.top + ui.px(16), box.right - ui.px(20),
            box.bottom - ui.px(16)};
}

bool pressed_outside(const Ui& ui, const Box& inside) {
    const PersonInput& input = ui.input();
    const float out = ui.px(20);
    const Box box = {inside.left - out, inside.top - out, inside.right + out, inside.bottom + out};
    return input.left.pressed && ui.layer_is_top() && !box.contains(input.x, input.y);
}

CardPage::CardPage(Ui& ui, std::string_view name, const Box& box, Scroll& scroll)
    : ui_(ui), box_(box) {
    scroll.at_end = false;
    ui.begin_scroll(name, box, scroll, true);
    const float width = std::min(ui.px(1240), box.width() - ui.px(40));
    left_ = std::round(box.left + (box.width() - width) / 2);
    right_ = left_ + width;
    columns_ = width >= ui.px(760) ? 2 : 1;
    top_ = box.top - scroll.offset;
    y_.fill(top_ + ui.px(20));
}

void CardPage::end() { ui_.end_scroll(std::max(y_[0], y_[1]) - top_ + ui_.px(24)); }

void CardPage::title(std::string_view text, std::string_view note) {
    const float y = std::max(y_[0], y_[1]);
    ui_.text(text, left_, y + ui_.px(24), Size::kTitle, Tone::kText);
    float height = ui_.px(44);
    if (!note.empty()) {
        height += ui_.paragraph(note, left_, y + ui_.px(36), width(), Size::kLabel, Tone::kMuted) +
                  ui_.px(6);
    }
    y_.fill(y + height);
}

float CardPage::column_width() const {
    const auto columns = static_cast<float>(columns_);
    return std::floor((width() - ui_.px(kGap) * (columns - 1)) / columns);
}

Box CardPage::place(float height, bool wide) {
    wide = wide || columns_ == 1;
    const size_t column = !wide && y_[1] < y_[0] ? 1 : 0;
    const float y = wide ? std::max(y_[0], y_[1]) : y_[column];
    const float left = left_ + (column_width() + ui_.px(kGap)) * static_cast<float>(column);
    const Box box = {left, y, wide ? right_ : left + column_width(), y + std::round(height)};
    const float next = box.bottom + ui_.px(kGap);
    if (wide) {
        y_.fill(next);
    } else {
        y_[column] = next;
    }
    return box;
}

}  // namespace millrace
