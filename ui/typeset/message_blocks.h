#pragma once
// A chunk of a message, read: blocks of text with the place in the source of everything that is seen.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ui/typeset/message_chunks.h"
#include "ui/typeset/paint.h"
#include "ui/typeset/rich_text.h"

namespace millrace {

inline constexpr uint16_t kNoIndex = 0xFFFF;

// Bytes of a flow that look alike. A unit (an entity, a formula) stands for its source as a whole; other pieces are the
// bytes of the source.
struct TextPiece {
    uint32_t begin = 0, end = 0;  // bytes of the flow
    size_t source_begin = 0, source_end = 0;
    uint16_t link = kNoIndex, formula = kNoIndex;
    Ink ink = Ink::kText;
    bool unit = false, strong = false, emphasis = false, code = false, struck = false;
};

// Lines of text that are broken together. A formula is one U+FFFC; a line break is one "\n".
struct TextFlow {
    std::string text;
    std::vector<TextPiece> pieces;

    void add(std::string_view shown, TextPiece like, size_t source_begin, size_t source_end);
    // The piece that a byte lies in, or the last before it; null when there is none.
    [[nodiscard]] const TextPiece* piece_at(size_t byte) const;
    [[nodiscard]] size_t source_at(size_t byte) const;      // of what begins there
    [[nodiscard]] size_t source_before(size_t byte) const;  // of what ends there
    [[nodiscard]] size_t source_begin() const;
    [[nodiscard]] size_t source_end() const;
};

enum class BlockKind : uint8_t { kText, kCode, kTable, kRule };
enum class CellAlign : uint8_t { kStart, kCentre, kEnd };
enum class Task : uint8_t { kNone, kOpen, kDone };

struct Block {
    BlockKind kind = BlockKind::kText;
    uint8_t heading = 0;  // 1…6
    uint8_t list_depth = 0;
    float gap = 0;                       // above, at scale 1
    float indent = 0;                    // at scale 1
    std::vector<float> quote_bars = {};  // their left ends
    std::string marker = {};             // of a list's item, left of the text
    Task task = Task::kNone;
    TextFlow flow = {};
    // kCode
    std::string language = {};
    TextRange code = {};
    // kTable: rows of `aligns.size()` cells, the first is the head
    std::vector<CellAlign> aligns = {};
    std::vector<TextFlow> cells = {};
};

struct MessageFormula {
    std::string latex;
    TextRange range;
    bool display = false;
};

struct MessageBlocks {
    std::vector<Block> blocks;
    std::vector<std::string> links;
    std::vector<MessageFormula> formulas;
};

// source[chunk.begin, end) is read; `end` lies within the chunk.
[[nodiscard]] MessageBlocks read_blocks(std::string_view source, const MessageChunk& chunk,
                                        size_t end);

}  // namespace millrace
