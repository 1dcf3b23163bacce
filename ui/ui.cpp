#include "ui/ui.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace millrace {
namespace {

constexpr uint32_t kHashStart = 2166136261U, kHashStep = 16777619U;

uint32_t hash(uint32_t from, std::string_view text) {
    uint32_t h = from;
    for (const char c : text) h = (h ^ static_cast<uint8_t>(c)) * kHashStep;
    return h == 0 ? 1 : h;
}

bool walks(ThingRole role) {
    return role != ThingRole::kPlot && role != ThingRole::kText && role != ThingRole::kHandle;
}

}  // namespace

void Ui::begin(const PersonInput& input, float width, float height, float scale,
               const Theme& theme) {
    input_ = input;
    width_ = width;
    height_ = height;
    scale_ = scale;
    theme_ = &theme;
    ids_.clear();
    scrolls_.clear();
    tooltip_.clear();
    grounds_.clear();
    now_count_ = 0;
    layer_ = 0;
    layers_now_ = 0;
    restless_ = false;
    if (input_.left.pressed) keyboard_ = false;
    if (!input_.left.down && !input_.left.released) hot_ = 0;
    canvas_.use(ImGui::GetBackgroundDrawList(), theme);
    ground(whole(), Tone::kGround);
    under_ = 0;
    for (const Thing& thing : shown_) {
        const bool here = thing.layer == top_layer_ && thing.seen.contains(input_.x, input_.y);
        if (here && thing.enabled) under_ = thing.id;
    }
}

void Ui::end() {
    ENSURE(layer_ == 0 && scrolls_.empty() && ids_.empty());
    now_.resize(now_count_);
    std::swap(now_, shown_);
    top_layer_ = layers_now_;
    walk_focus();
    draw_tooltip();
    if (input_.left.released) hot_ = 0;
}

// Tab goes to the next thing of the topmost layer, in the order in which they were drawn.
void Ui::walk_focus() {
    const bool forward = take(Key::kTab), back = take(Chord{.key = Key::kTab, .shift = true});
    std::vector<const Thing*> order;
    for (const Thing& thing : shown_) {
        if (thing.layer == top_layer_ && thing.enabled && walks(thing.role))
            order.push_back(&thing);
    }
    const auto here = std::ranges::find(order, focus_, &Thing::id);
    if (focus_ != 0 && here == order.end() && !order.empty()) {
        const bool gone = std::ranges::find(shown_, focus_, &Thing::id) == shown_.end();
        if (gone || top_layer_ > 0) focus_ = 0;
    }
    if ((!forward && !back) || order.empty()) return;
    keyboard_ = true;
    restless_ = true;
    const auto count = static_cast<ptrdiff_t>(order.size());
    ptrdiff_t at = here == order.end() ? (forward ? -1 : count) : here - order.begin();
    at = (at + (forward ? 1 : count - 1)) % count;
    focus_ = order[static_cast<size_t>(at < 0 ? 0 : at)]->id;
}

TextStyle Ui::style(Size size) const {
    struct Entry {
        Face face;
        float pixels;
    };
    constexpr std::array<Entry, 7> entries = {{{Face::kBody, 12.5F},
                                               {Face::kBody, 14},
                                               {Face::kSemibold, 14},
                                               {Face::kBody, 16},
                                               {Face::kSemibold, 17},
                                               {Face::kSemibold, 22},
                                               {Face::kMono, 13}}};
    const Entry& entry = entries[static_cast<size_t>(size)];
    return {entry.face, std::max(6.F, std::round(px(entry.pixels) * 2) / 2)};
}

float Ui::text(std::string_view text, float x, float baseline, Size size, Tone tone) {
    const ShapedLine& line = fonts_.line(text, style(size));
    canvas_.set_colour(theme_->tone(tone));
    fonts_.draw(canvas_, line, x, baseline, Ink::kText);
    canvas_.unset_colour();
    return line.width;
}

float Ui::label(std::string_view text, const Box& box, Size size, Tone tone, Align align) {
    const ShapedLine& line = fonts_.line_within(text, style(size), box.width());
    float x = box.left;
    if (align == Align::kCentre) x += (box.width() - line.width) / 2;
    if (align == Align::kRight) x = box.right - line.width;
    // Centred on the height of capitals, which is what the eye sees.
    const float baseline = std::round((box.top + box.bottom) / 2 + line.style.size * 0.36F);
    canvas_.set_colour(theme_->tone(tone));
    fonts_.draw(canvas_, line, std::round(x), baseline, Ink::kText);
    canvas_.unset_colour();
    return line.width;
}

float Ui::paragraph(std::string_view text, float x, float top, float width, Size size, Tone tone) {
    const TextStyle s = style(size);
    const float step = std::round(s.size * 1.45F);
    float y = top;
    const auto put = [&](std::string_view line) {
        label(line, {x, y, x + width, y + step}, size, tone);
        y += step;
    };
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        std::string_view rest = text.substr(0, end);
        text.remove_prefix(std::min(text.size(), end + 1));
        if (rest.empty()) y += step / 2;
        while (!rest.empty()) {
            size_t fit = 0;
            for (size_t at = 0; at < rest.size();) {
                size_t space = rest.find(' ', at);
                if (space == std::string_view::npos) space = rest.size();
                if (fit > 0 && width_of(rest.substr(0, space), size) > width) break;
                fit = space;
                at = space + 1;
            }
            put(rest.substr(0, fit));
            rest.remove_prefix(std::min(rest.size(), fit + 1));
        }
    }
    return y - top;
}

float Ui::width_of(std::string_view text, Size size) {
    return fonts_.line(text, style(size)).width;
}

uint32_t Ui::id(std::string_view name) const {
    return hash(ids_.empty() ? kHashStart : ids_.back() * kHashStep, name);
}
void Ui::push_id(int64_t number) { ids_.push_back(id(std::to_string(number))); }

void Ui::begin_layer() {
    layer_ = ++layers_now_;
    canvas_.use(ImGui::GetForegroundDrawList(), *theme_);
}
void Ui::end_layer() {
    layer_ = 0;
    canvas_.use(ImGui::GetBackgroundDrawList(), *theme_);
}

bool Ui::reachable(const Box& box) const {
    if (!layer_is_top()) return false;
    const Box clip = canvas_.clip();
    return box.contains(input_.x, input_.y) && clip.contains(input_.x, input_.y);
}

Touch Ui::thing(uint32_t id, ThingRole role, std::string_view name, const Box& box, Enabled enabled,
                bool on) {
    if (now_count_ == now_.size()) now_.emplace_back();
    Thing& entry = now_[now_count_++];
    entry.id = id;
    entry.role = role;
    entry.name.assign(name);
    entry.box = box;
    const Box clip = canvas_.clip();
    entry.seen = {std::max(box.left, clip.left), std::max(box.top, clip.top),
                  std::min(box.right, clip.right), std::min(box.bottom, clip.bottom)};
    entry.layer = layer_;
    entry.enabled = enabled == Enabled::kYes;
    entry.on = on;
    entry.focused = focus_ == id;
    Touch touch;
    if (enabled == Enabled::kNo) return touch;
    // What is drawn later lies in front.
    const bool foremost = under_ == id || under_ == 0;
    touch.hovered = reachable(box) && (hot_ == 0 || hot_ == id) && (foremost || hot_ == id);
    touch.focused = focus_ == id && layer_is_top();
    if (touch.hovered && input_.left.pressed) {
        hot_ = id;
        if (walks(role)) focus_ = id;
        touch.double_clicked = input_.clicks == 2;
    }
    touch.held = hot_ == id;
    touch.clicked = touch.held && touch.hovered && input_.left.released;
    touch.right_clicked = touch.hovered && input_.right.pressed;
    if (touch.focused && role != ThingRole::kField) {
        if (take(Key::kEnter) || take(Key::kSpace)) touch.clicked = true;
    }
    return touch;
}

void Ui::focus_ring(const Box& box, float radius) {
    const float out = px(2);
    canvas_.outline({box.left - out, box.top - out, box.right + out, box.bottom + out},
                    tone(Tone::kFocus), radius + out, std::max(1.5F, px(1.5F)));
}

float Ui::button_width(std::string_view name) { return width_of(name, Size::kLabel) + px(28); }

bool Ui::button(std::string_view name, const Box& box, ButtonLook look, Enabled enabled) {
    const Touch touch = thing(id(name), ThingRole::kButton, name, box, enabled);
    const bool filled = look == ButtonLook::kPrimary && enabled == Enabled::kYes;
    const float radius = px(8);
    if (filled) {
        canvas_.fill(box,
                     tone(Tone::kAccent)
                         .faded(touch.held      ? 0.75F
                                : touch.hovered ? 0.88F
                                                : 1),
                     radius);
    } else if (look != ButtonLook::kQuiet) {
        canvas_.fill(box,
                     tone(touch.held      ? Tone::kPressed
                          : touch.hovered ? Tone::kHover
                                          : Tone::kRaised),
                     radius);
        canvas_.outline(box, tone(Tone::kBorder), radius, 1);
    } else if (touch.hovered) {
        canvas_.fill(box, tone(touch.held ? Tone::kPressed : Tone::kHover), radius);
    }
    const Tone ink = enabled == Enabled::kNo       ? Tone::kMuted
                     : filled                      ? Tone::kOnAccent
                     : look == ButtonLook::kDanger ? Tone::kBad
                                                   : Tone::kText;
    label(name, {box.left + px(8), box.top, box.right - px(8), box.bottom}, Size::kLabel, ink,
          Align::kCentre);
    if (touch.focused && keyboard_) focus_ring(box, radius);
    return touch.clicked;
}

bool Ui::toggle(std::string_view name, const Box& box, bool on) {
    const Touch touch = thing(id(name), ThingRole::kToggle, name, box, Enabled::kYes, on);
    label(name, {box.left, box.top, box.right - px(52), box.bottom}, Size::kLabel, Tone::kText);
    const float middle = (box.top + box.bottom) / 2;
    const Box track = {box.right - px(38), middle - px(10), box.right, middle + px(10)};
    canvas_.fill(track, tone(on ? Tone::kAccent : Tone::kPressed), px(10));
    canvas_.outline(track, tone(on ? Tone::kAccent : Tone::kMuted), px(10), 1);
    canvas_.disc(on ? track.right - px(10) : track.left + px(10), middle, px(7),
                 tone(on ? Tone::kOnAccent : Tone::kText));
    if (touch.focused && keyboard_) focus_ring(track, px(10));
    return touch.clicked;
}

bool Ui::choice(std::string_view name, const Box& box, bool chosen) {
    const Touch touch = thing(id(name), ThingRole::kTab, name, box, Enabled::kYes, chosen);
    if (chosen) {
        canvas_.fill(box, tone(Tone::kPressed), px(7));
    } else if (touch.hovered) {
        canvas_.fill(box, tone(Tone::kHover), px(7));
    }
    label(name, box, chosen ? Size::kStrong : Size::kLabel, chosen ? Tone::kText : Tone::kMuted,
          Align::kCentre);
    if (touch.focused && keyboard_) focus_ring(box, px(7));
    return touch.clicked;
}

void Ui::chip(std::string_view text, float& x, float centre, Tone text_tone, Tone ground) {
    const float width = width_of(text, Size::kCaption) + px(18), half = px(11);
    const Box box = {x, centre - half, x + width, centre + half};
    canvas_.fill(box, tone(ground), half);
    label(text, box, Size::kCaption, text_tone, Align::kCentre);
    x += width + px(6);
}

void Ui::tooltip(std::string_view text) { tooltip_.assign(text); }

void Ui::draw_tooltip() {
    if (tooltip_.empty() || input_.x < 0) return;
    canvas_.use(ImGui::GetForegroundDrawList(), *theme_);
    const float pad = px(8), line = std::round(style(Size::kCaption).size * 1.45F);
    float width = 0;
    int lines = 0;
    for (size_t at = 0; at <= tooltip_.size(); ++lines) {
        const size_t end = std::min(tooltip_.find('\n', at), tooltip_.size());
        width = std::max(width,
                         width_of(std::string_view(tooltip_).substr(at, end - at), Size::kCaption));
        at = end + 1;
    }
    width = std::min(width, px(420));
    const float height = line * static_cast<float>(lines) + 2 * pad;
    const float left = std::clamp(input_.x + px(14), 0.F, std::max(0.F, width_ - width - 2 * pad));
    const float below = input_.y + px(18);
    const float top = below + height > height_ ? std::max(0.F, input_.y - height - px(8)) : below;
    const Box box = {left, top, left + width + 2 * pad, top + height};
    canvas_.fill(box, tone(Tone::kRaised), px(8));
    canvas_.outline(box, tone(Tone::kBorder), px(8), 1);
    paragraph(tooltip_, left + pad, top + pad, width + 1, Size::kCaption, Tone::kText);
    canvas_.use(ImGui::GetBackgroundDrawList(), *theme_);
}

bool Ui::take(const Chord& chord) {
    const auto found = std::ranges::find(input_.keys, chord);
    if (found == input_.keys.end()) return false;
    input_.keys.erase(found);
    return true;
}

void Ui::begin_scroll(std::string_view name, const Box& box, Scroll& scroll, bool keys) {
    const float room = std::max(0.F, scroll.content - box.height());
    if (reachable(box) && input_.wheel != 0) {
        scroll.offset -= input_.wheel * px(56);
        scroll.at_end = scroll.offset >= room - 1;
        input_.wheel = 0;
    }
    if (keys && layer_is_top()) {
        const float page = box.height() * 0.9F;
        if (take(Key::kPageUp)) scroll.offset -= page, scroll.at_end = false;
        if (take(Key::kPageDown)) scroll.offset += page, scroll.at_end = scroll.offset >= room - 1;
        if (take(Chord{.key = Key::kHome, .control = true}))
            scroll.offset = 0, scroll.at_end = room <= 0;
        if (take(Chord{.key = Key::kEnd, .control = true})) scroll.at_end = true;
    }
    if (scroll.at_end) scroll.offset = room;
    scroll.offset = std::round(std::clamp(scroll.offset, 0.F, room));
    scrolls_.push_back({box, &scroll, id(name), keys});
    canvas_.push_clip(box);
}

void Ui::end_scroll(float content_height) {
    const Scrolled scrolled = scrolls_.back();
    scrolls_.pop_back();
    canvas_.pop_clip();
    Scroll& scroll = *scrolled.scroll;
    if (scroll.content != content_height && scroll.at_end) restless_ = true;
    scroll.content = content_height;
    const Box& box = scrolled.box;
    const float room = content_height - box.height();
    if (room <= 0) return;
    const float length = std::max(px(32), box.height() * box.height() / content_height);
    const float travel = box.height() - length;
    const float top = box.top + travel * std::clamp(scroll.offset / room, 0.F, 1.F);
    const Box track = {box.right - px(10), box.top, box.right, box.bottom};
    const Touch touch = thing(scrolled.id, ThingRole::kHandle, "scroll", track);
    if (touch.held && travel > 0) {
        scroll.offset = std::clamp((input_.y - box.top - length / 2) / travel, 0.F, 1.F) * room;
        scroll.at_end = scroll.offset >= room - 1;
    }
    const float slim = touch.hovered || touch.held ? px(7) : px(4);
    canvas_.fill({box.right - slim - px(2), top + px(2), box.right - px(2), top + length - px(2)},
                 tone(Tone::kMuted).faded(touch.hovered || touch.held ? 0.8F : 0.45F), slim / 2);
}

}  // namespace millrace
