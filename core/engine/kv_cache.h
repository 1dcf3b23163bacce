#pragma once
// The KV state of one sequence (spec §4.5, §6). All of it is a function of position:
//
//   window     ring of compact rows, slot = position mod capacity; capacity = window + rollback
//   rows       ring of the compressor's raw rows (u | s), the same way; enough for every unfinished block + rollback
//   entries    compressed rows by block index, ⌊length/ratio⌋ of them are there
//
// so that forgetting the last tokens is only a smaller length: what they wrote lies where no shorter sequence looks, or
// is written again before it is read. A chunk longer than the rollback overwrites more of the rings than that: before it
// they are copied, so that a chunk that ends in its middle can be taken back as well. What a layer has lies in the memory
// of the ops that compute it: those of one GPU for all, or each GPU's for its layers. Engine thread only.

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "core/base/memory.h"
#include "core/base/result.h"
#include "core/base/tensor.h"
#include "core/base/types.h"
#include "core/engine/step_recordings.h"
#include "core/model/config.h"
#include "kernels/kv_rows.h"
#include "kernels/ops.h"

namespace millrace {

[[nodiscard]] constexpr int compress_ratio(LayerKind kind) {
    return kind == LayerKind::kSparse ? 4 : kind == LayerKind::kHeavy ? 128 : 0;
}
// Blocks that contribute to one entry: ratio 4 overlaps its predecessor.
[[nodiscard]] constexpr int compress_overlap(int ratio) { return ratio == 4 ? 2 : 1; }

// Ops::store of records of any type, row by row.
template <class T>
void store_records(Ops& ops, MatrixView<const T> records, const RecordRing& to,
                   const int32_t* first, int divisor) {
    ENSURE(records.stride == records.cols);
    const auto bytes = records.cols * static_cast<int64_t>(sizeof(T));
    ops.store({reinterpret_cast<const std::byte*>(records.data), records.rows, bytes}, to, first,
              divisor);
}

// A ring of fixed-size records by absolute position.
template <class T>
class PositionRing {
public:
    PositionRing() = default;
    // `width` elements of T a record.
    PositionRing(OpsMemory memory, int64_t capacity, int64_t width)
        : memory_(std::move(memory)), capacity_(capacity), width_(width) {}

    [[nodiscard]] static uint64_t bytes(int64_t capacity, int64_t width) {
        return static_cast<uint64_t>(capacity * width) * sizeof(T);
    }
    [[nodiscard]] T* at(int64_t position) const { return data() + position % capacity_ * width_; }
    [[nodiscard]] T* data() const { return memory_.template as<T>(); }
    [[nodiscard]] int64_t capacity() const { return capacity_; }
    // Keeps the last `capacity` of the records of positions *first, *first + 1, …, which lie one after another.
    void keep(Ops& ops, const int32_t* first, MatrixView<const T> records) {
        store_records(ops, records, {memory_.bytes.data(), capacity_, record_bytes()}, first, 1);
    }

    // Bytes of the records whose places the `count` records from position `first` on take; copied out and back.
    [[nodiscard]] size_t taken_bytes(int64_t count) const {
        return bytes(std::min(count, capacity_), width_);
    }
    void save(Ops& ops, int64_t first, int64_t count, std::byte* room) const {
        for_taken(first, count, [&](const T* records, size_t size, size_t at) {
            ops.copy(room + at, records, size);
        });
    }
    void restore(Ops& ops, int64_t first, int64_t count, const std::byte* room) {
        for_taken(first, count,
                  [&](T* records, size_t size, size_t at) { ops.copy(records, room + at, size); });
    }
    // Calls visit(first record, bytes) for the pieces of memory that hold the `count` records from position `first` on.
    template <class Visit>
    void for_pieces(int64_t first, int64_t count, const Visit& visit) const {
        for_taken(first, count, [&](T* records, size_t size, size_t) { visit(records, size); });
    }

private:
    [[nodiscard]] int64_t record_bytes() const { return width_ * static_cast<int64_t>(sizeof(T)); }
    // The places are one piece of the memory, or two where they go round the end.
    template <class Copy>
    void for_taken(int64_t first, int64_t count, const Copy& copy) const {
        const int64_t taken = std::min(count, capacity_);
        const int64_t begin = (first + count - taken) % capacity_;
        const int64_t straight = std::min(taken, capacity_ - begin);
        copy(at(begin), bytes(straight, width_), size_t{0});
        if (taken > straight) copy(at(0), bytes(taken - straight, width_), bytes(straight, width_));
    }

    OpsMemory memory_;
    int64_t capacity_ = 0;
    int64_t width_ = 0;
};

// One compressor's raw rows and how to read them.
struct CompressorState {
    int ratio = 0;
    int64_t entry_width = 0;   // c
    PositionRing<float> rows;  // [2·coff·c] a token

    [[nodiscard]] int64_t row_width() const { return 2 * compress_overlap(ratio) * entry_width; }
};

struct LayerKv {
    LayerKind kind = LayerKind::kWindow;
    PositionRing<KvRow> window;
    // kSparse and kHeavy:
    CompressorState compressor;
    OpsMemory entries;  // KvRow [context / ratio]
    // kSparse:
    CompressorState index_compressor;
    OpsMemory index_entries;  // IndexRow [context / 4]

    [[nodiscard]] KvRow* entry(int64_t index) { return entries.as<KvRow>() + index; }
    [[nodiscard]] IndexRow* index_entry(int64_t index) {
        return index_entries.as<IndexRow>() + index;
    }
    // Keeps the entries that a chunk whose first token is at position *first completed.
    void keep_entries(Ops& ops, std::span<const KvRow> rows, const int32_t* first) const;
    void keep_index_entries(Ops& ops, std::span<const IndexRow> rows, const int32_t* first) const;
};

struct KvLimits {
    int64_t context_max = 0;
    int64_t rollback_max = 0;
    int64_t chunk_max =
        0;  // the longest that can be taken back whole; up to rollback_max needs no memory
};

class KvCache {
public:
    // Memory for the trunk's layers and a window for each of `draft_blocks`; given to the process as it fills.
    // `ops` must outlive it.
    [[nodiscard]] static Result<std::unique_ptr<KvCache>> create(Ops& ops,
                                                                 const ModelConfig& config,
                                                                 int32_t draft_blocks,
                                                                 const KvLimits& limits);
    // The same with the ops of each layer, the trunk's and those of the draft blocks; the same ones for consecutive layers.
    // kCapacity where one has no memory left: `full`, if not null, says which.
    [[nodiscard]] static Result<std::unique_ptr<KvCache>> create(std::span<Ops* const> ops,
                                                                 const ModelConfig& config,
                                                                 const KvLimits& limits,
                                                                 Ops** full);
    // What `create` reserves; and of it what belongs to a layer of the trunk, and to a draft block.
    [[nodiscard]] static uint64_t bytes(const ModelConfig& config, int32_t draft_blocks,
                                        const KvLimits& limits);
    [[nodiscard]] static uint64_t trunk_layer_bytes(LayerKind kind, const ModelConfig& config,
                                                    const KvLimits& limits);
    [[nodiscard]] static uint64_t draft_block_bytes(const ModelConfig& config,
                                                    const KvLimits& limits);

    [[nodiscard]] const KvLimits& limits() const { return limits_; }
    [[nodiscard]] Ops& ops(LayerId id) { return *ops_[static_cast<size_t>(id.value)]; }
    // By LayerId: the trunk, then the draft blocks.
    [[nodiscard]] LayerKv& layer(LayerId id) { return layers_[static_cast<size_t>(id.value)]; }

    // What a chunk of `count` tokens from position `first` on is about to overwrite in the trunk's rings, at most
    // chunk_max of it, is put aside; and put back as if the chunk had never been.
    void save(int64_t first, int64_t count);
    void restore(int64_t first, int64_t count);
    // Of the step that continues this state.
    [[nodiscard]] StepRecordings& recordings() { return recordings_; }

private:
    // Layers of the trunk that lie in the memory of the same ops.
    struct Room {
        Ops* ops = nullptr;
        size_t first = 0, end = 0;
        OpsMemory aside;  // what a chunk overwrites, ring by ring
    };
    explicit KvCache(const KvLimits& limits) : limits_(limits) {}
    [[nodiscard]] static Result<std::vector<Room>> rooms_of(std::span<Ops* const> ops,
                                                            const ModelConfig& config,
                                                            const KvLimits& limits, Ops** full);

    KvLimits limits_;
    std::vector<Ops*> ops_;  // of each layer
    std::vector<LayerKv> layers_;
    std::vector<Room> rooms_;
    StepRecordings recordings_;  // last: they know where all of it lies
};

}  // namespace millrace
