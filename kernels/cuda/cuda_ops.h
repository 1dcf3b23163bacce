#pragma once
// The mathematics of kernels/ops.h on a GPU: the same functions, rounding points and shapes. All pointers, those inside of
// lists too, are the GPU's (a RopeTable goes along by value); calls return before the work is done, and read() waits for it.
//
// A row's bits are the same in any company, run after run: no order of a sum follows from rows or from timing, no atomic
// decides a value. They are the same on every GPU, too, since functions are made of correctly rounded operations
// (device/arithmetic.cuh); but for products on tensor cores, which are on those GPUs whose tensor cores sum alike.
//
// What goes wrong on the way (a launch refused, a GPU that is gone) is said by the next read() or write(). One thread at a
// time may call; nothing is allocated after create().

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/stream.h"
#include "kernels/gpu.h"

namespace millrace::cuda {

inline constexpr int kExpertsMax = 32;  // experts of one token

// The largest shapes that will be asked for: scratch is allocated for them.
struct CudaOptions {
    Stream stream;  // outlives the ops, or goes with them (create)
    int64_t rows_max = 1;
    int64_t hidden_max = 0;      // hc_reduce, hc_head
    int64_t inner_max = 0;       // experts
    int64_t heads_max = 0;       // attend, over
    int64_t keys_max = 0;        //   so many keys a row
    int64_t entries_max = 0;     // index_topk, over so many,
    int64_t picks_max = 0;       //   the best so many a row
    int64_t vocabulary_max = 0;  // choose
};

class CudaOps final : public GpuOps {
public:
    // `own`: the stream of the options, where nobody else keeps it.
    [[nodiscard]] static Result<CudaOps> create(const CudaOptions& options, OwnStream own = {});
    // What create() allocates.
    [[nodiscard]] static uint64_t bytes_of(const CudaOptions& options);
    // Whether there are kernels for products with this weight.
    [[nodiscard]] static bool multiplies(const LinearWeight& weight);

    [[nodiscard]] std::string_view name() const override { return "cuda"; }

    // cuda_ops.cu
    [[nodiscard]] bool on_host() const override { return false; }
    [[nodiscard]] Result<OpsMemory> allocate(uint64_t bytes, HugePages huge) override;
    [[nodiscard]] Status read(void* host, const void* from, size_t bytes) override;
    [[nodiscard]] Status begin_read(std::span<const ReadPiece> pieces) override;
    [[nodiscard]] Status end_read() override;
    [[nodiscard]] Status write(void* to, const void* host, size_t bytes) override;
    void copy(void* to, const void* from, size_t bytes) override;
    // graph.cu. Not on the default stream, which nothing can be recorded on.
    [[nodiscard]] bool begin_recording() override;
    [[nodiscard]] std::unique_ptr<Recording> end_recording() override;
    void replay(const Recording& recording) override;
    [[nodiscard]] Result<std::unique_ptr<GpuExperts>> make_experts(
        const GpuExpertSizes& sizes) override;
    [[nodiscard]] Result<std::shared_ptr<void>> pin(std::span<std::byte> memory) override;
    // lists.cu
    void count(std::span<int32_t> out, int64_t first, int64_t step, int64_t divisor) override;
    KeyLists list_keys(const KeySources& sources, std::span<const KvRow*> rows,
                       std::span<KeyList> lists) override;
    void list_contributors(const PoolSources& from, std::span<const float*> rows,
                           std::span<PoolSource> sources, std::span<int32_t> positions) override;
    void store(MatrixView<const std::byte> records, const RecordRing& to, const int32_t* first,
               int divisor) override;

    // rows.cu. A token outside the table leaves its row alone.
    void embed(const LinearWeight& table, std::span<const TokenId> tokens,
               MatrixView<Bf16> streams) override;
    void add(MatrixView<const Bf16> a, MatrixView<const Bf16> b, int count,
             MatrixView<Bf16> out) override;
    void stream_mean(MatrixView<const Bf16> streams, MatrixView<Bf16> out) override;
    void combine(MatrixView<const Bf16> expert_out, MatrixView<const int32_t> ids,
                 MatrixView<const Bf16> shared, MatrixView<Bf16> out) override;
    void swiglu(MatrixView<const Bf16> gate, MatrixView<const Bf16> up,
                std::span<const float> route_weights, float limit, MatrixView<Bf16> out) override;
    void index_weights(MatrixView<Bf16> weights) override;
    void place_rows(MatrixView<const Bf16> rows, std::span<const int32_t> places,
                    MatrixView<Bf16> out) override;
    // hyper_connections.cu
    void hc_reduce(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                   MatrixView<Bf16> y, MatrixView<float> post, MatrixView<float> comb) override;
    void hc_expand(MatrixView<const Bf16> y, MatrixView<const float> post,
                   MatrixView<const float> comb, MatrixView<Bf16> streams) override;
    void hc_head(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                 MatrixView<Bf16> z) override;
    // norm_rope.cu
    void rms_norm(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                  MatrixView<Bf16> out) override;
    void norm_quantise(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                       MatrixView<Bf16> out, Fp8Rows quantised) override;
    void head_norm(MatrixView<Bf16> q, float eps) override;
    void rope(MatrixView<Bf16> x, int64_t width, std::span<const int32_t> positions,
              const RopeTable& table, Rotation rotation) override;
    // grids.cu
    void quantise(MatrixView<const Bf16> x, Fp8Rows out) override;
    void pack_kv(MatrixView<const Bf16> kv, std::span<KvRow> rows) override;
    void pack_index(MatrixView<const Bf16> x, std::span<IndexRow> rows) override;
    // product.cu
    void linear(const LinearInput& x, const LinearWeight& weight, MatrixView<Bf16> y) override;
    void linear_bf16(MatrixView<const Bf16> x, const LinearWeight& weight, int groups,
                     MatrixView<Bf16> y) override;
    void linear_f32(MatrixView<const Bf16> x, const LinearWeight& weight,
                    MatrixView<float> y) override;
    void compressor_rows(MatrixView<const Bf16> x, const LinearWeight& wkv,
                         const LinearWeight& wgate, std::span<const float> ape, int ratio,
                         std::span<const int32_t> positions, MatrixView<float> rows) override;
    // compressor.cu
    void compressor_pool(std::span<const PoolSource> sources, int ratio,
                         MatrixView<Bf16> entries) override;
    // router.cu. Fixed ids outside [0, experts) are kept and weigh nothing.
    void route(MatrixView<const float> logits, std::span<const float> bias,
               MatrixView<const int32_t> fixed, const RouterConfig& config, MatrixView<int32_t> ids,
               MatrixView<float> weights) override;

    // choice.cu
    [[nodiscard]] Result<std::optional<TokenId>> choose(std::span<const float> logits,
                                                        const ChoiceRequest& request) override;

    // cuda_ops.cu, with the functions of attention.h, indexer.h and experts.h
    void index_topk(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                    std::span<const IndexRow> entries, std::span<const int32_t> visible,
                    MatrixView<int32_t> picks) override;
    void attend(MatrixView<const Bf16> q, const KeyLists& keys, std::span<const float> sink,
                MatrixView<Bf16> out) override;
    void expert(const LinearInput& x, std::span<const int32_t> rows, const ExpertWeights& weights,
                std::span<const float> route_weights, float limit, MatrixView<Bf16> out) override;
    void experts(const LinearInput& x, std::span<const ExpertCall> calls, float limit) override;

private:
    explicit CudaOps(Stream stream, OwnStream own) : own_stream_(std::move(own)), stream_(stream) {}
    struct ScratchBytes {
        uint64_t mix = 0, attention = 0, index = 0, experts = 0, choice = 0;
    };
    [[nodiscard]] static ScratchBytes scratch_bytes(const CudaOptions& options);
    [[nodiscard]] static int64_t mix_scratch_bytes(int64_t rows, int64_t hidden);
    [[nodiscard]] static uint64_t choice_scratch_bytes(int64_t vocabulary);
    // The sums of fn·x over each piece of columns, to scratch_.
    template <int kResults>
    void mix(MatrixView<const Bf16> streams, std::span<const float> fn);

    OwnStream own_stream_;
    Stream stream_;
    Event read_;            // behind the copies of begin_read
    DeviceMemory scratch_;  // of hc_reduce and hc_head
    DeviceMemory attention_scratch_;
    DeviceMemory index_scratch_;
    DeviceMemory expert_scratch_;
    DeviceMemory choice_scratch_;
};

}  // namespace millrace::cuda
