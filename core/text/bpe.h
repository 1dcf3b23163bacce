#pragma once
// Byte-pair merges: a piece starts as its bytes; the pair with the lowest rank is merged, the
// leftmost first among equals, until no pair has a rank. Short pieces scan for the lowest, long
// ones keep a heap: O(n log n) for any piece.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/types.h"

namespace millrace {

// Immutable once built; any thread may use it.
class Bpe {
public:
    struct Merge {
        TokenId left, right, merged;
    };

    // `merges` in order of rank; each pair at most once.
    Bpe(const std::array<TokenId, 256>& byte_tokens, std::span<const Merge> merges);

    // Appends the tokens of one piece of less than 2³¹ bytes.
    void encode(std::string_view piece, std::vector<TokenId>& out) const;

private:
    // rank << 32 | merged id, so that the lowest word is the lowest rank; kNoMerge if the pair has
    // none.
    using Word = uint64_t;
    static constexpr Word kNoMerge = ~Word{0};
    struct Slot {
        uint64_t pair = ~uint64_t{0};
        Word word = kNoMerge;
    };
    struct LongPiece;

    [[nodiscard]] Word find(int32_t left, int32_t right) const;
    void encode_short(std::string_view piece, std::vector<TokenId>& out) const;
    void encode_long(std::string_view piece, std::vector<TokenId>& out) const;

    std::array<int32_t, 256> byte_ids_{};
    std::vector<Slot> slots_;  // open addressing, at most half full
    int shift_ = 0;            // 64 − log2(slots)
};

// Encodes pieces of one text; a piece that stood before in the same text is copied from the output
// instead of merged again. Nothing is shared between texts, so threads need no lock.
class PieceEncoder {
public:
    // `text` (less than 2³¹ bytes) and `out` must outlive this.
    PieceEncoder(const Bpe& bpe, std::string_view text, std::vector<TokenId>& out);

    // `piece` lies inside the text.
    void encode(std::string_view piece);

private:
    struct Entry {
        uint32_t text = 0;   // where the piece stands
        uint32_t first = 0;  // where its tokens stand in the output
        uint16_t bytes = 0;  // 0: empty
        uint16_t tokens = 0;
    };
    static constexpr size_t kPieceBytesMax = 48;

    const Bpe& bpe_;
    std::string_view text_;
    std::vector<TokenId>& out_;
    std::vector<Entry> entries_;  // a power of two
};

}  // namespace millrace
