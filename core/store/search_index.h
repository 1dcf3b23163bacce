#pragma once
// Finds words in all that was said: the texts in memory, case folded, scanned from end to end. An index on disk would hold
// the words in the open, and one in memory (FTS5 with trigrams) needs three letters a word and several times the room;
// memmem reads gigabytes a second, so 10,000 messages take a few milliseconds (docs say what was measured).

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/store/chats.h"

namespace millrace {

// Letters without their case, in canonically decomposed form: "Straße" and "STRASSE" are the same, composed and decomposed
// letters too. What is no UTF-8 stays as it is.
[[nodiscard]] std::string fold_text(std::string_view text);

class SearchIndex {
public:
    // Replaces what is there under this id.
    void put_title(ChatId chat, std::string_view title);
    void put_message(ChatId chat, MessageId message, std::string_view content, int64_t created_ms);
    void erase_chat(ChatId chat);

    struct Hit {
        ChatId chat = {};
        MessageId message = MessageId::kNone;  // kNone: the title
        int64_t created_ms = 0;
        int64_t score = 0;
    };
    // Every word must be there. Titles first, then what holds the words as they were typed, then the more often, then the
    // newer.
    [[nodiscard]] std::vector<Hit> find(std::string_view words) const;

private:
    struct Text {
        ChatId chat = {};
        std::string folded;
        int64_t created_ms = 0;
    };
    std::unordered_map<int64_t, Text> titles_, messages_;
};

// A line of `text` around the place where the words (or the first of them) stand.
struct Snippet {
    std::string line;
    size_t match_begin = 0, match_end = 0;
};
[[nodiscard]] Snippet snippet_of(std::string_view text, std::string_view words);

}  // namespace millrace
