#include "core/store/search_index.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "core/base/utf8.h"

namespace millrace {
namespace {

constexpr int64_t kTitleScore = 1'000'000, kPhraseScore = 10'000, kCountedMax = 100;
// Of a snippet, on each side of the match.
constexpr size_t kBeforeBytes = 60, kAfterBytes = 120;

void append_folded(std::string& out, std::string_view character, const Utf8Char& decoded) {
    if (decoded.code < 0x80 && decoded.valid) {
        const char c = character[0];
        out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c);
        return;
    }
    std::array<utf8proc_int32_t, 16> codes{};
    int boundary = 0;
    const utf8proc_ssize_t count =
        decoded.valid
            ? utf8proc_decompose_char(
                  static_cast<utf8proc_int32_t>(decoded.code), codes.data(), codes.size(),
                  static_cast<utf8proc_option_t>(UTF8PROC_CASEFOLD | UTF8PROC_DECOMPOSE), &boundary)
            : -1;
    if (count < 0 || count > static_cast<utf8proc_ssize_t>(codes.size())) {
        out.append(character);
        return;
    }
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        append_utf8(out, static_cast<char32_t>(codes[i]));
    }
}

// Calls see(offset in `text`, bytes there, offset in the folded text) for each character, `folded` growing behind it.
template <class See>
std::string fold_with(std::string_view text, See see) {
    std::string folded;
    folded.reserve(text.size());
    size_t at = 0;
    while (at < text.size()) {
        const Utf8Char decoded = decode_utf8(text.substr(at));
        see(at, folded.size());
        append_folded(folded, text.substr(at, decoded.bytes), decoded);
        at += decoded.bytes;
    }
    see(at, folded.size());
    return folded;
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::vector<std::string> folded_words(std::string_view words) {
    std::vector<std::string> out;
    size_t at = 0;
    while (at < words.size()) {
        while (at < words.size() && is_space(words[at])) ++at;
        size_t end = at;
        while (end < words.size() && !is_space(words[end])) ++end;
        if (end > at) out.push_back(fold_text(words.substr(at, end - at)));
        at = end;
    }
    // The longest is the rarest, as a rule: the first that is missing ends the look at a text.
    std::sort(out.begin(), out.end(), [](const std::string& a, const std::string& b) {
        return a.size() != b.size() ? a.size() > b.size() : a < b;
    });
    return out;
}

// The words as one text with single spaces.
std::string folded_phrase(std::string_view words) {
    std::string phrase;
    for (const char c : fold_text(words)) {
        if (!is_space(c)) {
            phrase.push_back(c);
        } else if (!phrase.empty() && phrase.back() != ' ') {
            phrase.push_back(' ');
        }
    }
    while (!phrase.empty() && phrase.back() == ' ') phrase.pop_back();
    return phrase;
}

// std::string::find compares letter by letter; memmem is several times as fast on long texts.
size_t find_from(std::string_view text, std::string_view word, size_t from) {
    if (from > text.size()) return std::string_view::npos;
    const void* place = ::memmem(text.data() + from, text.size() - from, word.data(), word.size());
    if (place == nullptr) return std::string_view::npos;
    return static_cast<size_t>(static_cast<const char*>(place) - text.data());
}

// Absent: a word is missing.
std::optional<int64_t> score_of(const std::string& text, const std::vector<std::string>& words,
                                const std::string& phrase) {
    for (const std::string& word : words) {
        if (find_from(text, word, 0) == std::string_view::npos) return std::nullopt;
    }
    const bool whole = words.size() == 1 || find_from(text, phrase, 0) != std::string_view::npos;
    int64_t count = 0;
    size_t at = find_from(text, words.front(), 0);
    while (at != std::string_view::npos && count < kCountedMax) {
        ++count;
        at = find_from(text, words.front(), at + words.front().size());
    }
    return (whole ? kPhraseScore : 0) + count;
}

bool inside_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

std::string fold_text(std::string_view text) {
    return fold_with(text, [](size_t, size_t) {});
}

void SearchIndex::put_title(ChatId chat, std::string_view title) {
    titles_[static_cast<int64_t>(chat)] = {chat, fold_text(title), 0};
}

void SearchIndex::put_message(ChatId chat, MessageId message, std::string_view content,
                              int64_t created_ms) {
    messages_[static_cast<int64_t>(message)] = {chat, fold_text(content), created_ms};
}

void SearchIndex::erase_chat(ChatId chat) {
    titles_.erase(static_cast<int64_t>(chat));
    std::erase_if(messages_, [&](const auto& entry) { return entry.second.chat == chat; });
}

std::vector<SearchIndex::Hit> SearchIndex::find(std::string_view words) const {
    const std::vector<std::string> folded = folded_words(words);
    if (folded.empty()) return {};
    const std::string phrase = folded_phrase(words);
    std::vector<Hit> hits;
    for (const auto& [id, text] : titles_) {
        if (const auto score = score_of(text.folded, folded, phrase)) {
            hits.push_back({text.chat, MessageId::kNone, text.created_ms, kTitleScore + *score});
        }
    }
    for (const auto& [id, text] : messages_) {
        if (const auto score = score_of(text.folded, folded, phrase)) {
            hits.push_back({text.chat, MessageId{id}, text.created_ms, *score});
        }
    }
    std::sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) {
        if (a.score != b.score) return a.score > b.score;
        if (a.created_ms != b.created_ms) return a.created_ms > b.created_ms;
        if (a.message != b.message) return a.message > b.message;
        return a.chat > b.chat;
    });
    return hits;
}

Snippet snippet_of(std::string_view text, std::string_view words) {
    std::vector<std::pair<size_t, size_t>>
        places;  // of characters: in the text, in the folded text
    const std::string folded =
        fold_with(text, [&](size_t at, size_t folded_at) { places.emplace_back(at, folded_at); });
    std::string needle = folded_phrase(words);
    size_t found = find_from(folded, needle, 0);
    if (found == std::string_view::npos) {
        const auto singles = folded_words(words);
        needle = singles.empty() ? std::string() : singles.front();
        found = find_from(folded, needle, 0);
    }
    size_t begin = 0, end = 0;
    if (found != std::string_view::npos && !needle.empty()) {
        // The characters that hold the match, whole.
        const auto behind = [](size_t value, const auto& place) { return value < place.second; };
        const auto first = std::upper_bound(places.begin(), places.end(), found, behind) - 1;
        const auto last =
            std::lower_bound(places.begin(), places.end(), found + needle.size(),
                             [](const auto& place, size_t value) { return place.second < value; });
        begin = first->first;
        end = last == places.end() ? text.size() : last->first;
    }
    size_t from = begin > kBeforeBytes ? begin - kBeforeBytes : 0;
    size_t to = std::min(text.size(), end + kAfterBytes);
    while (from < begin && inside_character(text[from])) ++from;
    while (to < text.size() && to > end && inside_character(text[to])) --to;
    Snippet snippet{std::string(text.substr(from, to - from)), begin - from, end - from};
    for (char& c : snippet.line) {
        if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    return snippet;
}

}  // namespace millrace
