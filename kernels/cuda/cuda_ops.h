#pragma once
// The mathematics of kernels/ops.h on a GPU: the same functions, rounding points and shapes. Two things differ: every
// pointer, those inside of lists too, is one of the GPU's memory (a RopeTable goes along by value), and calls return before
// the work is done: results are there when the stream has come to them.
//
// A row's bits are the same in any company, run after run: no order of a sum follows from rows or from timing, no atomic
// decides a value. They are the same on every GPU, too, since functions are made of correctly rounded operations
// (device/arithmetic.cuh); but for products on tensor cores, which are on those GPUs whose tensor cores sum alike.
//
// Attention, the indexer and experts want scratch and are functions of their own: attention.h, indexer.h, experts.h. One
// thread at a time may call; nothing is allocated after create().

#include <cstdint>
#include <span>

#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/stream.h"
#include "kernels/ops.h"

namespace millrace::cuda {

inline constexpr int kExpertsMax = 32;  // experts of one token

struct CudaOptions {
    Stream stream;
    // Of one call to hc_reduce or hc_head: what the sums between its two kernels need.
    int64_t rows_max = 1;
    int64_t hidden_max = 0;
};

class CudaOps {
public:
    [[nodiscard]] static Result<CudaOps> create(const CudaOptions& options);
    // Whether there are kernels for products with this weight.
    [[nodiscard]] static bool multiplies(const LinearWeight& weight);

    // rows.cu. A token outside the table leaves its row alone.
    void embed(const LinearWeight& table, std::span<const TokenId> tokens,
               MatrixView<Bf16> streams);
    void add(MatrixView<const Bf16> a, MatrixView<const Bf16> b, int count, MatrixView<Bf16> out);
    void stream_mean(MatrixView<const Bf16> streams, MatrixView<Bf16> out);
    void combine(MatrixView<const Bf16> expert_out, MatrixView<const int32_t> ids,
                 MatrixView<const Bf16> shared, MatrixView<Bf16> out);
    void swiglu(MatrixView<const Bf16> gate, MatrixView<const Bf16> up,
                std::span<const float> route_weights, float limit, MatrixView<Bf16> out);
    void index_weights(MatrixView<Bf16> weights);
    // hyper_connections.cu
    void hc_reduce(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                   MatrixView<Bf16> y, MatrixView<float> post, MatrixView<float> comb);
    void hc_expand(MatrixView<const Bf16> y, MatrixView<const float> post,
                   MatrixView<const float> comb, MatrixView<Bf16> streams);
    void hc_head(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                 MatrixView<Bf16> z);
    // norm_rope.cu
    void rms_norm(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                  MatrixView<Bf16> out);
    // rms_norm and quantise of what it wrote, in one launch: the same bits.
    void norm_quantise(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                       MatrixView<Bf16> out, Fp8Rows quantised);
    void head_norm(MatrixView<Bf16> q, float eps);
    void rope(MatrixView<Bf16> x, int64_t width, std::span<const int32_t> positions,
              const RopeTable& table, Rotation rotation);
    // grids.cu
    void quantise(MatrixView<const Bf16> x, Fp8Rows out);
    void pack_kv(MatrixView<const Bf16> kv, std::span<KvRow> rows);
    void pack_index(MatrixView<const Bf16> x, std::span<IndexRow> rows);
    // product.cu
    void linear(const LinearInput& x, const LinearWeight& weight, MatrixView<Bf16> y);
    void linear_bf16(MatrixView<const Bf16> x, const LinearWeight& weight, int groups,
                     MatrixView<Bf16> y);
    void linear_f32(MatrixView<const Bf16> x, const LinearWeight& weight, MatrixView<float> y);
    void compressor_rows(MatrixView<const Bf16> x, const LinearWeight& wkv,
                         const LinearWeight& wgate, std::span<const float> ape, int ratio,
                         std::span<const int32_t> positions, MatrixView<float> rows);
    // compressor.cu
    void compressor_pool(std::span<const PoolSource> sources, int ratio, MatrixView<Bf16> entries);
    // router.cu. Fixed ids outside [0, experts) are kept and weigh nothing.
    void route(MatrixView<const float> logits, std::span<const float> bias,
               MatrixView<const int32_t> fixed, const RouterConfig& config, MatrixView<int32_t> ids,
               MatrixView<float> weights);

private:
    CudaOps(Stream stream, DeviceMemory scratch) : stream_(stream), scratch_(std::move(scratch)) {}
    [[nodiscard]] static int64_t mix_scratch_bytes(int64_t rows, int64_t hidden);
    // The sums of fn·x over each piece of columns, to scratch_.
    template <int kResults>
    void mix(MatrixView<const Bf16> streams, std::span<const float> fn);

    Stream stream_;
    DeviceMemory scratch_;
};

}  // namespace millrace::cuda
