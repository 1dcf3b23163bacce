#include "core/text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "core/base/check.h"
#include "core/base/random.h"

namespace millrace {
namespace {

constexpr size_t kShortBytes = 64;

uint64_t pair_key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

uint32_t rank_of(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
int32_t id_of(uint64_t word) { return static_cast<int32_t>(word & 0xFFFFFFFFu); }

}  // namespace

Bpe::Bpe(const std::array<TokenId, 256>& byte_tokens, std::span<const Merge> merges) {
    std::transform(byte_tokens.begin(), byte_tokens.end(), byte_ids_.begin(),
                   [](TokenId id) { return id.value; });
    const size_t slots = std::bit_ceil(std::max<size_t>(16, merges.size() * 2));
    slots_.resize(slots);
    shift_ = 64 - std::countr_zero(slots);
    for (size_t rank = 0; rank < merges.size(); ++rank) {
        const uint64_t pair = pair_key(merges[rank].left.value, merges[rank].right.value);
        size_t at = (pair * kGoldenGamma) >> shift_;
        while (slots_[at].word != kNoMerge) {
            ENSURE(slots_[at].pair != pair);
            at = (at + 1) & (slots - 1);
        }
        slots_[at] = {pair,
                      uint64_t{rank} << 32 | static_cast<uint32_t>(merges[rank].merged.value)};
    }
}

Bpe::Word Bpe::find(int32_t left, int32_t right) const {
    const uint64_t pair = pair_key(left, right);
    size_t at = (pair * kGoldenGamma) >> shift_;
    while (slots_[at].pair != pair && slots_[at].word != kNoMerge) {
        at = (at + 1) & (slots_.size() - 1);
    }
    return slots_[at].word;
}

void Bpe::encode(std::string_view piece, std::vector<TokenId>& out) const {
    if (piece.size() <= kShortBytes) {
        encode_short(piece, out);
    } else {
        encode_long(piece, out);
    }
}

void Bpe::encode_short(std::string_view piece, std::vector<TokenId>& out) const {
    std::array<int32_t, kShortBytes> ids;
    std::array<Word, kShortBytes> words;  // words[i]: the merge of ids[i] and ids[i+1]
    size_t count = piece.size();
    for (size_t i = 0; i < count; ++i) ids[i] = byte_ids_[static_cast<unsigned char>(piece[i])];
    for (size_t i = 0; i + 1 < count; ++i) words[i] = find(ids[i], ids[i + 1]);
    while (count > 1) {
        const auto best = std::min_element(words.begin(), words.begin() + count - 1);
        if (*best == kNoMerge) break;
        const auto i = static_cast<size_t>(best - words.begin());
        ids[i] = id_of(*best);
        std::copy(ids.begin() + i + 2, ids.begin() + count, ids.begin() + i + 1);
        std::copy(words.begin() + i + 2, words.begin() + count, words.begin() + i + 1);
        --count;
        if (i > 0) words[i - 1] = find(ids[i - 1], ids[i]);
        if (i + 1 < count) words[i] = find(ids[i], ids[i + 1]);
    }
    for (size_t i = 0; i < count; ++i) out.push_back(TokenId{ids[i]});
}

// A doubly linked list of symbols and a queue of the merges between neighbours. An entry of the
// queue whose pair has changed since is recognised by its rank and skipped. The merges of the first
// look are sorted once, which is kinder to the caches than a heap of them all; only those that come
// up later go through the heap.
struct Bpe::LongPiece {
    static constexpr uint32_t kNone = ~uint32_t{0};
    struct Symbol {
        int32_t id;
        uint32_t previous, next;
        uint32_t rank;   // of the merge with `next`; kNone if there is none
        int32_t merged;  // what that merge gives
    };

    const Bpe& bpe;
    std::vector<Symbol> symbols;
    std::vector<uint64_t> sorted;  // rank << 32 | position of the left symbol
    std::vector<uint64_t> heap;    // the same; lowest first
    size_t next_sorted = 0;

    // The rank of the pair that starts at `at`, and whether there is one.
    bool look_up(uint32_t at) {
        Symbol& symbol = symbols[at];
        const Word word =
            symbol.next == kNone ? kNoMerge : bpe.find(symbol.id, symbols[symbol.next].id);
        symbol.rank = rank_of(word);
        symbol.merged = id_of(word);
        return word != kNoMerge;
    }

    // The lowest entry, taken out; there must be one.
    uint64_t pop() {
        if (heap.empty() || (next_sorted < sorted.size() && sorted[next_sorted] < heap.front())) {
            return sorted[next_sorted++];
        }
        const uint64_t top = heap.front();
        std::pop_heap(heap.begin(), heap.end(), std::greater<>());
        heap.pop_back();
        return top;
    }

    void push(uint32_t at) {
        if (!look_up(at)) return;
        heap.push_back(uint64_t{symbols[at].rank} << 32 | at);
        std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }

    void merge(uint32_t at) {
        Symbol& left = symbols[at];
        Symbol& gone = symbols[left.next];
        left.id = left.merged;
        gone.rank = kNone;
        left.next = gone.next;
        if (left.next != kNone) symbols[left.next].previous = at;
        push(at);
        if (left.previous != kNone) push(left.previous);
    }
};

void Bpe::encode_long(std::string_view piece, std::vector<TokenId>& out) const {
    const auto count = static_cast<uint32_t>(piece.size());
    LongPiece work{*this, std::vector<LongPiece::Symbol>(count), {}, {}};
    for (uint32_t i = 0; i < count; ++i) {
        work.symbols[i] = {byte_ids_[static_cast<unsigned char>(piece[i])], i - 1, i + 1,
                           LongPiece::kNone, -1};
    }
    work.symbols[0].previous = LongPiece::kNone;
    work.symbols[count - 1].next = LongPiece::kNone;
    for (uint32_t i = 0; i < count; ++i) {
        if (work.look_up(i)) work.sorted.push_back(uint64_t{work.symbols[i].rank} << 32 | i);
    }
    std::sort(work.sorted.begin(), work.sorted.end());
    while (work.next_sorted < work.sorted.size() || !work.heap.empty()) {
        const uint64_t lowest = work.pop();
        const auto at = static_cast<uint32_t>(lowest & 0xFFFFFFFFu);
        if (work.symbols[at].rank == rank_of(lowest)) work.merge(at);
    }
    for (uint32_t i = 0; i != LongPiece::kNone; i = work.symbols[i].next) {
        out.push_back(TokenId{work.symbols[i].id});
    }
}

PieceEncoder::PieceEncoder(const Bpe& bpe, std::string_view text, std::vector<TokenId>& out)
    : bpe_(bpe),
      text_(text),
      out_(out),
      entries_(std::bit_ceil(std::clamp<size_t>(text.size() / 8, 16, size_t{1} << 15))) {}

void PieceEncoder::encode(std::string_view piece) {
    if (piece.size() > kPieceBytesMax || piece.size() < 2) {
        bpe_.encode(piece, out_);
        return;
    }
    uint64_t hash = piece.size();
    for (size_t at = 0; at < piece.size(); at += 8) {
        uint64_t word = 0;
        std::memcpy(&word, piece.data() + at, std::min<size_t>(8, piece.size() - at));
        hash = (std::rotl(hash, 23) ^ word) * kGoldenGamma;
    }
    Entry& entry = entries_[(hash >> 32) & (entries_.size() - 1)];
    const size_t first = out_.size();
    if (entry.bytes == piece.size() && text_.compare(entry.text, entry.bytes, piece) == 0) {
        for (size_t i = 0; i < entry.tokens; ++i) out_.push_back(out_[entry.first + i]);
        return;
    }
    bpe_.encode(piece, out_);
    entry = {static_cast<uint32_t>(piece.data() - text_.data()), static_cast<uint32_t>(first),
             static_cast<uint16_t>(piece.size()), static_cast<uint16_t>(out_.size() - first)};
}

}  // namespace millrace
