#pragma once
// What routers decided in a run, as a file: which experts each token chose in each layer, and where all the others stood.
// Recorded by `millrace trace`, read by `millrace replay`, which tries cache policies on it without a model.
//
//   file    magic "MILLTRC1", layers, experts, k (int32 each), step count (uint64),
//           one byte a layer (1: it looks its experts up, and has no ranks),
//           steps, XXH3 (64 bits) of all before it. Little-endian, nothing between.
//   step    layer, rows (int32 each), ids uint16 [rows][k], ranks uint8 [ranked(rows)][experts] of its last rows
//
// A step is one layer of one forward: one row when decoding, several when reading a prompt.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/result.h"
#include "core/base/tensor.h"
#include "core/base/types.h"

namespace millrace {

// Of more rows than this only the last are ranked: what a prompt ends with says most about what follows.
inline constexpr int64_t kRankedRows = 64;

struct TraceShape {
    int32_t layers = 0, experts = 0, experts_per_token = 0;
    std::vector<uint8_t> fixed;  // [layers] 1: looked up by token id

    friend bool operator==(const TraceShape&, const TraceShape&) = default;
};

struct TraceStep {
    LayerId layer;
    int32_t rows = 0;
    size_t ids = 0;  // where its ids and ranks begin
    size_t ranks = 0;
};

class RouterTrace {
public:
    explicit RouterTrace(TraceShape shape) : shape_(std::move(shape)) {}
    // kCorrupt or kInvalid says what is wrong with the bytes of a file and at which byte.
    [[nodiscard]] static Result<RouterTrace> parse(std::span<const std::byte> file);
    [[nodiscard]] std::vector<std::byte> file() const;

    // ids [n, k], distinct in a row. ranks [min(n, kRankedRows), experts] of the last rows; a fixed layer's are not kept.
    void add(LayerId layer, MatrixView<const int32_t> ids, MatrixView<const uint8_t> ranks);
    // All steps of a trace of the same shape, behind these.
    void append(const RouterTrace& other);

    [[nodiscard]] const TraceShape& shape() const { return shape_; }
    [[nodiscard]] std::span<const TraceStep> steps() const { return steps_; }
    [[nodiscard]] std::span<const uint16_t> ids(const TraceStep& step) const;
    // No rows for a fixed layer.
    [[nodiscard]] MatrixView<const uint8_t> ranks(const TraceStep& step) const;
    // Rows of the first layer.
    [[nodiscard]] int64_t tokens() const;

private:
    // `body` from byte `begin` on holds `count` steps and nothing else.
    [[nodiscard]] Status parse_steps(size_t begin, uint64_t count, std::span<const std::byte> body);
    [[nodiscard]] size_t rank_bytes(LayerId layer, int32_t rows) const;

    TraceShape shape_;
    std::vector<TraceStep> steps_;
    std::vector<uint16_t> ids_;
    std::vector<uint8_t> ranks_;
};

}  // namespace millrace
