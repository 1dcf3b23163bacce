#include "ui/typeset/clusters.h"

#include <utf8proc.h>

#include <algorithm>

#include "core/base/utf8.h"

namespace millrace {
namespace {

utf8proc_int32_t code_at(std::string_view text, size_t at, size_t& bytes) {
    const Utf8Char c = decode_utf8(text.substr(at));
    bytes = static_cast<size_t>(c.bytes);
    return c.valid ? static_cast<utf8proc_int32_t>(c.code) : 0xFFFD;
}

size_t previous_code(std::string_view text, size_t at) {
    if (at == 0) return 0;
    --at;
    for (int i = 0; i < 3 && at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; ++i)
        --at;
    return at;
}

enum class Kind { kSpace, kWord, kIdeograph, kMark };

Kind kind_at(std::string_view text, size_t at) {
    size_t bytes = 0;
    const utf8proc_int32_t code = code_at(text, at, bytes);
    if (code == ' ' || code == '\n' || code == '\t' || code == 0xA0 || code == 0x3000)
        return Kind::kSpace;
    const bool ideograph =
        (code >= 0x2E80 && code <= 0x9FFF) || (code >= 0xAC00 && code <= 0xD7A3) ||
        (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x20000 && code <= 0x3FFFF);
    switch (utf8proc_category(code)) {
        case UTF8PROC_CATEGORY_LU:
        case UTF8PROC_CATEGORY_LL:
        case UTF8PROC_CATEGORY_LT:
        case UTF8PROC_CATEGORY_LM:
        case UTF8PROC_CATEGORY_LO: return ideograph ? Kind::kIdeograph : Kind::kWord;
        case UTF8PROC_CATEGORY_MN:
        case UTF8PROC_CATEGORY_MC:
        case UTF8PROC_CATEGORY_ND:
        case UTF8PROC_CATEGORY_NL:
        case UTF8PROC_CATEGORY_PC: return Kind::kWord;
        default: return Kind::kMark;
    }
}

}  // namespace

size_t next_cluster(std::string_view text, size_t at) {
    if (at >= text.size()) return text.size();
    size_t bytes = 0;
    utf8proc_int32_t before = code_at(text, at, bytes), state = 0;
    // A cluster without end (marks upon marks) is cut: nothing hostile makes a key slow.
    constexpr size_t kClusterMax = 256;
    size_t end = at + bytes;
    while (end < text.size() && end - at < kClusterMax) {
        const utf8proc_int32_t code = code_at(text, end, bytes);
        if (utf8proc_grapheme_break_stateful(before, code, &state)) break;
        before = code;
        end += bytes;
    }
    return end;
}

size_t previous_cluster(std::string_view text, size_t at) {
    if (at == 0) return 0;
    // Clusters can only be found forward, so from a place that is certainly an edge: behind a space or a letter of ASCII.
    constexpr size_t kBack = 512;
    size_t from = previous_code(text, at);
    while (from > 0 && at - from < kBack) {
        const size_t before = previous_code(text, from);
        const auto here = static_cast<unsigned char>(text[from]),
                   left = static_cast<unsigned char>(text[before]);
        if (here < 0x80 && left < 0x80 && here != '\n') break;
        from = before;
    }
    while (true) {
        const size_t next = next_cluster(text, from);
        if (next >= at) return from;
        from = next;
    }
}

size_t cluster_at(std::string_view text, size_t at) {
    if (at >= text.size()) return text.size();
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (at == 0) return 0;
    const size_t start = previous_cluster(text, at);
    return next_cluster(text, start) == at ? at : start;
}

size_t next_word(std::string_view text, size_t at) {
    while (at < text.size() && kind_at(text, at) == Kind::kSpace) at = next_cluster(text, at);
    if (at >= text.size()) return text.size();
    const Kind kind = kind_at(text, at);
    at = next_cluster(text, at);
    if (kind == Kind::kIdeograph) return at;
    while (at < text.size() && kind_at(text, at) == kind) at = next_cluster(text, at);
    return at;
}

size_t previous_word(std::string_view text, size_t at) {
    const auto before = [&](size_t here) { return kind_at(text, previous_cluster(text, here)); };
    while (at > 0 && before(at) == Kind::kSpace) at = previous_cluster(text, at);
    if (at == 0) return 0;
    const Kind kind = before(at);
    at = previous_cluster(text, at);
    if (kind == Kind::kIdeograph) return at;
    while (at > 0 && before(at) == kind) at = previous_cluster(text, at);
    return at;
}

}  // namespace millrace
