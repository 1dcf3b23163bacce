// Fields of ui.h: a text editor that has the keyboard.

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "ui/ui.h"

namespace millrace {
namespace {

struct Binding {
    Key key;
    EditKey edit;
};
constexpr std::array<Binding, 10> kBindings = {{{Key::kLeft, EditKey::kLeft},
                                                {Key::kRight, EditKey::kRight},
                                                {Key::kUp, EditKey::kUp},
                                                {Key::kDown, EditKey::kDown},
                                                {Key::kHome, EditKey::kHome},
                                                {Key::kEnd, EditKey::kEnd},
                                                {Key::kPageUp, EditKey::kPageUp},
                                                {Key::kPageDown, EditKey::kPageDown},
                                                {Key::kBackspace, EditKey::kBackspace},
                                                {Key::kDelete, EditKey::kDelete}}};

std::optional<EditKey> edit_of(Key key) {
    const auto found = std::ranges::find(kBindings, key, &Binding::key);
    if (found == kBindings.end()) return std::nullopt;
    return found->edit;
}

// Ctrl and a letter. False: not ours.
bool command_key(char letter, bool shift, TextEditor& editor, Clipboard& clipboard) {
    switch (letter) {
        case 'A': return editor.key(EditKey::kSelectAll, Reach::kNear, Extend::kNo), true;
        case 'Z':
            return editor.key(shift ? EditKey::kRedo : EditKey::kUndo, Reach::kNear, Extend::kNo),
                   true;
        case 'Y': return editor.key(EditKey::kRedo, Reach::kNear, Extend::kNo), true;
        case 'C':
        case 'X':
            if (editor.selection().empty()) return false;
            clipboard.set_clipboard(editor.selected());
            if (letter == 'X') editor.key(EditKey::kDelete, Reach::kNear, Extend::kNo);
            return true;
        case 'V': return editor.insert(clipboard.clipboard()), true;
        default: return false;
    }
}

}  // namespace

void Ui::edit_keys(TextEditor& editor, const FieldLook& look, FieldResult& result) {
    const uint64_t before = editor.version();
    if (!input_.text.empty()) {
        editor.insert(input_.text);
        input_.text.clear();
    }
    std::vector<Chord> left;
    for (const Chord& chord : input_.keys) {
        bool taken = false;
        const Extend extend = chord.shift ? Extend::kYes : Extend::kNo;
        if (chord.key == Key::kCharacter) {
            taken = chord.control && !chord.alt &&
                    command_key(chord.character, chord.shift, editor, clipboard_);
            taken = taken || (!chord.control && !chord.alt);  // it has come as text
        } else if (chord.key == Key::kSpace) {
            taken = !chord.control && !chord.alt;
        } else if (chord.key == Key::kEnter && !chord.alt && !(chord.control && chord.shift) &&
                   !editor.composing()) {
            const bool submits = chord.control || (look.submit_on_enter && !chord.shift);
            if (submits) {
                result.submitted = true;
            } else {
                editor.insert("\n");
            }
            taken = true;
        } else if (const auto edit = edit_of(chord.key); edit && !chord.alt) {
            taken = editor.key(*edit, chord.control ? Reach::kFar : Reach::kNear, extend);
        }
        if (!taken) left.push_back(chord);
    }
    input_.keys = std::move(left);
    result.changed = editor.version() != before;
}

FieldResult Ui::field(std::string_view name, TextEditor& editor, float x, float top, float width,
                      Size size, const FieldLook& look) {
    FieldResult result;
    const uint32_t id = this->id(name);
    const TextStyle s = style(size);
    const float pad_x = px(12), pad_y = px(9), line = std::round(s.size * 1.5F);
    const bool focused = focus_ == id && layer_is_top();
    const TextRange selected = editor.selection();
    if (focused) edit_keys(editor, look, result);
    editor.lay_out(width - 2 * pad_x, s);
    const float wanted = std::max(std::round(line * look.lines_min), editor.height());
    const float inner =
        std::min(wanted, std::round(line * std::max(look.lines_min, look.lines_max)));
    const Box box = {x, top, x + width, top + inner + 2 * pad_y};
    result.height = box.height();
    const Touch touch = thing(id, ThingRole::kField, name, box);
    result.focused = touch.focused;
    canvas_.fill(box, tone(Tone::kRaised), px(10));
    canvas_.outline(box, tone(focused ? Tone::kAccent : Tone::kBorder), px(10),
                    focused ? px(1.5F) : 1);
    const Box text_box = {x + pad_x, top + pad_y, x + width - pad_x, top + pad_y + inner};
    // The caret stays in sight.
    const Box caret = editor.caret_box();
    const float shift = std::clamp(caret.bottom - inner, 0.F, std::max(0.F, wanted - inner));
    const float text_top = text_box.top - shift;
    if (touch.hovered && input_.left.pressed) {
        editor.press(input_.x - text_box.left, input_.y - text_top, input_.clicks,
                     input_.shift ? Extend::kYes : Extend::kNo);
    } else if (touch.held && input_.left.down) {
        editor.drag(input_.x - text_box.left, input_.y - text_top);
    }
    if (touch.hovered && input_.middle.pressed && layer_is_top()) {
        editor.press(input_.x - text_box.left, input_.y - text_top, 1, Extend::kNo);
        editor.insert(clipboard_.selected());
        result.changed = true;
        focus(id);
    } else if (focused && !editor.selection().empty() && !(editor.selection() == selected)) {
        clipboard_.set_selected(editor.selected());
    }
    canvas_.push_clip(
        {text_box.left - px(1), text_box.top, text_box.right + px(2), text_box.bottom});
    if (editor.text().empty() && !editor.composing()) {
        label(look.hint, {text_box.left, text_box.top, text_box.right, text_box.top + line}, size,
              Tone::kMuted);
    }
    editor.draw(canvas_, text_box.left, text_top, text_box.top, text_box.bottom, focused);
    canvas_.pop_clip();
    return result;
}

}  // namespace millrace
