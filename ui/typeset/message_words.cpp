#include "ui/typeset/message_words.h"

#include <utf8proc.h>

#include <algorithm>

#include "core/base/utf8.h"

namespace millrace {
namespace {

template <class Visit>
void each_flow(const Block& block, const Visit& visit) {
    if (block.kind == BlockKind::kTable) {
        for (const TextFlow& cell : block.cells) visit(cell);
    } else {
        visit(block.flow);
    }
}

bool is_word(char32_t code) {
    if (code < 0x80)
        return (code | 0x20) >= 'a' ? (code | 0x20) <= 'z' || code == '_'
                                    : (code >= '0' && code <= '9') || code == '_';
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
        case UTF8PROC_CATEGORY_LU:
        case UTF8PROC_CATEGORY_LL:
        case UTF8PROC_CATEGORY_LT:
        case UTF8PROC_CATEGORY_LM:
        case UTF8PROC_CATEGORY_LO:
        case UTF8PROC_CATEGORY_MN:
        case UTF8PROC_CATEGORY_MC:
        case UTF8PROC_CATEGORY_ME:
        case UTF8PROC_CATEGORY_ND:
        case UTF8PROC_CATEGORY_NL: return true;
        default: return false;
    }
}

bool is_alone(char32_t code) { return code >= 0x2E80 && code <= 0x9FFF; }

// What is seen of the flow within the range; formulas as LaTeX.
std::string seen(const MessageBlocks& read, const TextFlow& flow, TextRange range) {
    std::string out;
    for (const TextPiece& piece : flow.pieces) {
        const size_t begin = std::max(range.begin, piece.source_begin);
        const size_t end = std::min(range.end, piece.source_end);
        if (begin >= end) continue;
        if (piece.formula != kNoIndex) {
            const MessageFormula& formula = read.formulas[piece.formula];
            const std::string_view sign = formula.display ? "$$" : "$";
            out.append(sign).append(formula.latex).append(sign);
        } else if (piece.unit) {
            out.append(flow.text, piece.begin, piece.end - piece.begin);
        } else {
            out.append(flow.text, piece.begin + (begin - piece.source_begin), end - begin);
        }
    }
    return out;
}

void copy_block(const MessageBlocks& read, const Block& block, TextRange range, std::string& out) {
    if (block.kind == BlockKind::kTable) {
        const size_t columns = std::max<size_t>(1, block.aligns.size());
        std::string rows;
        for (size_t row = 0; row * columns < block.cells.size(); ++row) {
            std::string line;
            bool any = false;
            for (size_t column = 0; column < columns; ++column) {
                std::string cell = seen(read, block.cells[row * columns + column], range);
                std::replace(cell.begin(), cell.end(), '\n', ' ');
                any = any || !cell.empty();
                if (column > 0) line += '\t';
                line += cell;
            }
            if (!any) continue;
            if (!rows.empty()) rows += '\n';
            rows += line;
        }
        out += rows;
        return;
    }
    const std::string text = seen(read, block.flow, range);
    if (!text.empty() && !block.marker.empty() && range.begin <= block.flow.source_begin()) {
        out.append(size_t{2} * (block.list_depth - 1U), ' ');
        if (block.task == Task::kNone) out.append(block.marker).append(" ");
        if (block.task != Task::kNone) out += block.task == Task::kDone ? "[x] " : "[ ] ";
    }
    out += text;
}

bool is_mark(char c) { return c == '*' || c == '_' || c == '`' || c == '~' || c == '$'; }

}  // namespace

void fold_case(std::string_view text, FoldedText& out) {
    out.text.clear();
    out.places.clear();
    for (size_t at = 0; at < text.size();) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const size_t before = out.text.size();
        size_t bytes = 1;
        if (byte < 0x80) {
            out.text += byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + 32) : text[at];
        } else {
            const Utf8Char each = decode_utf8(text.substr(at));
            bytes = each.bytes;
            utf8proc_int32_t folded[8];
            int boundary = 0;
            const utf8proc_ssize_t count = utf8proc_decompose_char(
                static_cast<utf8proc_int32_t>(each.code), folded, 8, UTF8PROC_CASEFOLD, &boundary);
            for (utf8proc_ssize_t i = 0; i < std::min<utf8proc_ssize_t>(count, 8); ++i) {
                append_utf8(out.text, static_cast<char32_t>(folded[i]));
            }
        }
        out.places.resize(out.text.size(), static_cast<uint32_t>(at));
        if (out.text.size() == before) out.places.resize(before);
        at += bytes;
    }
    out.places.push_back(static_cast<uint32_t>(text.size()));
}

void find_in(const MessageBlocks& read, std::string_view folded_needle, size_t count_max,
             std::vector<TextRange>& found) {
    FoldedText folded;
    for (const Block& block : read.blocks) {
        each_flow(block, [&](const TextFlow& flow) {
            if (flow.text.empty() || found.size() >= count_max) return;
            fold_case(flow.text, folded);
            for (size_t at = folded.text.find(folded_needle);
                 at != std::string::npos && found.size() < count_max;
                 at = folded.text.find(folded_needle, at + folded_needle.size())) {
                const size_t begin = folded.places[at];
                const size_t end = folded.places[at + folded_needle.size()];
                // A match that ends inside what one character folds to has the whole character.
                const size_t whole =
                    end > begin
                        ? end
                        : begin + decode_utf8(std::string_view(flow.text).substr(begin)).bytes;
                found.push_back({flow.source_at(begin), flow.source_before(whole)});
            }
        });
    }
}

TextRange word_around(std::string_view text, size_t byte) {
    if (text.empty()) return {};
    size_t begin = std::min(byte, text.size() - 1);
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    Utf8Char each = decode_utf8(text.substr(begin));
    size_t end = begin + each.bytes;
    if (!is_word(each.code) || is_alone(each.code)) return {begin, end};
    while (end < text.size()) {
        each = decode_utf8(text.substr(end));
        if (!is_word(each.code) || is_alone(each.code)) break;
        end += each.bytes;
    }
    while (begin > 0) {
        size_t before = begin - 1;
        while (before > 0 && (static_cast<unsigned char>(text[before]) & 0xC0) == 0x80) --before;
        const char32_t code = decode_utf8(text.substr(before)).code;
        if (!is_word(code) || is_alone(code)) break;
        begin = before;
    }
    return {begin, end};
}

void copy_plain(const MessageBlocks& read, TextRange range, std::string& out) {
    for (const Block& block : read.blocks) {
        std::string text;
        copy_block(read, block, range, text);
        if (text.empty()) continue;
        if (!out.empty())
            out += block.list_depth > 0 && !block.marker.empty() && block.gap < 12 ? "\n" : "\n\n";
        out += text;
    }
}

TextRange with_marks(std::string_view source, const MessageBlocks& read, TextRange range) {
    for (const MessageFormula& formula : read.formulas) {
        if (range.begin < formula.range.end && range.end > formula.range.begin) {
            range.begin = std::min(range.begin, formula.range.begin);
            range.end = std::max(range.end, formula.range.end);
        }
    }
    while (range.begin > 0 && range.end < source.size() && is_mark(source[range.begin - 1]) &&
           source[range.begin - 1] == source[range.end]) {
        --range.begin;
        ++range.end;
    }
    if (range.begin > 0 && source[range.begin - 1] == '[' && source.substr(range.end, 2) == "](") {
        const size_t end =
            source.substr(0, std::min(source.size(), range.end + 2000)).find(')', range.end);
        if (end != std::string_view::npos) range = {range.begin - 1, end + 1};
    }
    // From the first letter of its line on, the marks before it belong to it.
    const size_t line = range.begin == 0 ? 0 : source.substr(0, range.begin).rfind('\n') + 1;
    const std::string_view before = source.substr(line, range.begin - line);
    const bool whole_line =
        range.end >= source.size() ||
        source.substr(range.begin, range.end - range.begin).find('\n') != std::string_view::npos ||
        source[range.end] == '\n';
    if (whole_line && before.size() <= 64 &&
        before.find_first_not_of(" \t>#-+*.)0123456789[]x") == std::string_view::npos) {
        range.begin = line;
    }
    return range;
}

}  // namespace millrace
