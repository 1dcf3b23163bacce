// The messages of the branch that is shown: virtualised by known heights, selectable across messages, still under the
// reader.

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/base/strings.h"
#include "ui/answer_facts.h"
#include "ui/selection.h"
#include "ui/token_card.h"
#include "ui/views.h"

namespace millrace {
namespace {

constexpr float kColumn = 760;
constexpr size_t kTextsMax = 300;  // messages that are laid out at a time

class MessageColumn {
public:
    MessageColumn(Frame& frame, const Box& box)
        : frame_(frame),
          ui_(frame.ui),
          view_(frame.view),
          box_(box),
          chat_(*frame.desk.state().chat),
          shown_(chat_.branches.shown()) {
        width_ = std::min(ui_.px(kColumn), box.width() - ui_.px(48));
        left_ = std::round(box.left + (box.width() - width_) / 2);
        type_.scale = ui_.scale();
    }

    void draw() {
        if (view_.heights_width != width_ || view_.heights_scale != ui_.scale()) {
            view_.heights.clear();
            view_.heights_width = width_;
            view_.heights_scale = ui_.scale();
        }
        if (view_.shown_chat != chat_.summary.id) {
            view_.shown_chat = chat_.summary.id;
            view_.clear_selection();
            view_.texts.clear();
            view_.heights.clear();
            view_.chat_scroll = {};
        }
        ++view_.frame;
        if (view_.reveal_found) reveal();
        if (const MessageId wanted = std::exchange(view_.reveal_message, MessageId::kNone);
            wanted != MessageId::kNone) {
            const auto at = std::ranges::find(shown_, wanted) - shown_.begin();
            reveal(static_cast<size_t>(at), [](const RichText&) { return 0.F; });
        }
        forget_text_token(frame_);
        if (view_.engine.reveal_token) reveal_token();
        ui_.begin_scroll("conversation", box_, view_.chat_scroll, true);
        measure_visible();
        float y = box_.top + ui_.px(20) - view_.chat_scroll.offset;
        const float first = y;
        for (size_t i = 0; i < shown_.size(); ++i) {
            const float height = height_of(i);
            if (y + height > box_.top && y < box_.bottom) message(i, y);
            y += height;
        }
        select_by_pointer();
        ui_.end_scroll(y - first + ui_.px(44));
        jump_button();
        forget_texts();
    }

private:
    const StoredMessage& stored(size_t i) const { return *chat_.branches.find(shown_[i]); }
    bool growing(size_t i) const {
        const auto& running = frame_.desk.state().running;
        return running && running->answer.id == shown_[i];
    }
    bool open(size_t i) const {
        const auto found = view_.thinking_open.find(shown_[i]);
        return found != view_.thinking_open.end() && found->second;
    }
    bool mine(size_t i) const { return stored(i).author == Author::kUser; }

    // Known, or guessed from the length until the message has been seen.
    float height_of(size_t i) const {
        const auto known = view_.heights.find(shown_[i]);
        if (known != view_.heights.end()) return known->second;
        const float letters = std::max(10.F, width_ / ui_.px(8));
        const float lines = 1 + std::floor(static_cast<float>(stored(i).content.size()) / letters);
        return lines * ui_.px(24) + ui_.px(72);
    }

    // Lays out what is seen. A message above the view that turns out higher or lower than was thought moves the offset with
    // it, so that what is being read stays where it is.
    void measure_visible() {
        Scroll& scroll = view_.chat_scroll;
        float y = ui_.px(20);
        for (size_t i = 0; i < shown_.size(); ++i) {
            const float before = height_of(i);
            const bool seen = y + before > scroll.offset - ui_.px(200) &&
                              y < scroll.offset + box_.height() + ui_.px(200);
            if (seen) {
                const float now = lay_out(i);
                if (now != before) {
                    view_.heights[shown_[i]] = now;
                    if (y + before <= scroll.offset && !scroll.at_end)
                        scroll.offset += now - before;
                    ui_.be_restless();
                } else {
                    view_.heights.try_emplace(shown_[i], now);
                }
                y += now;
            } else {
                y += before;
            }
        }
    }

    float inner_width(size_t i) const { return mine(i) ? width_ * 0.86F - ui_.px(32) : width_; }

    MessageText& text_of(size_t i) {
        const StoredMessage& message = stored(i);
        MessageText& text = view_.texts[shown_[i]];
        const Streaming streaming = growing(i) ? Streaming::kYes : Streaming::kNo;
        const bool settled = text.state != message.state && streaming == Streaming::kNo;
        if (!text.content) {
            const Markup markup = mine(i) ? Markup::kPlain : Markup::kMarkdown;
            text.content = RichText::create(ui_.fonts(), markup);
            text.reasoning = RichText::create(ui_.fonts(), Markup::kMarkdown);
        }
        if (text.content_bytes != message.content.size() || settled) {
            text.content->set(message.content, streaming);
            text.content_bytes = message.content.size();
        }
        if (text.reasoning_bytes != message.reasoning.size() || settled) {
            text.reasoning->set(message.reasoning, streaming);
            text.reasoning_bytes = message.reasoning.size();
        }
        text.state = message.state;
        text.used = view_.frame;
        text.content->lay_out(inner_width(i), type_);
        TypeScale small = type_;
        small.body = 14;
        if (open(i)) text.reasoning->lay_out(width_ - ui_.px(18), small);
        return text;
    }

    float thinking_height(size_t i, const MessageText& text) const {
        if (stored(i).reasoning.empty()) return 0;
        return ui_.px(34) + (open(i) ? text.reasoning->height() + ui_.px(12) : 0);
    }

    float lay_out(size_t i) {
        const MessageText& text = text_of(i);
        if (mine(i)) return std::round(text.content->height() + ui_.px(24) + ui_.px(38));
        return std::round(thinking_height(i, text) + text.content->height() + ui_.px(52));
    }

    void message(size_t i, float y) {
        ui_.push_id(static_cast<int64_t>(shown_[i]));
        MessageText& text = text_of(i);
        float top = y, text_left = left_;
        if (mine(i)) {
            const float bubble = text.content->reach() + ui_.px(32);
            const Box box = {left_ + width_ - bubble, y, left_ + width_,
                             y + text.content->height() + ui_.px(24)};
            ui_.canvas().fill(box, ui_.tone(Tone::kBubble), ui_.px(14));
            text_left = box.left + ui_.px(16);
            top += ui_.px(12);
        } else {
            top += thinking(i, text, y);
        }
        body(i, *text.content, false, text_left, top);
        foot(i, top + text.content->height() + ui_.px(mine(i) ? 16 : 6));
        ui_.pop_id();
    }

    void body(size_t i, RichText& rich, bool reasoning, float x, float y) {
        std::vector<TextRange> found;
        TextMarks marks;
        marks.selection = selected_in(view_, i, reasoning, rich.source().size());
        if (!reasoning && view_.find_open) {
            for (size_t f = 0; f < view_.found.size(); ++f) {
                if (view_.found[f].message != i) continue;
                if (f == view_.found_here) marks.found_here = found.size();
                found.push_back(view_.found[f].range);
            }
        }
        marks.found = found;
        const PersonInput& input = ui_.input();
        const float px = input.x - x, py = input.y - y;
        const bool over = ui_.layer_is_top() && box_.contains(input.x, input.y) && px >= 0 &&
                          py >= 0 && px < rich.height() + width_ && py < rich.height();
        if (over && !mine(i) && !view_.selecting) point_at(i, rich, reasoning, x, y);
        marks.token = lit(i, rich, reasoning, x, y);
        rich.draw(ui_.canvas(), x, y, box_.top, box_.bottom, marks);
        copy_buttons(rich, x, y);
        if (!over) return;
        if (const auto formula = rich.formula_at(px, py)) ui_.tooltip(cat("LaTeX: ", *formula));
        if (const auto link = rich.link_at(px, py)) {
            ui_.tooltip(
                cat(*link, "\nClick to copy the address. Millrace opens nothing on the network."));
            if (input.left.pressed && input.clicks == 1) {
                view_.copy_wanted = *link;
                frame_.desk.tell("The address is in the clipboard.");
            }
        }
    }

    [[nodiscard]] static Box moved(const Box& box, float x, float y) {
        return {box.left + x, box.top + y, box.right + x, box.bottom + y};
    }

    void point_at(size_t i, const RichText& rich, bool reasoning, float x, float y) {
        const auto glyph = rich.glyph_at(ui_.input().x - x, ui_.input().y - y);
        if (!glyph) return;
        const Box box = moved(rich.box_of(glyph->bytes.begin), x, y);
        look_at(frame_, {shown_[i], reasoning, *glyph, box});
    }

    // The bytes of this text that belong to the token that is looked at.
    TextRange lit(size_t i, const RichText& rich, bool reasoning, float x, float y) {
        const std::optional<AnswerToken> token = lit_token(frame_);
        if (!token || token->message != shown_[i] || token->reasoning != reasoning) return {};
        const Box box = moved(rich.box_of(token->begin), x, y);
        if (box.bottom > box_.top && box.top < box_.bottom) card_of_strip(frame_, *token, box);
        return {token->begin, token->end};
    }

    void copy_buttons(RichText& rich, float x, float y) {
        const float px = ui_.input().x - x, py = ui_.input().y - y;
        for (size_t c = 0; c < rich.code_boxes().size(); ++c) {
            const CodeBox& code = rich.code_boxes()[c];
            if (!code.box.contains(px, py) && !ui_.by_keyboard()) continue;
            ui_.push_id(static_cast<int64_t>(c));
            const float width = ui_.button_width("Copy code");
            const Box at = {x + code.box.right - width - ui_.px(6), y + code.box.top + ui_.px(5),
                            x + code.box.right - ui_.px(6), y + code.box.top + ui_.px(33)};
            if (ui_.button("Copy code", at)) {
                view_.copy_wanted =
                    rich.source().substr(code.code.begin, code.code.end - code.code.begin);
                frame_.desk.tell("The code is in the clipboard.");
            }
            ui_.pop_id();
        }
    }

    // The fold of the reasoning. Returns its height.
    float thinking(size_t i, MessageText& text, float y) {
        const StoredMessage& message = stored(i);
        if (message.reasoning.empty()) return 0;
        const bool thinks = growing(i) && message.content.empty();
        const AnswerFacts facts = facts_of(message);
        std::string head = thinks ? "Thinking" : "Thought";
        if (thinks && frame_.desk.state().running->writing_s > 0) {
            head += cat(" · ", frame_.desk.state().running->tokens, " tokens");
        } else if (facts.thought_s > 0) {
            head += cat(" for ", fixed(facts.thought_s, facts.thought_s < 10 ? 1 : 0), " s");
        }
        const Box at = {left_, y, left_ + width_, y + ui_.px(28)};
        const Touch touch =
            ui_.thing(ui_.id("thinking"), ThingRole::kToggle, head, at, Enabled::kYes, open(i));
        if (touch.clicked) {
            view_.thinking_open[shown_[i]] = !open(i);
            view_.heights.erase(shown_[i]);
            ui_.be_restless();
        }
        chevron(left_ + ui_.px(6), y + ui_.px(14), open(i), touch.hovered || touch.focused);
        const float end =
            left_ + ui_.px(18) +
            ui_.label(head, {left_ + ui_.px(18), at.top, at.right, at.bottom}, Size::kLabel,
                      touch.hovered || touch.focused ? Tone::kText : Tone::kMuted);
        if (!open(i) && thinks) {
            // The last words, so that one sees that something is happening.
            const std::string& all = message.reasoning;
            size_t from = all.size() > 120 ? all.size() - 120 : 0;
            from = std::min(all.find(' ', from), all.size());
            std::string tail = all.substr(from);
            std::ranges::replace(tail, '\n', ' ');
            ui_.label(tail, {end + ui_.px(12), at.top, at.right, at.bottom}, Size::kCaption,
                      Tone::kMuted);
        }
        if (open(i)) {
            const float top = y + ui_.px(34);
            ui_.canvas().fill({left_, top, left_ + ui_.px(2), top + text.reasoning->height()},
                              ui_.tone(Tone::kBorder), 0);
            body(i, *text.reasoning, true, left_ + ui_.px(16), top);
        }
        return thinking_height(i, text);
    }

    void chevron(float x, float y, bool down, bool strong) {
        const float r = ui_.px(4);
        const Colour colour = ui_.tone(strong ? Tone::kText : Tone::kMuted);
        if (down) {
            ui_.canvas().triangle({x - r, y - r / 2}, {x + r, y - r / 2}, {x, y + r}, colour);
        } else {
            ui_.canvas().triangle({x - r / 2, y - r}, {x + r, y}, {x - r / 2, y + r}, colour);
        }
    }

    void foot(size_t i, float y) {
        const StoredMessage& message = stored(i);
        const float height = ui_.px(24);
        float x = mine(i) ? left_ + width_ : left_;
        const Box zone = {left_, y - ui_.px(60), left_ + width_, y + height};
        const bool near = zone.contains(ui_.input().x, ui_.input().y) || ui_.by_keyboard() ||
                          i + 2 >= shown_.size();
        const Branches::Version version = chat_.branches.version_of(shown_[i]);
        std::vector<std::pair<std::string, int>> actions;
        if (version.count > 1) {
            actions.push_back({"<", 1});
            actions.push_back({cat(version.number, " of ", version.count), 0});
            actions.push_back({">", 2});
        }
        if (near && !growing(i)) {
            actions.push_back({"Copy", 3});
            actions.push_back({"Edit", 4});
            if (!mine(i)) actions.push_back({"Again", 5});
            actions.push_back({"Delete", 6});
        }
        const auto width_of = [&](const std::pair<std::string, int>& action) {
            return ui_.width_of(action.first, Size::kCaption) + ui_.px(14);
        };
        if (mine(i)) {
            for (const auto& action : actions) x -= width_of(action);
        }
        for (const auto& action : actions) {
            const Box at = {x, y, x + width_of(action), y + height};
            x = at.right;
            if (action.second == 0) {
                ui_.label(action.first, at, Size::kCaption, Tone::kMuted, Align::kCentre);
                continue;
            }
            const std::string_view name = action.second == 1   ? "Version before"
                                          : action.second == 2 ? "Version after"
                                                               : std::string_view(action.first);
            const Touch touch = ui_.thing(ui_.id(name), ThingRole::kButton, name, at);
            if (touch.hovered || touch.focused)
                ui_.canvas().fill(at, ui_.tone(Tone::kHover), ui_.px(6));
            ui_.label(action.first, at, Size::kCaption,
                      touch.hovered || touch.focused ? Tone::kText : Tone::kMuted, Align::kCentre);
            if (touch.clicked) act(action.second, i, version);
        }
        if (mine(i)) return;
        std::string line = message.state == MessageState::kStopped ||
                                   (message.state == MessageState::kGrowing && !growing(i))
                               ? "Stopped. "
                           : message.state == MessageState::kCutOff ? "Cut off by a limit. "
                                                                    : "";
        if (!growing(i)) line += foot_of(facts_of(message), drive_limit());
        ui_.label(line, {x + ui_.px(8), y, left_ + width_, y + height}, Size::kCaption,
                  Tone::kMuted, Align::kRight);
    }

    [[nodiscard]] DriveLimit drive_limit() const {
        DriveLimit limit = frame_.desk.state().drive;
        if (frame_.workshop != nullptr) {
            const MachineRate& drive = frame_.workshop->state().machine.drive;
            if (drive.measured) limit.measured = drive.value;
        }
        return limit;
    }

    void act(int action, size_t i, const Branches::Version& version) {
        Desk& desk = frame_.desk;
        switch (action) {
            case 1: desk.show_version(version.before); break;
            case 2: desk.show_version(version.after); break;
            case 3:
                view_.copy_wanted = stored(i).content;
                desk.tell("The message is in the clipboard, as Markdown.");
                break;
            case 4:
                view_.open_dialog(DialogKind::kEdit, stored(i).content);
                view_.dialog.message = shown_[i];
                break;
            case 5: desk.regenerate(shown_[i]); break;
            default: desk.remove_message(shown_[i]); break;
        }
    }

    // The place under the pointer, in the message that is nearest.
    std::optional<TextPlace> place_at(float px, float py) {
        float y = box_.top + ui_.px(20) - view_.chat_scroll.offset;
        std::optional<TextPlace> best;
        for (size_t i = 0; i < shown_.size(); ++i) {
            const float height = height_of(i);
            const bool seen = y + height > box_.top && y < box_.bottom;
            if (seen && (py >= y || !best)) {
                MessageText& text = text_of(i);
                const float thinks = mine(i) ? ui_.px(12) : thinking_height(i, text);
                const float left =
                    mine(i) ? left_ + width_ - text.content->reach() - ui_.px(16) : left_;
                if (!mine(i) && open(i) && py < y + thinks - ui_.px(6)) {
                    best = TextPlace{
                        i, true,
                        text.reasoning->position_at(px - left_ - ui_.px(16), py - y - ui_.px(34))};
                } else {
                    best =
                        TextPlace{i, false, text.content->position_at(px - left, py - y - thinks)};
                }
            }
            y += height;
        }
        return best;
    }

    void select_by_pointer() {
        const PersonInput& input = ui_.input();
        const Box zone = {box_.left, box_.top, box_.right - ui_.px(12), box_.bottom};
        const Touch touch = ui_.thing(ui_.id("text"), ThingRole::kText, "conversation", zone);
        if (touch.held && input.left.pressed) {
            const auto place = place_at(input.x, input.y);
            if (place && input.clicks > 1) {
                RichText& rich = place->reasoning ? *text_of(place->message).reasoning
                                                  : *text_of(place->message).content;
                const TextRange range =
                    input.clicks == 2 ? rich.word_at(place->byte) : rich.paragraph_at(place->byte);
                view_.select_from = TextPlace{place->message, place->reasoning, range.begin};
                view_.select_to = TextPlace{place->message, place->reasoning, range.end};
                offer_selection();
            } else {
                if (!input.shift || !view_.select_from) view_.select_from = place;
                view_.select_to = place;
                view_.selecting = true;
            }
        } else if (touch.held && view_.selecting && input.left.down) {
            if (const auto place = place_at(input.x, input.y)) view_.select_to = place;
            // Beyond the edge the text comes along.
            const float beyond = input.y < box_.top      ? input.y - box_.top
                                 : input.y > box_.bottom ? input.y - box_.bottom
                                                         : 0;
            if (beyond != 0) {
                view_.chat_scroll.offset += beyond * 0.3F;
                view_.chat_scroll.at_end = false;
                ui_.be_restless();
            }
        }
        if (!input.left.down && view_.selecting) {
            view_.selecting = false;
            offer_selection();
        }
    }

    // To whoever pastes with the middle button.
    void offer_selection() {
        if (view_.selection_empty()) return;
        ui_.clipboard().set_selected(copy_selection(frame_.desk, view_, CopyAs::kPlain));
    }

    void jump_button() {
        const Scroll& scroll = view_.chat_scroll;
        if (scroll.at_end || scroll.content - scroll.offset - box_.height() < ui_.px(60)) return;
        const std::string_view name =
            frame_.desk.state().running ? "Follow the answer" : "To the end";
        const float width = ui_.button_width(name), middle = (box_.left + box_.right) / 2;
        if (ui_.button(name, {middle - width / 2, box_.bottom - ui_.px(40), middle + width / 2,
                              box_.bottom - ui_.px(8)})) {
            view_.chat_scroll.at_end = true;
            ui_.be_restless();
        }
    }

    // To the match that one stands at.
    void reveal() {
        if (view_.found.empty()) return;
        view_.reveal_found = false;
        const FoundPlace& place = view_.found[std::min(view_.found_here, view_.found.size() - 1)];
        reveal(place.message,
               [&](const RichText& content) { return content.box_of(place.range.begin).top; });
    }

    // `inside`: how far below the top of the message's content.
    template <class Inside>
    void reveal(size_t message, const Inside& inside) {
        if (message >= shown_.size()) return;
        float y = ui_.px(20);
        for (size_t i = 0; i < message; ++i) y += height_of(i);
        MessageText& text = text_of(message);
        y += thinking_height(message, text) + inside(*text.content);
        view_.chat_scroll.at_end = false;
        view_.chat_scroll.offset = std::max(0.F, y - box_.height() / 3);
        // What lies before it may not have been measured yet: once more when it has.
        view_.chat_scroll.content = std::max(view_.chat_scroll.content, y + box_.height());
        ui_.be_restless();
    }

    // To the token that the keyboard has come to in the pane, if it is not seen.
    void reveal_token() {
        view_.engine.reveal_token = false;
        const std::optional<AnswerToken> token = lit_token(frame_);
        float y = ui_.px(20);
        for (size_t i = 0; token && i < shown_.size(); y += height_of(i), ++i) {
            if (shown_[i] != token->message) continue;
            MessageText& text = text_of(i);
            if (token->reasoning && !open(i)) {
                y += ui_.px(14);
            } else if (token->reasoning) {
                y += ui_.px(34) + text.reasoning->box_of(token->begin).top;
            } else {
                y += thinking_height(i, text) + text.content->box_of(token->begin).top;
            }
            const float seen = y - view_.chat_scroll.offset;
            if (seen >= 0 && seen < box_.height() - ui_.px(40)) return;
            view_.chat_scroll.at_end = false;
            view_.chat_scroll.offset = std::max(0.F, y - box_.height() / 3);
            ui_.be_restless();
            return;
        }
    }

    void forget_texts() {
        if (view_.texts.size() <= kTextsMax) return;
        std::erase_if(view_.texts,
                      [&](const auto& entry) { return entry.second.used != view_.frame; });
    }

    Frame& frame_;
    Ui& ui_;
    ViewState& view_;
    const Box box_;
    const OpenChat& chat_;
    const std::vector<MessageId> shown_;
    float width_ = 0, left_ = 0;
    TypeScale type_;
};

}  // namespace

void conversation_view(Frame& frame, const Box& box) {
    frame.ui.push_id("conversation");
    MessageColumn(frame, box).draw();
    frame.ui.pop_id();
}

}  // namespace millrace
