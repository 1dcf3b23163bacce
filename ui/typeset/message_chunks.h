#pragma once
// A message in pieces that can be parsed alone. A boundary depends only on the bytes before it and the first few behind it,
// so text that is appended never moves one: a streamed message has the chunks of the whole one, but for the last.
//
//   paragraph ─┬─ blank line, then a line that begins at the margin and continues no list
//              ├─ a heading at the margin
//              ├─ a fence at the margin, and what follows its end
//              └─ kChunkBytesMax

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace millrace {

inline constexpr size_t kChunkBytesMax = 32 << 10;

enum class ChunkKind : uint8_t {
    kMarkdown,
    kCode,   // of a fence at the margin; a long one has several chunks
    kPlain,  // text without marks: a person's own, or the middle of a line that is too long
};

struct MessageChunk {
    size_t begin = 0, end = 0;  // bytes of the message
    ChunkKind kind = ChunkKind::kMarkdown;
    size_t code_begin = 0, code_end = 0;  // kCode: without the fences
    // kCode: the fence that is open, and the bytes of its language.
    char fence = 0;
    uint32_t fence_length = 0;
    size_t language_begin = 0, language_end = 0;
    bool continues = false;  // kCode: the code began in the chunk before
    bool closed = false;     // kCode: its end is in this chunk
    bool in_line = false;    // begins inside a line
};

enum class ChunkMarks : uint8_t { kMarkdown, kFencesOnly };

// Appends the chunks that follow the last one.
void split_message(std::string_view source, ChunkMarks marks, std::vector<MessageChunk>& chunks);

// While a message streams: how much of source[begin…] may be shown. An unfinished last line that may yet turn the one above
// into a heading or a table, or itself into something else, waits.
[[nodiscard]] size_t shown_end(std::string_view source, const MessageChunk& last);

}  // namespace millrace
