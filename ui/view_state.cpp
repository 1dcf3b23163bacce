#include "ui/view_state.h"

namespace millrace {
namespace {

std::unique_ptr<TextEditor> line_editor(FontSet& fonts) {
    constexpr size_t kLineMax = 4096;
    return TextEditor::create(fonts, {.one_line = true, .bytes_max = kLineMax});
}

}  // namespace

ViewState::ViewState(FontSet& f)
    : fonts(f),
      composer(TextEditor::create(f, {})),
      find_words(line_editor(f)),
      palette_words(line_editor(f)),
      dialog_text(line_editor(f)),
      search_words(line_editor(f)),
      log_words(line_editor(f)),
      command_words(line_editor(f)) {}

void ViewState::open_dialog(DialogKind kind, std::string_view text) {
    dialog = {};
    dialog.kind = kind;
    const bool long_text = kind == DialogKind::kEdit || kind == DialogKind::kSystem;
    dialog_text = long_text ? TextEditor::create(fonts, {}) : line_editor(fonts);
    dialog_text->set_text(text);
    dialog_text->key(EditKey::kSelectAll, Reach::kNear, Extend::kNo);
    focus_dialog = true;
}

}  // namespace millrace
