#pragma once
// The CPU implementation of kernels/ops.h: the kernels of one ISA, cut over the threads of the pool. It keeps every
// rounding point of the reference and sums in fp32; the order of every sum belongs to the kernel, so a row's bits are
// the same in any company. One source file per family of ops.

#include "kernels/cpu/kernel_table.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

class CpuOps final : public ReferenceOps {
public:
    CpuOps(Pool& pool, const CpuOptions& options)
        : ReferenceOps(pool), pool_(pool), options_(options), kernels_(kernels_of(options.isa)) {}
    [[nodiscard]] std::string_view name() const override { return "cpu"; }

    // linear.cpp
    [[nodiscard]] bool arranges(const LinearWeight& weight) const override;
    void arrange(LinearWeight& weight, std::byte* codes, std::byte* scales) override;
    void linear(const LinearInput& x, const LinearWeight& weight, MatrixView<Bf16> y) override;
    void linear_bf16(MatrixView<const Bf16> x, const LinearWeight& weight, int groups,
                     MatrixView<Bf16> y) override;
    void linear_f32(MatrixView<const Bf16> x, const LinearWeight& weight,
                    MatrixView<float> y) override;
    void compressor_rows(MatrixView<const Bf16> x, const LinearWeight& wkv,
                         const LinearWeight& wgate, std::span<const float> ape, int ratio,
                         std::span<const int32_t> positions, MatrixView<float> rows) override;
    // expert.cpp
    void expert(const LinearInput& x, std::span<const int32_t> rows, const ExpertWeights& weights,
                std::span<const float> route_weights, float limit, MatrixView<Bf16> out) override;
    void experts(const LinearInput& x, std::span<const ExpertCall> calls, float limit) override;
    // rows.cpp
    void embed(const LinearWeight& table, std::span<const TokenId> tokens,
               MatrixView<Bf16> streams) override;
    void rms_norm(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                  MatrixView<Bf16> out) override;
    void head_norm(MatrixView<Bf16> q, float eps) override;
    void rope(MatrixView<Bf16> x, int64_t width, std::span<const int32_t> positions,
              const RopeTable& table, Rotation rotation) override;
    void index_weights(MatrixView<Bf16> weights) override;
    void add(MatrixView<const Bf16> a, MatrixView<const Bf16> b, int count,
             MatrixView<Bf16> out) override;
    void stream_mean(MatrixView<const Bf16> streams, MatrixView<Bf16> out) override;
    // grids.cpp
    void quantise(MatrixView<const Bf16> x, Fp8Rows out) override;
    void pack_kv(MatrixView<const Bf16> kv, std::span<KvRow> rows) override;
    void pack_index(MatrixView<const Bf16> x, std::span<IndexRow> rows) override;
    // hyper_connections.cpp
    void hc_reduce(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                   MatrixView<Bf16> y, MatrixView<float> post, MatrixView<float> comb) override;
    void hc_expand(MatrixView<const Bf16> y, MatrixView<const float> post,
                   MatrixView<const float> comb, MatrixView<Bf16> streams) override;
    void hc_head(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                 MatrixView<Bf16> z) override;
    // compressor_pool.cpp
    void compressor_pool(std::span<const PoolSource> sources, int ratio,
                         MatrixView<Bf16> entries) override;
    // mixture.cpp
    void route(MatrixView<const float> logits, std::span<const float> bias,
               MatrixView<const int32_t> fixed, const RouterConfig& config, MatrixView<int32_t> ids,
               MatrixView<float> weights) override;
    void swiglu(MatrixView<const Bf16> gate, MatrixView<const Bf16> up,
                std::span<const float> route_weights, float limit, MatrixView<Bf16> out) override;
    void combine(MatrixView<const Bf16> expert_out, MatrixView<const int32_t> ids,
                 MatrixView<const Bf16> shared, MatrixView<Bf16> out) override;
    // attention.cpp
    void attend(MatrixView<const Bf16> q, const KeyLists& keys, std::span<const float> sink,
                MatrixView<Bf16> out) override;

    // indexer.cpp
    void index_topk(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                    std::span<const IndexRow> entries, std::span<const int32_t> visible,
                    MatrixView<int32_t> picks) override;

private:
    // Rows of x as products read them, for one or more parts of its columns: part p's begin at group p · tiles.size(). They
    // lie in ordered_ or int8_, or where they are when that is as they should be.
    struct ReadyRows {
        RowTiles tiles;
        const Bf16* bf16 = nullptr;  // or
        Int8Rows int8;

        [[nodiscard]] ReadyRows one_row() const {
            ReadyRows out = *this;
            out.tiles.rows = 1;
            return out;
        }
    };
    // Ready rows, from group `at` on, times (part of) a weight: tiles and x of the task are filled in from x.
    struct Product {
        LinearTask task;
        ReadyRows x;
        int64_t at = 0;
    };

    // linear.cpp. The tiles in which a product reads n rows (linear_kernels.h).
    [[nodiscard]] RowTiles tiles_of(int64_t n, int64_t cols, int64_t tile_rows) const;
    [[nodiscard]] RowTiles tiles_of(int64_t n, int64_t cols) const {
        return tiles_of(n, cols, std::min(n, kernels_.linear.tile_rows));
    }
    // Rows of x (those that `rows` names; all of them when it is empty) in such tiles and in the order of the weight's
    // format; each of its `parts` has the weight's columns.
    [[nodiscard]] ReadyRows ready(const LinearInput& x, std::span<const int32_t> rows,
                                  const LinearWeight& weight, int64_t parts, RowTiles tiles);
    [[nodiscard]] const Bf16* ordered(const LinearInput& x, std::span<const int32_t> rows,
                                      const LinearWeight& weight, int64_t parts,
                                      const RowTiles& tiles);
    [[nodiscard]] Int8Rows ordered_int8(MatrixView<const Bf16> x, std::span<const int32_t> rows,
                                        const LinearWeight& weight, int64_t parts,
                                        const RowTiles& tiles);
    // What the down products of an expert read.
    [[nodiscard]] LinearInput hidden_input(MatrixView<const Bf16> hidden, const LinearWeight& w2);
    // All outputs of a weight.
    [[nodiscard]] static LinearTask whole(const LinearWeight& weight, MatrixView<Bf16> y);
    [[nodiscard]] static LinearTask whole(const LinearWeight& weight, MatrixView<float> y);
    // Products of equally many rows, cut over the threads together.
    void multiply(std::span<const Product> products);
    // Tasks [first, last) of the kLinearRowsMax rows from `row` on.
    void multiply(const Product& product, int64_t row, int64_t first, int64_t last);
    // Of every row: the sums of fn·x over each piece of columns, [row][piece][outputs]. hyper_connections.cpp.
    std::span<const float> mix_pieces(MatrixView<const Bf16> streams, std::span<const float> fn,
                                      int64_t outputs);
    void index_flight(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                      const IndexRow* entries, std::span<const int32_t> visible,
                      MatrixView<int32_t> picks);

    Pool& pool_;
    const CpuOptions options_;
    const KernelTable& kernels_;
    Workspace<Bf16> ordered_;
    Workspace<Product> products_;
    struct {
        Workspace<int8_t> codes;
        Workspace<float> scales;
        Workspace<int32_t> starts;
    } int8_;
    struct {
        Workspace<Bf16> gate, up;
        Workspace<uint8_t> codes, scales;
        Workspace<int32_t> rows;
        Workspace<float> route_weights;
    } expert_;
    Workspace<std::byte> strips_;  // a copy of the strip that each piece turns
    Workspace<float> mixes_;
    Workspace<int32_t> order_;  // combine: of a row's experts
    struct {
        Workspace<const KvRow*> keys;
        Workspace<Bf16> queries, weights;
        Workspace<float> scores, most, totals;
    } attention_;
    Workspace<IndexHead> index_heads_;  // of the queries in flight
    Workspace<Bf16> index_scores_;      // of all entries, per query in flight
    Workspace<int32_t> index_order_;
};

}  // namespace millrace
