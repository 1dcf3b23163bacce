#include "ui/branch_map.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/strings.h"
#include "core/base/utf8.h"

namespace millrace {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);

int64_t number_of(MessageId id) { return static_cast<int64_t>(id); }

// The tree by places: children in the order in which they came; the last entry are the first messages.
std::vector<std::vector<size_t>> children_of(std::span<const StoredMessage> messages) {
    std::unordered_map<int64_t, size_t> places;
    for (size_t i = 0; i < messages.size(); ++i) places[number_of(messages[i].id)] = i;
    std::vector<std::vector<size_t>> children(messages.size() + 1);
    for (size_t i = 0; i < messages.size(); ++i) {
        const auto parent = places.find(number_of(messages[i].parent));
        children[parent == places.end() ? messages.size() : parent->second].push_back(i);
    }
    return children;
}

}  // namespace

BranchMap::BranchMap(const Branches& branches) {
    const std::span<const StoredMessage> messages = branches.all();
    const std::vector<std::vector<size_t>> children = children_of(messages);
    std::vector<bool> shown(messages.size(), false);
    for (const MessageId id : branches.shown()) {
        shown[static_cast<size_t>(branches.find(id) - messages.data())] = true;
    }
    std::vector<std::pair<int32_t, int32_t>> versions(messages.size());
    for (const std::vector<size_t>& siblings : children) {
        std::array<int32_t, 3> counts{};  // by author
        std::array<size_t, 3> last{kNone, kNone, kNone};
        for (const size_t i : siblings) {
            const auto author = static_cast<size_t>(messages[i].author);
            versions[i].first = ++counts[author];
            if (const size_t before = std::exchange(last[author], i); before != kNone) {
                before_[number_of(messages[i].id)] = messages[before].id;
                after_[number_of(messages[before].id)] = messages[i].id;
            }
        }
        for (const size_t i : siblings) {
            versions[i].second = counts[static_cast<size_t>(messages[i].author)];
        }
    }
    struct Waiting {
        size_t place;
        int32_t indent;
    };
    std::vector<Waiting> waiting;  // the next one at the back
    // The one that goes on straight comes last: what is shown, or else the newest.
    const auto add = [&](const std::vector<size_t>& siblings, int32_t indent) {
        if (siblings.empty()) return;
        const auto found = std::ranges::find_if(siblings, [&](size_t i) { return shown[i]; });
        const size_t straight = found == siblings.end() ? siblings.back() : *found;
        waiting.push_back({straight, indent});
        for (auto at = siblings.rbegin(); at != siblings.rend(); ++at) {
            if (*at != straight) waiting.push_back({*at, indent + 1});
        }
    };
    rows_.reserve(messages.size());
    add(children.back(), 0);
    while (!waiting.empty()) {
        const Waiting next = waiting.back();
        waiting.pop_back();
        const StoredMessage& message = messages[next.place];
        places_[number_of(message.id)] = rows_.size();
        rows_.push_back({.id = message.id,
                         .indent = next.indent,
                         .number = versions[next.place].first,
                         .count = versions[next.place].second,
                         .shown = shown[next.place]});
        if (children[next.place].empty()) ++ends_;
        add(children[next.place], next.indent);
    }
}

size_t BranchMap::row_of(MessageId id) const {
    const auto found = places_.find(number_of(id));
    return found == places_.end() ? rows_.size() : found->second;
}

size_t BranchMap::version_beside(size_t row, int step) const {
    if (row >= rows_.size()) return row;
    const auto& beside = step < 0 ? before_ : after_;
    const auto found = beside.find(number_of(rows_[row].id));
    return found == beside.end() ? row : row_of(found->second);
}

std::string first_words(const StoredMessage& message) {
    constexpr size_t kBytesMax = 160;
    std::string words;
    const std::string_view text = message.content;
    for (const char c : text.substr(0, kBytesMax * 2)) {
        const bool space = c == '\n' || c == '\t' || c == ' ' || c == '\r';
        if (space && (words.empty() || words.back() == ' ')) continue;
        words += space ? ' ' : c;
        if (words.size() == kBytesMax) break;
    }
    words.resize(words.size() - incomplete_utf8_tail(words));
    while (!words.empty() && words.back() == ' ') words.pop_back();
    if (!words.empty()) return words;
    return message.reasoning.empty() ? "(empty)" : "(only thinking so far)";
}

}  // namespace millrace
