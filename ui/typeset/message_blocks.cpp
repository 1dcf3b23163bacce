#include "ui/typeset/message_blocks.h"

#include <algorithm>

#include "core/base/utf8.h"
#include "ui/typeset/markdown_reader.h"

namespace millrace {
namespace {

// What md4c may take long for, or nobody can read: it is shown as it is written.
constexpr size_t kNestingMax = 32, kMarksMax = 6000, kColumnsMax = 64;

bool is_hostile(std::string_view text) {
    size_t marks = 0;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = text.substr(at, end - at);
        size_t nesting = 0, columns = 0, i = 0;
        for (; i < line.size(); ++i) {
            const char c = line[i];
            if (c == '>' || c == '-' || c == '*' || c == '+') {
                nesting += i + 1 < line.size() && (c == '>' || line[i + 1] == ' ') ? 1U : 0U;
            } else if (c != ' ' && c != '\t') {
                break;
            }
        }
        if (nesting > kNestingMax || (i > 4 * kNestingMax && i < line.size())) return true;
        for (const char c : line) {
            columns += c == '|' ? 1U : 0U;
            marks +=
                c == '[' || c == '*' || c == '_' || c == '`' || c == '<' || c == '~' || c == '!'
                    ? 1U
                    : 0U;
        }
        if (columns > kColumnsMax) return true;
        at = end + 1;
    }
    return marks > kMarksMax;
}

MessageBlocks read_code(std::string_view source, const MessageChunk& chunk, size_t end) {
    MessageBlocks read;
    Block block = {.kind = BlockKind::kCode, .gap = chunk.continues ? 0.0F : kBlockGap};
    block.language = source.substr(chunk.language_begin, chunk.language_end - chunk.language_begin);
    const size_t code_end = std::max(chunk.code_begin, std::min(chunk.code_end, end));
    std::string_view code = source.substr(chunk.code_begin, code_end - chunk.code_begin);
    block.code = {chunk.code_begin, code_end};
    if (!code.empty() && code.back() == '\n') code.remove_suffix(1);
    block.flow.add(code, {.ink = Ink::kCode, .code = true}, chunk.code_begin,
                   chunk.code_begin + code.size());
    read.blocks.push_back(std::move(block));
    return read;
}

MessageBlocks read_plain(std::string_view source, const MessageChunk& chunk, size_t end) {
    MessageBlocks read;
    std::string_view text = source.substr(chunk.begin, end - chunk.begin);
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    if (text.empty()) return read;
    // A paragraph a line would be dear where there are thousands; shaping one flow of many kilobytes too.
    constexpr size_t kFlowBytes = 4096;
    for (size_t at = 0; at < text.size();) {
        size_t last = std::min(text.size(), at + kFlowBytes);
        if (last < text.size()) {
            const size_t line = text.substr(at, kFlowBytes).rfind('\n');
            if (line != std::string_view::npos && line > 0) {
                last = at + line;
            } else {
                while (last > at + 1 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80)
                    --last;
            }
        }
        Block block = {.gap = at == 0 && !chunk.in_line ? kBlockGap : 0.0F};
        block.flow.add(text.substr(at, last - at), {}, chunk.begin + at, chunk.begin + last);
        read.blocks.push_back(std::move(block));
        at = last < text.size() && text[last] == '\n' ? last + 1 : last;
    }
    return read;
}

}  // namespace

void TextFlow::add(std::string_view shown, TextPiece like, size_t source_begin, size_t source_end) {
    if (shown.empty()) return;
    like.begin = static_cast<uint32_t>(text.size());
    text.append(shown);
    like.end = static_cast<uint32_t>(text.size());
    like.source_begin = source_begin;
    like.source_end = source_end;
    pieces.push_back(like);
}

const TextPiece* TextFlow::piece_at(size_t byte) const {
    const auto after =
        std::upper_bound(pieces.begin(), pieces.end(), byte,
                         [](size_t at, const TextPiece& each) { return at < each.begin; });
    return after == pieces.begin() ? nullptr : &*(after - 1);
}

size_t TextFlow::source_at(size_t byte) const {
    const TextPiece* const piece = piece_at(byte);
    if (piece == nullptr) return source_begin();
    if (byte >= piece->end) return piece->source_end;
    return piece->unit ? piece->source_begin : piece->source_begin + (byte - piece->begin);
}

size_t TextFlow::source_before(size_t byte) const {
    if (byte == 0) return source_begin();
    const TextPiece* const piece = piece_at(byte - 1);
    if (piece == nullptr) return source_begin();
    if (byte >= piece->end || piece->unit) return piece->source_end;
    return piece->source_begin + (byte - piece->begin);
}

size_t TextFlow::source_begin() const { return pieces.empty() ? 0 : pieces.front().source_begin; }
size_t TextFlow::source_end() const { return pieces.empty() ? 0 : pieces.back().source_end; }

MessageBlocks read_blocks(std::string_view source, const MessageChunk& chunk, size_t end) {
    if (chunk.kind == ChunkKind::kCode) return read_code(source, chunk, end);
    const std::string_view text = source.substr(chunk.begin, end - chunk.begin);
    if (chunk.kind == ChunkKind::kPlain || is_hostile(text)) return read_plain(source, chunk, end);
    MessageBlocks read = read_markdown(text, chunk.begin);
    // Definitions of links, for instance, are nothing to see; but nothing that was written disappears.
    if (read.blocks.empty()) return read_plain(source, chunk, end);
    return read;
}

}  // namespace millrace
