#include "ui/typeset/message_chunks.h"

#include <algorithm>

#include "core/base/utf8.h"

namespace millrace {
namespace {

bool is_blank(std::string_view line) {
    return line.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// The length of the fence that a line opens, 0 for none. Three signs decide, so that more text changes nothing.
uint32_t fence_length(std::string_view line) {
    if (line.empty() || (line[0] != '`' && line[0] != '~')) return 0;
    const size_t end = std::min(line.find_first_not_of(line[0]), line.size());
    return end < 3 ? 0 : static_cast<uint32_t>(end);
}

bool is_heading(std::string_view line) {
    const size_t end = line.find_first_not_of('#');
    return end != std::string_view::npos && end >= 1 && end <= 6 &&
           (line[end] == ' ' || line[end] == '\t' || line[end] == '\n');
}

bool closes(std::string_view line, char fence, uint32_t length) {
    const size_t begin = line.find_first_not_of(' ');
    if (begin == std::string_view::npos || begin > 3) return false;
    const size_t end = std::min(line.find_first_not_of(fence, begin), line.size());
    return end - begin >= length && is_blank(line.substr(end));
}

bool begins_item(char first) {
    return first == '-' || first == '*' || first == '+' || (first >= '0' && first <= '9');
}

size_t whole_character(std::string_view source, size_t at) {
    while (at > 0 && (static_cast<unsigned char>(source[at]) & 0xC0) == 0x80) --at;
    return at;
}

class Splitter {
public:
    Splitter(std::string_view source, ChunkMarks marks, std::vector<MessageChunk>& chunks)
        : source_(source), marks_(marks), chunks_(chunks) {}

    void run() {
        size_t at = chunks_.empty() ? 0 : chunks_.back().end;
        while (at < source_.size()) {
            const MessageChunk* const last = chunks_.empty() ? nullptr : &chunks_.back();
            if (last != nullptr && last->kind == ChunkKind::kCode && !last->closed) {
                MessageChunk next = *last;
                next.begin = next.code_begin = at;
                next.continues = true;
                at = code(next);
            } else if (fence_length(source_.substr(at, 4)) != 0 && opens_fence(at)) {
                at = code(opened(at));
            } else {
                at = text(at);
            }
        }
    }

private:
    [[nodiscard]] size_t line_end(size_t at) const {
        // No more is looked at than a chunk may hold; a longer line is cut.
        const size_t found = source_.substr(at, kChunkBytesMax).find('\n');
        if (found != std::string_view::npos) return at + found + 1;
        if (source_.size() - at <= kChunkBytesMax) return source_.size();
        return std::max(at + 1, whole_character(source_, at + kChunkBytesMax));
    }

    // A line of backticks with one more behind its words is code within a line.
    [[nodiscard]] bool opens_fence(size_t at) const {
        const std::string_view line = source_.substr(at, line_end(at) - at);
        return line[0] == '~' || line.find('`', fence_length(line)) == std::string_view::npos;
    }

    [[nodiscard]] MessageChunk opened(size_t at) const {
        const size_t end = line_end(at);
        const std::string_view line = source_.substr(at, end - at);
        MessageChunk chunk = {.begin = at, .end = end, .kind = ChunkKind::kCode, .code_begin = end};
        chunk.fence = line[0];
        chunk.fence_length = fence_length(line);
        const size_t words =
            std::min(line.find_first_not_of(" \t", chunk.fence_length), line.size());
        chunk.language_begin = at + words;
        chunk.language_end = at + std::min(line.find_first_of(" \t\r\n", words), line.size());
        return chunk;
    }

    size_t code(MessageChunk chunk) {
        size_t at = chunk.code_begin;
        chunk.closed = false;
        while (at < source_.size() && at - chunk.begin < kChunkBytesMax) {
            const size_t end = line_end(at);
            if (closes(source_.substr(at, end - at), chunk.fence, chunk.fence_length)) {
                chunk.closed = true;
                chunk.code_end = at;
                chunk.end = end;
                chunks_.push_back(chunk);
                return end;
            }
            at = end;
        }
        chunk.code_end = chunk.end = at;
        chunks_.push_back(chunk);
        return at;
    }

    // Whether the line at `at` begins a chunk of its own.
    [[nodiscard]] bool separates(size_t begin, size_t at, bool after_blank, bool in_list) const {
        const std::string_view line = source_.substr(at, 8);
        if (at - begin >= kChunkBytesMax / 2) return true;
        if (fence_length(line) != 0) return true;
        if (marks_ == ChunkMarks::kFencesOnly) return after_blank && !is_blank(line.substr(0, 1));
        if (is_heading(line)) return true;
        if (!after_blank || is_blank(line.substr(0, 1))) return false;
        return !in_list || !begins_item(line[0]);
    }

    size_t text(size_t begin) {
        const bool in_line = begin > 0 && source_[begin - 1] != '\n';
        MessageChunk chunk = {.begin = begin};
        chunk.in_line = in_line;
        chunk.kind =
            in_line || marks_ == ChunkMarks::kFencesOnly ? ChunkKind::kPlain : ChunkKind::kMarkdown;
        const bool in_list = begins_item(source_[begin]);
        bool blank = false;
        size_t at = begin;
        while (at < source_.size() && (at == begin || !separates(begin, at, blank, in_list))) {
            const size_t end = line_end(at);
            if (source_[end - 1] != '\n' && end < source_.size()) {  // a line that is too long
                if (at == begin) chunk.kind = ChunkKind::kPlain;
                at = at == begin ? end : at;
                break;
            }
            blank = is_blank(source_.substr(at, end - at)) && source_[end - 1] == '\n';
            at = end;
            if (in_line) break;  // the rest of the line that was cut
        }
        chunk.end = at;
        chunks_.push_back(chunk);
        return at;
    }

    std::string_view source_;
    ChunkMarks marks_;
    std::vector<MessageChunk>& chunks_;
};

}  // namespace

void split_message(std::string_view source, ChunkMarks marks, std::vector<MessageChunk>& chunks) {
    Splitter(source, marks, chunks).run();
}

size_t shown_end(std::string_view source, const MessageChunk& last) {
    const size_t end =
        last.end - incomplete_utf8_tail(source.substr(last.begin, last.end - last.begin));
    if (end == last.begin) return end;
    const auto line_begin = [&](size_t before) {
        const size_t found = source.substr(0, before).rfind('\n');
        return found == std::string_view::npos ? last.begin : std::max(last.begin, found + 1);
    };
    const size_t begin = line_begin(end);
    const std::string_view line = source.substr(begin, end - begin);
    if (last.kind == ChunkKind::kCode) {
        if (begin < last.code_begin) return end;
        return line.find_first_not_of(last.fence) == std::string_view::npos ? begin : end;
    }
    if (last.kind == ChunkKind::kPlain) return end;
    const auto is_row = [&](size_t at) {
        const size_t first = source.substr(0, end).find_first_not_of(" \t>", at);
        return first != std::string_view::npos && source[first] == '|';
    };
    size_t shown = end;
    if (line.size() <= 24 &&
        line.find_first_not_of("-=*+#~`|:.)>_0123456789 \t") == std::string_view::npos) {
        shown = begin;
    }
    if (!line.empty() && is_row(begin)) shown = begin;
    // A table's first row alone looks like text.
    if (shown == begin && begin > last.begin) {
        const size_t above = line_begin(begin - 1);
        if (is_row(above) && (above == last.begin || !is_row(line_begin(above - 1)))) return above;
    }
    return shown;
}

}  // namespace millrace
