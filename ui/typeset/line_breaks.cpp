#include "ui/typeset/line_breaks.h"

#include <algorithm>

#include "core/base/utf8.h"

namespace millrace {
namespace {

constexpr std::u32string_view kNoBreakBefore =
    U"、。，．：；！？）］｝〕〉》」』】〙〗〟’”»›…‥・ー々〻ゝゞヽヾ％‰℃°ぁぃぅぇぉっゃゅょゎァィゥ"
    U"ェォッャュョヮヵヶ"
    U",.:;!?)]}%'\"";
constexpr std::u32string_view kNoBreakAfter = U"（［｛〔〈《「『【〘〖〝‘“«‹￥＄$([{'\"";

bool is_wide(char32_t code) {
    return (code >= 0x2E80 && code <= 0xA4CF) || (code >= 0xAC00 && code <= 0xD7AF) ||
           (code >= 0xF900 && code <= 0xFAFF) || (code >= 0xFE30 && code <= 0xFE4F) ||
           (code >= 0xFF00 && code <= 0xFFEF) || (code >= 0x1F300 && code <= 0x1FAFF) ||
           (code >= 0x20000 && code <= 0x3FFFF);
}

bool is_space(char32_t code) {
    return code == ' ' || code == '\t' || code == 0x200B || code == 0x3000;
}

bool is_letter(char32_t code) {
    return code >= 0x80 || ((code | 0x20) >= 'a' && (code | 0x20) <= 'z');
}

bool contains(std::u32string_view set, char32_t code) {
    return set.find(code) != std::u32string_view::npos;
}

bool may_break(char32_t earlier, char32_t before, char32_t after) {
    if (is_space(after)) return false;
    if (is_space(before)) return true;
    if ((is_wide(before) || is_wide(after)) && before != 0xA0 && after != 0xA0) {
        return !contains(kNoBreakBefore, after) && !contains(kNoBreakAfter, before);
    }
    if (before == '-' || before == 0x2010) return is_letter(earlier) && is_letter(after);
    if (before == 0x2013 || before == 0x2014) return !contains(kNoBreakBefore, after);
    return before == '/' && is_letter(earlier) && is_letter(after);
}

}  // namespace

void find_breaks(std::string_view text, const ShapedText& shaped,
                 std::vector<BreakBefore>& breaks) {
    breaks.assign(shaped.clusters.size(), BreakBefore::kNo);
    char32_t earlier = 0, before = 0;
    for (size_t i = 0; i < shaped.clusters.size(); ++i) {
        const ShapedText::Cluster& cluster = shaped.clusters[i];
        const char32_t after = decode_utf8(text.substr(cluster.begin)).code;
        // Several glyphs may show one character (‹RLO›): they stay together.
        const bool same = i > 0 && shaped.clusters[i - 1].begin == cluster.begin;
        if (before == '\n') {
            breaks[i] = BreakBefore::kMust;
        } else if (i > 0 && !same && after != '\n' && may_break(earlier, before, after)) {
            breaks[i] = BreakBefore::kMay;
        }
        earlier = before;
        before = after;
    }
}

}  // namespace millrace
