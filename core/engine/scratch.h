#pragma once
// Memory for the activations of one chunk, laid out once. A component's scratch is a struct of views with a static
// `take(Arena&, …)`; the same call on a counting arena says how many bytes it needs, so plan and layout cannot differ.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/tensor.h"
#include "kernels/ops.h"

namespace millrace {

class Arena {
public:
    // Counts only: every view it gives has the right shape and no memory.
    Arena() = default;
    explicit Arena(std::span<std::byte> memory) : base_(memory.data()), size_(memory.size()) {}

    template <class T>
    [[nodiscard]] std::span<T> list(int64_t count) {
        used_ = round_up(used_, kAlignment);
        const uint64_t at = used_;
        used_ += static_cast<uint64_t>(count) * sizeof(T);
        if (used_ > peak_) peak_ = used_;
        if (base_ == nullptr) return {};
        ENSURE(used_ <= size_);
        return {reinterpret_cast<T*>(base_ + at), static_cast<size_t>(count)};
    }
    template <class T>
    [[nodiscard]] MatrixView<T> rows(int64_t count, int64_t cols) {
        return {list<T>(count * cols).data(), count, cols};
    }

    // Two components that never run at the same time may lie over each other: take one, go back, take the other.
    [[nodiscard]] uint64_t mark() const { return used_; }
    void back_to(uint64_t mark) { used_ = mark; }
    // What all that was taken needs.
    [[nodiscard]] uint64_t peak_bytes() const { return peak_; }

private:
    static constexpr uint64_t kAlignment = 64;
    std::byte* base_ = nullptr;
    uint64_t size_ = 0;
    uint64_t used_ = 0;
    uint64_t peak_ = 0;
};

// What a step lays out: views in the ops' memory, views in the host's, and, where those are two, rooms in the host's for
// copies of what the host looks at (`copy_rows` gives nothing where they are one).
struct Arenas {
    Arena ops, host;
    bool apart = false;
    bool pinned = false;  // the host's, so that copies to it may be recorded

    template <class T>
    [[nodiscard]] MatrixView<T> copy_rows(int64_t count, int64_t cols) {
        return apart ? host.rows<T>(count, cols) : MatrixView<T>();
    }
};

// Memory for all of that.
class ScratchMemory {
public:
    // `lay_out(arenas)` is called twice: to count, and with memory.
    template <class LayOut>
    [[nodiscard]] static Result<ScratchMemory> create(Ops& ops, HugePages huge,
                                                      const LayOut& lay_out) {
        Arenas counting{.ops = {}, .host = {}, .apart = !ops.on_host(), .pinned = false};
        lay_out(counting);
        ScratchMemory memory;
        memory.ops_ = TRY(ops.allocate(counting.ops.peak_bytes(), huge));
        memory.host_ = TRY(PageBuffer::create(counting.host.peak_bytes(), HugePages::kNo));
        if (counting.apart) {
            // Copies are slower where the system does not allow it.
            auto pinned = ops.pin(memory.host_.bytes());
            if (pinned.ok()) memory.pinned_ = *std::move(pinned);
        }
        Arenas arenas{.ops = Arena(memory.ops_.bytes),
                      .host = Arena(memory.host_.bytes()),
                      .apart = counting.apart,
                      .pinned = memory.pinned_ != nullptr};
        lay_out(arenas);
        return memory;
    }

private:
    OpsMemory ops_;
    PageBuffer host_;
    std::shared_ptr<void> pinned_;  // before host_ goes
};

// Several views as the host may read them, after one wait: themselves, or copied to the first rows of their rooms. Views
// that follow each other as closely as their rooms do are one copy.
class HostReads {
public:
    explicit HostReads(Ops& ops) : ops_(ops) {}

    template <class T>
    [[nodiscard]] MatrixView<T> add(MatrixView<T> rows, MatrixView<std::remove_const_t<T>> room) {
        if (ops_.on_host() || rows.rows == 0) return rows;
        ENSURE(rows.rows <= room.rows && rows.cols == room.cols && room.stride == room.cols);
        const MatrixView<std::remove_const_t<T>> out = room.slice_rows(0, rows.rows);
        ENSURE(rows.stride == rows.cols || rows.rows == 1);
        add_piece({out.data, rows.data, static_cast<size_t>(rows.rows * rows.cols) * sizeof(T)});
        return MatrixView<T>(out);
    }
    // Between the two the views hold anything.
    [[nodiscard]] Status begin() { return ops_.begin_read(std::span(pieces_).first(count_)); }
    [[nodiscard]] Status end() { return ops_.end_read(); }

    // After a replay of what recorded begin(), which may be where the rooms are pinned.
    [[nodiscard]] Status begin_again() { return ops_.begin_read({}); }

private:
    void add_piece(const ReadPiece& piece) {
        if (count_ > 0) {
            ReadPiece& last = pieces_[count_ - 1];
            const auto behind = [&](const void* at, const void* last_at) {
                return static_cast<const std::byte*>(at) - static_cast<const std::byte*>(last_at);
            };
            const std::ptrdiff_t room = behind(piece.host, last.host);
            const auto closest = static_cast<std::ptrdiff_t>(last.bytes);
            if (room >= closest && room < closest + kGapMax &&
                behind(piece.from, last.from) == room) {
                last.bytes = static_cast<size_t>(room) + piece.bytes;
                return;
            }
        }
        ENSURE(count_ < pieces_.size());
        pieces_[count_++] = piece;
    }

    static constexpr std::ptrdiff_t kGapMax = 64;  // of an arena's, between what is taken
    Ops& ops_;
    std::array<ReadPiece, 8> pieces_;
    size_t count_ = 0;
};

// One view as the host may read it.
template <class T>
[[nodiscard]] Result<MatrixView<T>> on_host(Ops& ops, MatrixView<T> rows,
                                            MatrixView<std::remove_const_t<T>> room) {
    HostReads reads(ops);
    const MatrixView<T> out = reads.add(rows, room);
    TRY(reads.begin());
    TRY(reads.end());
    return out;
}

// Room for `rows` rows of `cols` after aq128.
[[nodiscard]] inline Fp8Rows take_fp8(Arena& arena, int64_t rows, int64_t cols) {
    return {arena.rows<uint8_t>(rows, cols), arena.rows<uint8_t>(rows, (cols + 127) / 128)};
}

[[nodiscard]] inline Fp8Rows first_rows(const Fp8Rows& x, int64_t n) {
    return {x.codes.slice_rows(0, n), x.scales.slice_rows(0, n)};
}

}  // namespace millrace
