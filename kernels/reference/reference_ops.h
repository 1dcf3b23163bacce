#pragma once
// The reference implementation of kernels/ops.h. One source file per family of ops, each beside its formulas.

#include <algorithm>
#include <vector>

#include "kernels/ops.h"

namespace millrace {

// Memory that only grows, and then by half as much again at least: after the longest step nothing is allocated.
template <class T>
class Workspace {
public:
    // The first `count` elements, holding anything; what an earlier call gave is no longer valid.
    [[nodiscard]] std::span<T> take(size_t count) {
        if (elements_.size() < count) elements_.resize(std::max(count, elements_.size() * 3 / 2));
        return std::span(elements_).first(count);
    }

private:
    std::vector<T> elements_;
};

class ReferenceOps : public Ops {
public:
    explicit ReferenceOps(Pool& pool) : pool_(pool) {}
    [[nodiscard]] std::string_view name() const override { return "reference"; }

    // embed.cpp
    void embed(const LinearWeight& table, std::span<const TokenId> tokens,
               MatrixView<Bf16> streams) override;
    void add(MatrixView<const Bf16> a, MatrixView<const Bf16> b, int count,
             MatrixView<Bf16> out) override;
    void stream_mean(MatrixView<const Bf16> streams, MatrixView<Bf16> out) override;
    // hyper_connections.cpp
    void hc_reduce(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                   MatrixView<Bf16> y, MatrixView<float> post, MatrixView<float> comb) override;
    void hc_expand(MatrixView<const Bf16> y, MatrixView<const float> post,
                   MatrixView<const float> comb, MatrixView<Bf16> streams) override;
    void hc_head(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                 MatrixView<Bf16> z) override;
    // norm_rope.cpp
    void rms_norm(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                  MatrixView<Bf16> out) override;
    void head_norm(MatrixView<Bf16> q, float eps) override;
    void rope(MatrixView<Bf16> x, int64_t width, std::span<const int32_t> positions,
              const RopeTable& table, Rotation rotation) override;
    // quantise.cpp
    void quantise(MatrixView<const Bf16> x, Fp8Rows out) override;
    void pack_kv(MatrixView<const Bf16> kv, std::span<KvRow> rows) override;
    void pack_index(MatrixView<const Bf16> x, std::span<IndexRow> rows) override;
    // linear.cpp
    void linear(const LinearInput& x, const LinearWeight& weight, MatrixView<Bf16> y) override;
    void linear_bf16(MatrixView<const Bf16> x, const LinearWeight& weight, int groups,
                     MatrixView<Bf16> y) override;
    void linear_f32(MatrixView<const Bf16> x, const LinearWeight& weight,
                    MatrixView<float> y) override;
    // compressor.cpp
    void compressor_rows(MatrixView<const Bf16> x, const LinearWeight& wkv,
                         const LinearWeight& wgate, std::span<const float> ape, int ratio,
                         std::span<const int32_t> positions, MatrixView<float> rows) override;
    void compressor_pool(std::span<const PoolSource> sources, int ratio,
                         MatrixView<Bf16> entries) override;
    // indexer.cpp
    void index_weights(MatrixView<Bf16> weights) override;
    void index_topk(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                    std::span<const IndexRow> entries, std::span<const int32_t> visible,
                    MatrixView<int32_t> picks) override;
    // attention.cpp
    void attend(MatrixView<const Bf16> q, const KeyLists& keys, std::span<const float> sink,
                MatrixView<Bf16> out) override;
    // router.cpp
    void route(MatrixView<const float> logits, std::span<const float> bias,
               MatrixView<const int32_t> fixed, const RouterConfig& config, MatrixView<int32_t> ids,
               MatrixView<float> weights) override;
    // expert.cpp
    void expert(const LinearInput& x, std::span<const int32_t> rows, const ExpertWeights& weights,
                std::span<const float> route_weights, float limit, MatrixView<Bf16> out) override;
    void swiglu(MatrixView<const Bf16> gate, MatrixView<const Bf16> up,
                std::span<const float> route_weights, float limit, MatrixView<Bf16> out) override;
    void combine(MatrixView<const Bf16> expert_out, MatrixView<const int32_t> ids,
                 MatrixView<const Bf16> shared, MatrixView<Bf16> out) override;

private:
    // Exact products of `x` (row-major doubles, n rows of `cols`) with weight rows [first, first + count), handed to
    // put(row, output, sum). linear.cpp.
    template <class Put>
    void multiply(const double* x, int64_t rows, const LinearWeight& weight, int64_t first,
                  int64_t count, const Put& put);
    // The rows as doubles in inputs_: bf16 rows, or what aq128 made of them.
    const double* as_doubles(MatrixView<const Bf16> x);
    const double* as_doubles(const Fp8Rows& x);
    const double* as_doubles(const LinearInput& x, const LinearWeight& weight);

    Pool& pool_;
    Workspace<double> inputs_;
    Workspace<double> scores_;        // indexer: of all entries, per row in flight
    Workspace<float> probabilities_;  // attention: of all keys, per row in flight
    Workspace<int32_t> order_;
    Workspace<Bf16> gate_, up_, rows_;
    Workspace<uint8_t> codes_, scales_;
};

}  // namespace millrace
