#include "ui/typeset/editor.h"

#include <algorithm>
#include <cmath>

#include "core/base/utf8.h"
#include "ui/typeset/clusters.h"
#include "ui/typeset/edit_history.h"
#include "ui/typeset/editor_layout.h"

namespace millrace {
namespace {

// What may stand in a text: no control characters but the line break and the tab, no byte that is not UTF-8.
std::string cleaned(std::string_view utf8, bool one_line) {
    std::string out;
    out.reserve(utf8.size());
    for (size_t at = 0; at < utf8.size();) {
        const Utf8Char c = decode_utf8(utf8.substr(at));
        const std::string_view bytes = utf8.substr(at, static_cast<size_t>(c.bytes));
        at += static_cast<size_t>(c.bytes);
        if (!c.valid) continue;
        const bool breaks =
            c.code == '\n' || c.code == '\r' || c.code == 0x2028 || c.code == 0x2029;
        if (breaks) {
            const bool second = c.code == '\n' && at >= 2 && utf8[at - 2] == '\r';
            if (!second) out += one_line ? ' ' : '\n';
        } else if (c.code == '\t') {
            out += one_line ? ' ' : '\t';
        } else if (c.code >= 0x20 && !(c.code >= 0x7F && c.code < 0xA0)) {
            out += bytes;
        }
    }
    return out;
}

class Editor final : public TextEditor {
public:
    Editor(FontSet& fonts, const EditorOptions& options) : options_(options), layout_(fonts) {}

    const std::string& text() const override { return text_; }
    uint64_t version() const override { return version_; }
    void set_text(std::string_view text) override {
        text_ = cleaned(text, options_.one_line);
        composition_.clear();
        history_.clear();
        caret_ = anchor_ = text_.size();
        wished_x_ = -1;
        ++version_;
        layout_.set_text(text_);
    }

    bool insert(std::string_view utf8) override {
        std::string fresh = cleaned(utf8, options_.one_line);
        const TextRange range = selection();
        if (text_.size() - (range.end - range.begin) + fresh.size() > options_.bytes_max)
            return false;
        if (fresh.empty() && range.empty()) return true;
        set_composition("");
        const bool typed = range.empty() && next_cluster(fresh, 0) == fresh.size();
        replace(range.begin, range.end - range.begin, std::move(fresh),
                typed ? EditKind::kTyping : EditKind::kOther);
        return true;
    }

    bool key(EditKey key, Reach reach, Extend extend) override {
        switch (key) {
            case EditKey::kBackspace: return erase(reach, false);
            case EditKey::kDelete: return erase(reach, true);
            case EditKey::kUndo: return take_back(history_.undo(), true);
            case EditKey::kRedo: return take_back(history_.redo(), false);
            case EditKey::kSelectAll:
                anchor_ = 0;
                caret_ = text_.size();
                return !text_.empty();
            default: return move(key, reach, extend);
        }
    }

    size_t caret() const override { return caret_; }
    TextRange selection() const override {
        return {std::min(caret_, anchor_), std::max(caret_, anchor_)};
    }
    void select(TextRange range) override {
        anchor_ = cluster_at(text_, std::min(range.begin, text_.size()));
        caret_ = cluster_at(text_, std::min(range.end, text_.size()));
        history_.close();
    }
    std::string selected() const override {
        const TextRange range = selection();
        return text_.substr(range.begin, range.end - range.begin);
    }

    void set_composition(std::string_view utf8) override {
        std::string fresh = cleaned(utf8, true);
        if (fresh == composition_) return;
        composition_ = std::move(fresh);
        shown_ = composition_.empty() ? std::string() : shown_text();
        layout_.set_text(shown());
    }
    bool composing() const override { return !composition_.empty(); }

    void lay_out(float width, TextStyle style) override {
        layout_.set_width(options_.one_line ? 0 : width, style);
        if (!options_.one_line) return;
        // The caret stays in sight.
        const float x = layout_.caret_box(shown(), shown_caret()).left;
        shift_ = std::clamp(shift_, x - width + 2, x);
        shift_ = std::max(0.F, shift_);
    }
    float height() const override { return layout_.height(); }
    Box caret_box() const override {
        Box box = layout_.caret_box(shown(), shown_caret());
        box.left -= shift_;
        box.right -= shift_;
        return box;
    }

    void press(float x, float y, int clicks, Extend extend) override {
        history_.close();
        wished_x_ = -1;
        const size_t at = place(x, y);
        if (clicks >= 3) {
            const size_t before = at == 0 ? std::string::npos : text_.rfind('\n', at - 1);
            anchor_ = before == std::string::npos ? 0 : before + 1;
            caret_ = std::min(text_.find('\n', at), text_.size());
        } else if (clicks == 2) {
            caret_ = next_word(text_, at);
            anchor_ = previous_word(text_, caret_);
        } else {
            caret_ = at;
            if (extend == Extend::kNo) anchor_ = at;
        }
    }
    void drag(float x, float y) override { caret_ = place(x, y); }

    void draw(TextPainter& painter, float x, float y, float top, float bottom,
              bool focused) const override {
        const TextRange range = selection();
        const size_t composed = composition_.empty() ? 0 : caret_ + composition_.size();
        layout_.draw(shown(), painter, x - shift_, y, top, bottom, range.begin, range.end,
                     composition_.empty() ? 0 : caret_, composed);
        if (!focused) return;
        const Box caret = caret_box();
        const float inset = std::round(caret.height() * 0.14F);
        painter.fill({x + caret.left, y + caret.top + inset,
                      x + caret.left + std::max(1.F, std::round(caret.height() / 16)),
                      y + caret.bottom - inset},
                     Ink::kCaret, 0);
    }

private:
    // What is seen: the text, with the composition in it.
    const std::string& shown() const { return composition_.empty() ? text_ : shown_; }
    std::string shown_text() const {
        std::string all = text_;
        all.insert(caret_, composition_);
        return all;
    }
    size_t shown_caret() const { return caret_ + composition_.size(); }

    size_t place(float x, float y) const {
        const size_t at = layout_.position_at(shown(), x + shift_, y);
        if (composition_.empty() || at <= caret_) return cluster_at(text_, at);
        return cluster_at(text_, std::max(caret_, at - std::min(at, composition_.size())));
    }

    void replace(size_t at, size_t removed, std::string inserted, EditKind kind) {
        TextChange change = {.at = at,
                             .removed = text_.substr(at, removed),
                             .inserted = inserted,
                             .caret_before = caret_,
                             .anchor_before = anchor_};
        text_.replace(at, removed, inserted);
        layout_.change(text_, at, removed, inserted.size());
        caret_ = anchor_ = at + inserted.size();
        wished_x_ = -1;
        ++version_;
        history_.add(std::move(change), kind);
    }

    bool take_back(const std::optional<TextChange>& change, bool back) {
        if (!change) return false;
        set_composition("");
        const std::string& out = back ? change->inserted : change->removed;
        const std::string& in = back ? change->removed : change->inserted;
        text_.replace(change->at, out.size(), in);
        layout_.change(text_, change->at, out.size(), in.size());
        caret_ = back ? change->caret_before : change->at + in.size();
        anchor_ = back ? change->anchor_before : caret_;
        wished_x_ = -1;
        ++version_;
        return true;
    }

    bool erase(Reach reach, bool forward) {
        TextRange range = selection();
        if (range.empty()) {
            if (forward) {
                range.end =
                    reach == Reach::kFar ? next_word(text_, caret_) : next_cluster(text_, caret_);
            } else {
                range.begin = reach == Reach::kFar ? previous_word(text_, caret_)
                                                   : previous_cluster(text_, caret_);
            }
        }
        if (range.empty()) return false;
        const bool single = selection().empty() && reach == Reach::kNear;
        replace(range.begin, range.end - range.begin, "",
                single ? EditKind::kErasing : EditKind::kOther);
        return true;
    }

    bool move(EditKey key, Reach reach, Extend extend) {
        history_.close();
        const TextRange range = selection();
        const size_t before = caret_;
        // An arrow leaves a selection at its side.
        const bool leaves = !range.empty() && extend == Extend::kNo && reach == Reach::kNear;
        if (leaves && key == EditKey::kLeft) return caret_ = anchor_ = range.begin, true;
        if (leaves && key == EditKey::kRight) return caret_ = anchor_ = range.end, true;
        const bool far = reach == Reach::kFar;
        switch (key) {
            case EditKey::kLeft:
                caret_ = far ? previous_word(text_, caret_) : previous_cluster(text_, caret_);
                break;
            case EditKey::kRight:
                caret_ = far ? next_word(text_, caret_) : next_cluster(text_, caret_);
                break;
            case EditKey::kHome: caret_ = far ? 0 : layout_.line_begin(text_, caret_); break;
            case EditKey::kEnd:
                caret_ = far ? text_.size() : layout_.line_end(text_, caret_);
                break;
            case EditKey::kUp: return step_lines(-1, extend);
            case EditKey::kDown: return step_lines(1, extend);
            case EditKey::kPageUp: return step_lines(-10, extend);
            case EditKey::kPageDown: return step_lines(10, extend);
            default: break;
        }
        wished_x_ = -1;
        if (extend == Extend::kNo) anchor_ = caret_;
        return caret_ != before || !range.empty();
    }

    // Up and down keep to the column that one came from.
    bool step_lines(int lines, Extend extend) {
        if (options_.one_line) return false;
        const size_t before = caret_;
        const bool selected = !selection().empty();
        const Box here = layout_.caret_box(text_, caret_);
        if (wished_x_ < 0) wished_x_ = here.left;
        const float y =
            here.top + here.height() / 2 + static_cast<float>(lines) * layout_.line_height();
        if (y < 0) {
            caret_ = lines < -1 || extend == Extend::kYes ? 0 : caret_;
        } else if (y > layout_.height()) {
            caret_ = lines > 1 || extend == Extend::kYes ? text_.size() : caret_;
        } else {
            caret_ = cluster_at(text_, layout_.position_at(text_, wished_x_, y));
        }
        if (extend == Extend::kNo) anchor_ = caret_;
        return caret_ != before || (selected && extend == Extend::kNo);
    }

    const EditorOptions options_;
    std::string text_, composition_, shown_;
    uint64_t version_ = 1;
    size_t caret_ = 0, anchor_ = 0;
    float wished_x_ = -1, shift_ = 0;
    EditHistory history_;
    EditorLayout layout_;
};

}  // namespace

std::unique_ptr<TextEditor> TextEditor::create(FontSet& fonts, const EditorOptions& options) {
    return std::make_unique<Editor>(fonts, options);
}

}  // namespace millrace
