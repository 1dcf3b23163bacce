#include "tests/cuda/staged_cuda_ops.h"

#include <doctest/doctest.h>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/indexer.h"
#include "kernels/reference/reference_ops.h"
#include "tests/cuda/stage.h"
#include "tests/cuda/watched_gpu.h"

namespace millrace::test {
namespace {

class StagedCudaOps final : public ReferenceOps {
public:
    StagedCudaOps(Pool& pool, const cuda_sim::Options& options)
        : ReferenceOps(pool), options_(options), ops_(*cuda::CudaOps::create({})) {}
    [[nodiscard]] std::string_view name() const override { return "cuda"; }

    void embed(const LinearWeight& table, std::span<const TokenId> tokens,
               MatrixView<Bf16> streams) override {
        run([&](Stage& s) { ops_.embed(s.in(table), s.in(tokens), s.out(streams)); });
    }
    void add(MatrixView<const Bf16> a, MatrixView<const Bf16> b, int count,
             MatrixView<Bf16> out) override {
        run([&](Stage& s) { ops_.add(s.in(a), s.in(b), count, s.out(out)); });
    }
    void stream_mean(MatrixView<const Bf16> streams, MatrixView<Bf16> out) override {
        run([&](Stage& s) { ops_.stream_mean(s.in(streams), s.out(out)); });
    }
    void combine(MatrixView<const Bf16> expert_out, MatrixView<const int32_t> ids,
                 MatrixView<const Bf16> shared, MatrixView<Bf16> out) override {
        run([&](Stage& s) { ops_.combine(s.in(expert_out), s.in(ids), s.in(shared), s.out(out)); });
    }
    void swiglu(MatrixView<const Bf16> gate, MatrixView<const Bf16> up,
                std::span<const float> route_weights, float limit, MatrixView<Bf16> out) override {
        run([&](Stage& s) {
            // `out` may be the gate: then it is both on the GPU, too.
            const MatrixView<Bf16> result = s.out(out);
            const bool same = gate.data == out.data;
            const MatrixView<const Bf16> g = same ? MatrixView<const Bf16>(result) : s.in(gate);
            ops_.swiglu(g, s.in(up), s.in(route_weights), limit, result);
        });
    }
    void index_weights(MatrixView<Bf16> weights) override {
        run([&](Stage& s) { ops_.index_weights(s.out(weights)); });
    }
    void place_rows(MatrixView<const Bf16> rows, std::span<const int32_t> places,
                    MatrixView<Bf16> out) override {
        run([&](Stage& s) { ops_.place_rows(s.in(rows), s.in(places), s.out(out)); });
    }
    void hc_reduce(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                   MatrixView<Bf16> y, MatrixView<float> post, MatrixView<float> comb) override {
        need(streams.rows, y.cols);
        run([&](Stage& s) {
            ops_.hc_reduce(s.in(streams), in(s, site), s.out(y), s.out(post), s.out(comb));
        });
    }
    void hc_expand(MatrixView<const Bf16> y, MatrixView<const float> post,
                   MatrixView<const float> comb, MatrixView<Bf16> streams) override {
        run([&](Stage& s) { ops_.hc_expand(s.in(y), s.in(post), s.in(comb), s.out(streams)); });
    }
    void hc_head(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                 MatrixView<Bf16> z) override {
        need(streams.rows, z.cols);
        run([&](Stage& s) { ops_.hc_head(s.in(streams), in(s, site), s.out(z)); });
    }
    void rms_norm(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                  MatrixView<Bf16> out) override {
        run([&](Stage& s) {
            const MatrixView<Bf16> result = s.out(out);
            const bool same = x.data == out.data;
            const MatrixView<const Bf16> from = same ? MatrixView<const Bf16>(result) : s.in(x);
            ops_.rms_norm(from, s.in(weight), eps, result);
        });
    }
    void norm_quantise(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                       MatrixView<Bf16> out, Fp8Rows quantised) override {
        run([&](Stage& s) {
            ops_.norm_quantise(s.in(x), s.in(weight), eps, s.out(out),
                               {s.out(quantised.codes), s.out(quantised.scales)});
        });
    }
    void head_norm(MatrixView<Bf16> q, float eps) override {
        run([&](Stage& s) { ops_.head_norm(s.out(q), eps); });
    }
    void rope(MatrixView<Bf16> x, int64_t width, std::span<const int32_t> positions,
              const RopeTable& table, Rotation rotation) override {
        run([&](Stage& s) { ops_.rope(s.out(x), width, s.in(positions), table, rotation); });
    }
    void quantise(MatrixView<const Bf16> x, Fp8Rows out) override {
        run([&](Stage& s) { ops_.quantise(s.in(x), {s.out(out.codes), s.out(out.scales)}); });
    }
    void pack_kv(MatrixView<const Bf16> kv, std::span<KvRow> rows) override {
        run([&](Stage& s) { ops_.pack_kv(s.in(kv), s.out(rows)); });
    }
    void pack_index(MatrixView<const Bf16> x, std::span<IndexRow> rows) override {
        run([&](Stage& s) { ops_.pack_index(s.in(x), s.out(rows)); });
    }
    void linear(const LinearInput& x, const LinearWeight& weight, MatrixView<Bf16> y) override {
        if (!cuda::CudaOps::multiplies(weight)) return ReferenceOps::linear(x, weight, y);
        run([&](Stage& s) {
            LinearInput input;
            if (weight.quantised()) {
                input.quantised = {in(s, x.quantised.codes), in(s, x.quantised.scales)};
            } else {
                input.rows = s.in(x.rows);
            }
            ops_.linear(input, s.in(weight), s.out(y));
        });
    }
    void linear_bf16(MatrixView<const Bf16> x, const LinearWeight& weight, int groups,
                     MatrixView<Bf16> y) override {
        if (!cuda::CudaOps::multiplies(weight))
            return ReferenceOps::linear_bf16(x, weight, groups, y);
        run([&](Stage& s) { ops_.linear_bf16(s.in(x), s.in(weight), groups, s.out(y)); });
    }
    void linear_f32(MatrixView<const Bf16> x, const LinearWeight& weight,
                    MatrixView<float> y) override {
        if (!cuda::CudaOps::multiplies(weight)) return ReferenceOps::linear_f32(x, weight, y);
        run([&](Stage& s) { ops_.linear_f32(s.in(x), s.in(weight), s.out(y)); });
    }
    void compressor_rows(MatrixView<const Bf16> x, const LinearWeight& wkv,
                         const LinearWeight& wgate, std::span<const float> ape, int ratio,
                         std::span<const int32_t> positions, MatrixView<float> rows) override {
        run([&](Stage& s) {
            ops_.compressor_rows(s.in(x), s.in(wkv), s.in(wgate), s.in(ape), ratio, s.in(positions),
                                 s.out(rows));
        });
    }
    void compressor_pool(std::span<const PoolSource> sources, int ratio,
                         MatrixView<Bf16> entries) override {
        run([&](Stage& s) {
            const int coff = ratio == 4 ? 2 : 1;
            const auto floats = static_cast<size_t>(2 * coff * entries.cols);
            std::vector<PoolSource> on_gpu;
            for (const PoolSource& source : sources) {
                std::vector<const float*> rows;
                for (int i = 0; i < coff * ratio; ++i) {
                    const float* row = source.rows[i];
                    rows.push_back(row == nullptr ? row : s.in(std::span(row, floats)).data());
                }
                on_gpu.push_back({s.in(std::span<const float* const>(rows)).data()});
            }
            ops_.compressor_pool(s.in(std::span<const PoolSource>(on_gpu)), ratio, s.out(entries));
        });
    }
    void index_topk(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                    std::span<const IndexRow> entries, std::span<const int32_t> visible,
                    MatrixView<int32_t> picks) override {
        run([&](Stage& s) {
            // Room for three rows: more of them go one flight after another.
            const int64_t count = static_cast<int64_t>(entries.size());
            const auto scratch = *cuda::DeviceMemory::allocate(static_cast<size_t>(
                std::min<int64_t>(picks.rows, 3) * cuda::index_scratch_bytes(count, picks.cols)));
            cuda::index_topk(s.in(q), s.in(weights), s.in(entries), s.in(visible), s.out(picks),
                             scratch, {});
        });
    }
    void attend(MatrixView<const Bf16> q, const KeyLists& keys, std::span<const float> sink,
                MatrixView<Bf16> out) override {
        run([&](Stage& s) {
            std::vector<KeyList> lists;
            for (const KeyList& list : keys.lists) {
                lists.push_back({in(s, list.window), in(s, list.entries)});
            }
            // Room for three rows: more of them go one flight after another.
            const auto heads = static_cast<int64_t>(sink.size());
            const auto scratch = *cuda::DeviceMemory::allocate(static_cast<size_t>(
                std::min<int64_t>(q.rows, 3) * cuda::attend_scratch_bytes(heads, keys.longest)));
            cuda::attend(s.in(q), s.in(std::span<const KeyList>(lists)), keys.longest, s.in(sink),
                         s.out(out), scratch, {});
        });
    }
    void route(MatrixView<const float> logits, std::span<const float> bias,
               MatrixView<const int32_t> fixed, const RouterConfig& config, MatrixView<int32_t> ids,
               MatrixView<float> weights) override {
        run([&](Stage& s) {
            ops_.route(s.in(logits), s.in(bias), s.in(fixed), config, s.out(ids), s.out(weights));
        });
    }
    void expert(const LinearInput& x, std::span<const int32_t> rows, const ExpertWeights& weights,
                std::span<const float> route_weights, float limit, MatrixView<Bf16> out) override {
        const ExpertCall call{weights, rows, route_weights, out};
        experts(x, {&call, 1}, limit);
    }
    void experts(const LinearInput& x, std::span<const ExpertCall> calls, float limit) override {
        std::vector<ExpertCall> computed;
        int64_t pairs = 0;
        for (const ExpertCall& call : calls) {
            if (cuda::computes(call.weights)) {
                computed.push_back(call);
                pairs += static_cast<int64_t>(call.rows.size());
            } else {
                ReferenceOps::expert(x, call.rows, call.weights, call.route_weights, limit,
                                     call.out);
            }
        }
        if (computed.empty()) return;
        const int64_t inner = computed[0].weights.w1.rows;
        run([&](Stage& s) {
            for (ExpertCall& call : computed) {
                for (LinearWeight* weight : {&call.weights.w1, &call.weights.w2, &call.weights.w3})
                    *weight = s.in(*weight);
                call.rows = s.in(call.rows);
                call.route_weights = s.in(call.route_weights);
                call.out = s.out(call.out);
            }
            const auto scratch = *cuda::DeviceMemory::allocate(
                static_cast<size_t>(cuda::expert_scratch_bytes(pairs, inner, 1)));
            LinearInput input;
            input.quantised = {in(s, x.quantised.codes), in(s, x.quantised.scales)};
            cuda::experts(input, computed, limit, scratch, {});
        });
    }

private:
    template <class Call>
    void run(const Call& call) {
        cuda_sim::set_options(options_);
        Stage stage;
        call(stage);
        expect_no_violations();
        stage.back();
    }
    // Each row by itself, and their addresses.
    static std::span<const KvRow* const> in(Stage& s, std::span<const KvRow* const> rows) {
        std::vector<const KvRow*> on_gpu;
        for (const KvRow* row : rows) on_gpu.push_back(s.in(std::span(row, 1)).data());
        return s.in(std::span<const KvRow* const>(on_gpu));
    }
    static MatrixView<uint8_t> in(Stage& s, MatrixView<uint8_t> m) {
        const auto staged = s.in(MatrixView<const uint8_t>(m));
        return {const_cast<uint8_t*>(staged.data), m.rows, m.cols, m.stride};
    }
    static HyperConnectionSite in(Stage& s, HyperConnectionSite site) {
        site.fn = s.in(site.fn);
        site.base = s.in(site.base);
        site.scale = s.in(site.scale);
        return site;
    }
    void need(int64_t rows, int64_t hidden) {
        ops_ = *cuda::CudaOps::create({.stream = {}, .rows_max = rows, .hidden_max = hidden});
    }

    const cuda_sim::Options options_;
    cuda::CudaOps ops_;
};

}  // namespace

std::unique_ptr<Ops> make_staged_cuda_ops(Pool& pool, const cuda_sim::Options& options) {
    return std::make_unique<StagedCudaOps>(pool, options);
}

}  // namespace millrace::test
