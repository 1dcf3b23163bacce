#pragma once
// The mathematics of DeepSeek-V4 on views: the list of what the model needs, formula by formula (spec §4), with the
// rounding points of spec §5. No files, no policy, no state besides scratch.
//
// Every op works on rows: n independent tokens. A row's result never depends on how many rows stand beside it, on the
// number of threads, or on where the weights lie. Shapes: d hidden, nh query heads, hd = 512, E experts, k experts a
// token, c = width of compressor entries. Outputs do not overlap inputs unless said. One thread at a time may call; ops
// use the Pool they were made with. Shapes that do not fit are bugs (ENSURE): whoever opens a checkpoint has checked them.
//
// Everything that an op reads or writes lies in the ops' memory (allocate), what lists point to and the lists too. Ops of
// the CPU compute in the host's, whoever it belongs to; those of a GPU in the GPU's, which the host reaches through read,
// write and copy alone. All calls take effect in the order they are made.

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "core/base/memory.h"
#include "core/base/pool.h"
#include "core/base/result.h"
#include "core/base/tensor.h"
#include "core/base/types.h"
#include "kernels/choice.h"
#include "kernels/cpu/isa.h"
#include "kernels/kv_rows.h"
#include "kernels/rope_table.h"
#include "quant/linear_weight.h"

namespace millrace {

inline constexpr int kStreams = 4;  // hyper-connection streams
inline constexpr int kMixes = 24;   // pre 4, post 4, comb 16

struct HyperConnectionSite {
    std::span<const float> fn;     // [24, 4d]; of a head [4, 4d]
    std::span<const float> base;   // [24]; of a head [4]
    std::span<const float> scale;  // [3]; of a head [1]
    float norm_eps = 1e-6F;
    float eps = 1e-6F;
    int rounds = 20;  // Sinkhorn rounds, the first being the softmax
};

// Rows quantised by aq128 (spec §2.2): value = e4m3(code) · 2^(scale − 127), one scale per 128 columns.
struct Fp8Rows {
    MatrixView<uint8_t> codes;   // [n, K]
    MatrixView<uint8_t> scales;  // [n, ⌈K/128⌉]
};

// What a linear layer reads, always both: FP8 and FP4 weights take the quantised rows, BF16 and F32 weights the rows
// themselves, and another arithmetic for activations (Activations) quantises the rows its own way.
struct LinearInput {
    MatrixView<const Bf16> rows;
    Fp8Rows quantised;
};

enum class Rotation { kForward, kInverse };

// The contributors of one compressed entry, oldest first: coff·ratio rows of [u (coff·c) | s (coff·c)] fp32, where
// s = gate + ape; null = not there (weight 0). Ratio 4: the first four give channels [0, c), the last four [c, 2c).
struct PoolSource {
    const float* const* rows = nullptr;
};

// The keys of one query: `window` oldest to newest, then `entries`.
struct KeyList {
    std::span<const KvRow* const> window;
    std::span<const KvRow* const> entries;
};
// Those of several queries. No list has more than `longest` keys.
struct KeyLists {
    KeyLists() = default;
    KeyLists(std::span<const KeyList> all, int64_t keys) : lists(all), longest(keys) {}
    // Lists that the host may read.
    template <class Lists>
    requires std::convertible_to<const Lists&, std::span<const KeyList>> KeyLists(
        const Lists& on_host)
        : lists(on_host) {
        for (const KeyList& list : lists) {
            const size_t keys = list.window.size() + list.entries.size();
            longest = std::max(longest, static_cast<int64_t>(keys));
        }
    }

    std::span<const KeyList> lists;
    int64_t longest = 0;
};

// Where the keys of a chunk's rows lie: row r is the token at position *first + r.
struct KeySources {
    const KvRow* ring = nullptr;  // position p, of those before the first row's, at p mod capacity
    int64_t capacity = 0;
    const KvRow* chunk = nullptr;    // the rows' own, one after another
    const int32_t* first = nullptr;  // in the ops' memory, like all that is pointed to
    // The rows lie before this position. How much is launched follows from it, so that it may stay the same from step to
    // step; which keys there are follows from *first alone.
    int64_t limit = 0;
    int64_t window = 0;  // a row sees so many positions, its own the last
    // Instead: so many positions before the first row's, and all of the chunk, also what comes after the row.
    bool whole_chunk = false;
    const KvRow* entries = nullptr;
    // Of the entries a row sees those that are picked for it, up to the first −1; without picks all that are complete at
    // its position, one every `ratio` tokens; with ratio 0 none.
    MatrixView<const int32_t> picks;
    int ratio = 0;
};

// Where the contributors of compressed entries lie. Entry ⌊position / ratio⌋ is made of the overlap·ratio tokens that end
// with the last of its own, as far as there are positions; entry 0 of a list is that of position *first.
struct PoolSources {
    const float* ring = nullptr;  // position p, of those before *first, at p mod capacity
    int64_t capacity = 0;
    const float* chunk = nullptr;    // position p at p − *first
    const int32_t* first = nullptr;  // in the ops' memory
    int64_t row_width = 0;           // floats of a row, in both
    int ratio = 0, overlap = 1;
};

// Records at places that go round: place p at data + (p mod capacity)·bytes. In the ops' memory.
struct RecordRing {
    std::byte* data = nullptr;
    int64_t capacity = 0;
    int64_t bytes = 0;  // of a record: a multiple of 4
};

// A piece of the ops' memory; whoever drops it last gives it back. Empty where nothing was asked for.
struct OpsMemory {
    std::span<std::byte> bytes;
    std::shared_ptr<void> owner;
    template <class T>
    [[nodiscard]] T* as() const {
        return reinterpret_cast<T*>(bytes.data());
    }
};

// One expert on some rows: `rows[i]` of x gives row i of out; route_weights empty for the shared expert.
struct ExpertCall {
    ExpertWeights weights;
    std::span<const int32_t> rows;
    std::span<const float> route_weights;
    MatrixView<Bf16> out;  // [rows.size(), d]
};

struct RouterConfig {
    int experts_per_token = 0;
    float route_scale = 1;
};

// A series of calls of ops, to be made again and again. The ops must outlive it.
class Recording {
public:
    virtual ~Recording() = default;
};

// Bytes of the ops' memory and where they go in the host's.
struct ReadPiece {
    void* host = nullptr;
    const void* from = nullptr;
    size_t bytes = 0;
};

class Ops {
public:
    virtual ~Ops() = default;
    [[nodiscard]] virtual std::string_view name() const = 0;

    // Whether that memory is the host's: then it may be read and written without these calls.
    [[nodiscard]] virtual bool on_host() const { return true; }
    // The host's is zero at first; a GPU's holds anything. kCapacity when there is no such amount.
    [[nodiscard]] virtual Result<OpsMemory> allocate(uint64_t bytes, HugePages huge);
    // From the ops' memory to the host's, when all before is done: the one call that waits, and that tells of what went
    // wrong with earlier ones (kDeviceLost; then nothing in that memory can be trusted any more).
    [[nodiscard]] virtual Status read(void* host, const void* from, size_t bytes);
    // From the host's to the ops' memory. The host's may change as soon as the call returns; where it is pinned, as soon as
    // a read that began later has ended.
    [[nodiscard]] virtual Status write(void* to, const void* host, size_t bytes);
    // As read, of several pieces with one wait, which is end_read's: what is told between the two is not waited for. One at
    // a time. It need not wait for the processor's copies where the host's memory is pinned.
    [[nodiscard]] virtual Status begin_read(std::span<const ReadPiece> pieces);
    [[nodiscard]] virtual Status end_read();
    // The host's memory is copied to and from the ops' without the processor, for as long as what is returned lives.
    // kCapacity when the system does not allow so much. Where memory is one there is nothing to do.
    [[nodiscard]] virtual Result<std::shared_ptr<void>> pin(std::span<std::byte> memory);
    // Within the ops' memory; the two do not overlap.
    virtual void copy(void* to, const void* from, size_t bytes);

    // Where starting an op costs more than many ops take, a series of calls can be recorded once and replayed as one: with
    // the pointers, shapes and numbers that they had, on what lies in the memory by then. From begin_recording, if that
    // says yes, to end_recording nothing is computed, and read, write, end_read and allocate are not called. begin_read may
    // be, to pinned memory: begin_read({}) follows each replay. Null: what was to be recorded has not been; ask again.
    [[nodiscard]] virtual bool begin_recording() { return false; }
    [[nodiscard]] virtual std::unique_ptr<Recording> end_recording() { return nullptr; }
    virtual void replay(const Recording& /*recording*/) {}

    // out[i] = ⌊(first + i·step) / divisor⌋; first and step ≥ 0.
    virtual void count(std::span<int32_t> out, int64_t first, int64_t step, int64_t divisor);
    // The keys of rows 0 … lists.size() − 1. `rows` has room for min(limit, window) + n pointers of the windows and for
    // those of the entries behind them: n·picks.cols, or all that a last row before the limit sees once.
    virtual KeyLists list_keys(const KeySources& sources, std::span<const KvRow*> rows,
                               std::span<KeyList> lists);
    // The contributors of entries 0 … sources.size() − 1: overlap·ratio pointers each into `rows`; and the positions of the
    // entries' first tokens.
    virtual void list_contributors(const PoolSources& from, std::span<const float*> rows,
                                   std::span<PoolSource> sources, std::span<int32_t> positions);
    // Records [n, to.bytes] to places ⌊*first / divisor⌋, … and so on; of more than the ring holds, the last.
    virtual void store(MatrixView<const std::byte> records, const RecordRing& to,
                       const int32_t* first, int divisor);

    // Whether these ops are faster when a weight of this kind lies in strips (WeightLayout::kStrips), and the bytes to be
    // moved in place, which changes no result: codes and scales must be writable, `weight` says kRows before and is set
    // to kStrips. Whole strips of 16 rows are turned, 4 bytes of each row side by side; what is left over stays rows. Only
    // scales that lie row by row too are turned, those of FP4 and of low-bit formats; others may be given as null.
    [[nodiscard]] virtual bool arranges(const LinearWeight&) const { return false; }
    virtual void arrange(LinearWeight&, std::byte* /*codes*/, std::byte* /*scales*/) {}

    // streams[r][j] = table[tokens[r]] for j = 0…3 (spec §4.1). table [V, d] BF16; streams [n, 4d].
    virtual void embed(const LinearWeight& table, std::span<const TokenId> tokens,
                       MatrixView<Bf16> streams) = 0;

    // y = Σ_j pre_j·X_j → bf16, and the mixes to expand with: post [n,4], comb [n,16] (source stream first). Spec §4.2.
    virtual void hc_reduce(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                           MatrixView<Bf16> y, MatrixView<float> post, MatrixView<float> comb) = 0;
    // X'_k = post_k·y + Σ_j comb_jk·X_j → bf16, in place.
    virtual void hc_expand(MatrixView<const Bf16> y, MatrixView<const float> post,
                           MatrixView<const float> comb, MatrixView<Bf16> streams) = 0;
    // z = Σ_j (σ(m_j·scale + base_j) + eps)·X_j → bf16. Spec §4.10.
    virtual void hc_head(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                         MatrixView<Bf16> z) = 0;

    // Spec §2.6. x and out [n, w.size()]; they may be the same.
    virtual void rms_norm(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                          MatrixView<Bf16> out) = 0;
    // The same, and aq128 of what it gives: `out` and `quantised` [n, w.size()].
    virtual void norm_quantise(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                               MatrixView<Bf16> out, Fp8Rows quantised) {
        rms_norm(x, weight, eps, out);
        quantise(out, quantised);
    }
    // RMS norm of each 512-vector without weight, rounded to bf16 at every step (spec §4.3), in place. q [n, nh·512].
    virtual void head_norm(MatrixView<Bf16> q, float eps) = 0;
    // Rotates the last 64 of every `width` columns at positions[r] (spec §4.4), in place. x [n, m·width].
    virtual void rope(MatrixView<Bf16> x, int64_t width, std::span<const int32_t> positions,
                      const RopeTable& table, Rotation rotation) = 0;

    // aq128. x [n, K].
    virtual void quantise(MatrixView<const Bf16> x, Fp8Rows out) = 0;
    // y = x·Wᵀ → bf16 (spec §2.5). y [n, W.rows].
    virtual void linear(const LinearInput& x, const LinearWeight& weight, MatrixView<Bf16> y) = 0;
    // y = x·Wᵀ → bf16 without activation quantisation; x in `groups` parts, group g uses rows [g, g+1)·rows/groups of W.
    // wo_a (spec §4.8): x [n, groups·W.cols], y [n, W.rows]; weights_proj: groups = 1.
    virtual void linear_bf16(MatrixView<const Bf16> x, const LinearWeight& weight, int groups,
                             MatrixView<Bf16> y) = 0;
    // y = x·Wᵀ in fp32: router, compressor, head, Markov and confidence heads.
    virtual void linear_f32(MatrixView<const Bf16> x, const LinearWeight& weight,
                            MatrixView<float> y) = 0;

    // fq64 on the first 448 columns, stored compactly (spec §2.3). kv [n, 512].
    virtual void pack_kv(MatrixView<const Bf16> kv, std::span<KvRow> rows) = 0;
    // Hadamard → bf16, then fq4, stored compactly (spec §2.4, §4.5). x [n, m·128], rows n·m.
    virtual void pack_index(MatrixView<const Bf16> x, std::span<IndexRow> rows) = 0;

    // u and s of new tokens: [n, 2·coff·c] = [wkv·x | wgate·x + ape[position mod ratio]] (spec §4.5). ape [ratio, coff·c].
    virtual void compressor_rows(MatrixView<const Bf16> x, const LinearWeight& wkv,
                                 const LinearWeight& wgate, std::span<const float> ape, int ratio,
                                 std::span<const int32_t> positions, MatrixView<float> rows) = 0;
    // Per-channel softmax over each entry's contributors, weighted sum → bf16. entries [m, c].
    virtual void compressor_pool(std::span<const PoolSource> sources, int ratio,
                                 MatrixView<Bf16> entries) = 0;

    // weights *= head_dim^−½·heads^−½ → bf16 (spec §4.6), in place. weights [n, heads].
    virtual void index_weights(MatrixView<Bf16> weights) = 0;
    // The best min(k, visible[r]) entries of each row, best first, lower entry first on a tie; the rest −1.
    // q [n·heads], weights [n, heads], entries: packed keys by index, picks [n, k].
    virtual void index_topk(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                            std::span<const IndexRow> entries, std::span<const int32_t> visible,
                            MatrixView<int32_t> picks) = 0;

    // Softmax attention with one sink logit a head, K = V (spec §4.7); q and out [n, nh·512].
    virtual void attend(MatrixView<const Bf16> q, const KeyLists& keys, std::span<const float> sink,
                        MatrixView<Bf16> out) = 0;

    // Scores sqrt(softplus(logits)); the k largest of score + bias (lower id first on a tie), or `fixed` ids [n, k] if
    // given; weights from the scores alone, normalised, times route_scale (spec §4.9). ids and weights [n, k], best
    // first (fixed: in their order).
    virtual void route(MatrixView<const float> logits, std::span<const float> bias,
                       MatrixView<const int32_t> fixed, const RouterConfig& config,
                       MatrixView<int32_t> ids, MatrixView<float> weights) = 0;
    // One expert on some rows: w2·aq128(weight·silu(min(g, limit))·clamp(u, ±limit)) (spec §4.9). `rows[i]` of x gives
    // row i of out; route_weights empty for the shared expert. out [rows.size(), d].
    virtual void expert(const LinearInput& x, std::span<const int32_t> rows,
                        const ExpertWeights& weights, std::span<const float> route_weights,
                        float limit, MatrixView<Bf16> out) = 0;
    // Several experts, each as above: what one row wants of a few of them is done best in one go.
    virtual void experts(const LinearInput& x, std::span<const ExpertCall> calls, float limit) {
        for (const ExpertCall& call : calls) {
            expert(x, call.rows, call.weights, call.route_weights, limit, call.out);
        }
    }
    // The middle of an expert: weight·silu(min(g, limit))·clamp(u, ±limit) → bf16. gate, up, out [n, inner]; out may be
    // gate.
    virtual void swiglu(MatrixView<const Bf16> gate, MatrixView<const Bf16> up,
                        std::span<const float> route_weights, float limit,
                        MatrixView<Bf16> out) = 0;
    // out = Σ over a row's experts in increasing id, then shared, fp32 → bf16. expert_out [n·k, d], ids [n, k].
    virtual void combine(MatrixView<const Bf16> expert_out, MatrixView<const int32_t> ids,
                         MatrixView<const Bf16> shared, MatrixView<Bf16> out) = 0;

    // out[places[i]] = rows[i]; other rows of out stay as they are. Places differ; those outside [0, out.rows) are left out.
    virtual void place_rows(MatrixView<const Bf16> rows, std::span<const int32_t> places,
                            MatrixView<Bf16> out);

    // out = a + b → bf16 for each of a row's `count` vectors: a [n, d], b and out [n, count·d] (spec §4.11).
    virtual void add(MatrixView<const Bf16> a, MatrixView<const Bf16> b, int count,
                     MatrixView<Bf16> out) = 0;
    // Mean of the four streams → bf16 (spec §4.12). streams [n, 4d], out [n, d].
    virtual void stream_mean(MatrixView<const Bf16> streams, MatrixView<Bf16> out) = 0;

    // The token that Sampler (core/engine/sampler.h) would choose from logits [vocabulary] in the ops' memory, with one
    // wait, as read has; or nothing, where that is not decided: a logit is NaN or +∞, all tokens are banned, or the request
    // is beyond what these ops do. Then the host looks at the logits. Fails as read does.
    [[nodiscard]] virtual Result<std::optional<TokenId>> choose(std::span<const float> /*logits*/,
                                                                const ChoiceRequest& /*request*/) {
        return std::optional<TokenId>();
    }
};

// The oracle: scalar loops next to the formulas, canonical arithmetic (sums in double, every rounding named).
[[nodiscard]] std::unique_ptr<Ops> make_reference_ops(Pool& pool);

// What FP8 and FP4 weights are multiplied with.
enum class Activations {
    kFp8,   // aq128, the official function
    kInt8,  // int8 with one scale per 32 columns: another function, nearer to exact arithmetic, about twice as fast
};

struct CpuOptions {
    Isa isa = best_isa();
    Activations activations = Activations::kFp8;
};

// Vector kernels (kernels/cpu/cpu_ops.h). The ISA must be available on this machine.
[[nodiscard]] std::unique_ptr<Ops> make_cpu_ops(Pool& pool, const CpuOptions& options);

}  // namespace millrace
