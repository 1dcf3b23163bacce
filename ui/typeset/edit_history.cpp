#include "ui/typeset/edit_history.h"

namespace millrace {

void EditHistory::add(TextChange change, EditKind kind) {
    undone_.clear();
    const bool joins = open_ && kind == kind_ && kind != EditKind::kOther && !done_.empty();
    if (joins && kind == EditKind::kTyping) {
        TextChange& last = done_.back();
        const bool word_ended = !last.inserted.empty() &&
                                (last.inserted.back() == ' ' || last.inserted.back() == '\n') &&
                                change.inserted != " ";
        if (change.removed.empty() && change.at == last.at + last.inserted.size() && !word_ended) {
            last.inserted += change.inserted;
            return;
        }
    }
    if (joins && kind == EditKind::kErasing) {
        TextChange& last = done_.back();
        if (change.at + change.removed.size() == last.at) {
            last.removed = change.removed + last.removed;
            last.at = change.at;
            return;
        }
        if (change.at == last.at) {
            last.removed += change.removed;
            return;
        }
    }
    done_.push_back(std::move(change));
    if (done_.size() > kChangesMax) done_.erase(done_.begin());
    kind_ = kind;
    open_ = true;
}

std::optional<TextChange> EditHistory::undo() {
    open_ = false;
    if (done_.empty()) return std::nullopt;
    undone_.push_back(std::move(done_.back()));
    done_.pop_back();
    return undone_.back();
}

std::optional<TextChange> EditHistory::redo() {
    open_ = false;
    if (undone_.empty()) return std::nullopt;
    done_.push_back(std::move(undone_.back()));
    undone_.pop_back();
    return done_.back();
}

void EditHistory::clear() {
    done_.clear();
    undone_.clear();
    open_ = false;
}

}  // namespace millrace
