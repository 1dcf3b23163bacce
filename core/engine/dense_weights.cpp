#include "core/engine/dense_weights.h"

#include <algorithm>
#include <cstring>

namespace millrace {
namespace {

constexpr uint64_t kAlignment = 64;  // a cache line: no vector of a strip straddles two
constexpr size_t kCopyBytes = size_t{16} << 20;

void add(std::vector<LinearWeight*>& out, LinearWeight& weight) {
    if (weight.present()) out.push_back(&weight);
}

void add(std::vector<LinearWeight*>& out, CompressorWeights& weights) {
    add(out, weights.wkv);
    add(out, weights.wgate);
}

void add(std::vector<LinearWeight*>& out, BlockWeights& block, int o_groups) {
    AttentionWeights& attention = block.attention;
    for (LinearWeight* w : {&attention.wq_a, &attention.wq_b, &attention.wkv, &attention.wo_b})
        add(out, *w);
    // A group's rows must be whole strips: every product begins at the first row of its group.
    constexpr int64_t kStripRows = 16;
    if (attention.wo_a.rows / o_groups % kStripRows == 0) add(out, attention.wo_a);
    if (attention.compressor) add(out, *attention.compressor);
    if (attention.indexer) {
        add(out, attention.indexer->wq_b);
        add(out, attention.indexer->weights_proj);
        add(out, attention.indexer->compressor);
    }
    add(out, block.moe.gate);
    for (LinearWeight* w : {&block.moe.shared.w1, &block.moe.shared.w3, &block.moe.shared.w2})
        add(out, *w);
}

// Every weight that a row is multiplied with. The embedding is looked up, row by row: it stays where it is.
std::vector<LinearWeight*> multiplied_weights(ModelWeights& model, int o_groups) {
    std::vector<LinearWeight*> out;
    for (BlockWeights& block : model.layers) add(out, block, o_groups);
    for (MtpWeights& mtp : model.mtp) {
        add(out, mtp.block, o_groups);
        add(out, mtp.e_proj);
        add(out, mtp.h_proj);
    }
    if (model.dspark) {
        for (BlockWeights& block : model.dspark->stages) add(out, block, o_groups);
        add(out, model.dspark->main_proj);
        add(out, model.dspark->markov_w2);
        add(out, model.dspark->confidence);
    }
    add(out, model.head);
    return out;
}

// Calls visit(weight) and visit(span) for all dense tensors that ops read.
template <class Visit>
void visit(HyperConnectionWeights& site, const Visit& visit) {
    visit(site.fn);
    visit(site.base);
    visit(site.scale);
}

template <class Visit>
void visit(CompressorWeights& weights, const Visit& visit) {
    visit(weights.ape);
    visit(weights.wkv);
    visit(weights.wgate);
    visit(weights.norm);
}

template <class Visit>
void visit(HeadWeights& head, const Visit& visit) {
    millrace::visit(head.hc, visit);
    visit(head.norm);
}

template <class Visit>
void visit(BlockWeights& block, const Visit& visit) {
    visit(block.attn_norm);
    visit(block.ffn_norm);
    millrace::visit(block.hc_attn, visit);
    millrace::visit(block.hc_ffn, visit);
    AttentionWeights& attention = block.attention;
    visit(attention.sink);
    visit(attention.q_norm);
    visit(attention.kv_norm);
    for (LinearWeight* w :
         {&attention.wq_a, &attention.wq_b, &attention.wkv, &attention.wo_a, &attention.wo_b,
          &block.moe.gate, &block.moe.shared.w1, &block.moe.shared.w3, &block.moe.shared.w2}) {
        visit(*w);
    }
    if (attention.compressor) millrace::visit(*attention.compressor, visit);
    if (attention.indexer) {
        visit(attention.indexer->wq_b);
        visit(attention.indexer->weights_proj);
        millrace::visit(attention.indexer->compressor, visit);
    }
    visit(block.moe.bias);
}

template <class Visit>
void visit(ModelWeights& model, const DenseShare& share, const Visit& visit) {
    if (share.head) {
        visit(model.head);
        millrace::visit(model.final_head, visit);
    }
    const std::span<BlockWeights> behind =
        std::span(model.layers).subspan(static_cast<size_t>(share.first_layer));
    const size_t count = std::min(behind.size(), static_cast<size_t>(share.layers));
    for (BlockWeights& block : behind.first(count)) millrace::visit(block, visit);
    if (!share.head) return;
    for (MtpWeights& mtp : model.mtp) {
        millrace::visit(mtp.block, visit);
        for (LinearWeight* w : {&mtp.e_proj, &mtp.h_proj}) visit(*w);
        visit(mtp.enorm);
        visit(mtp.hnorm);
        millrace::visit(mtp.head, visit);
    }
    if (!model.dspark) return;
    for (BlockWeights& block : model.dspark->stages) millrace::visit(block, visit);
    for (LinearWeight* w :
         {&model.dspark->main_proj, &model.dspark->markov_w2, &model.dspark->confidence}) {
        visit(*w);
    }
    visit(model.dspark->main_norm);
    millrace::visit(model.dspark->head, visit);
}

// Calls each(pointer, bytes, whether they are a mapped file's) for what `visit` names; the pointer may be changed.
template <class Each>
class Tensors {
public:
    explicit Tensors(const Each& each) : each_(each) {}
    void operator()(LinearWeight& weight) const {
        if (!weight.present()) return;
        each_(weight.codes, static_cast<uint64_t>(weight_codes_bytes(weight)), true);
        const auto scales = static_cast<uint64_t>(weight_scales_bytes(weight));
        if (scales > 0) each_(weight.scales, scales, false);
    }
    template <class T>
    void operator()(std::span<const T>& values) const {
        if (values.empty()) return;
        const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
        each_(bytes, values.size_bytes(), false);
        values = {reinterpret_cast<const T*>(bytes), values.size()};
    }

private:
    const Each& each_;
};

template <class Each>
void for_tensors(ModelWeights& model, const DenseShare& share, const Each& each) {
    visit(model, share, Tensors<Each>(each));
}

constexpr uint64_t kPlaceAlignment = 256;  // of a GPU's own allocations

uint64_t codes_bytes(const LinearWeight& weight) {
    return static_cast<uint64_t>(weight.rows * weight_row_bytes(weight));
}

}  // namespace

Result<PageBuffer> arrange_dense_weights(Checkpoint& checkpoint, Ops& ops, uint64_t available_bytes,
                                         const OpenWatch& watch) {
    std::vector<LinearWeight*> weights;
    uint64_t bytes = 0;
    for (LinearWeight* weight :
         multiplied_weights(checkpoint.weights(), checkpoint.config().o_groups)) {
        // Only expert-like weights have scales that are arranged too, and none of the dense ones is FP4.
        if (!ops.arranges(*weight) || weight->format == WeightFormat::kFp4) continue;
        weights.push_back(weight);
        bytes += round_up(codes_bytes(*weight), kAlignment);
    }
    // Copies cannot be dropped and read again as mapped pages can: where they do not fit, the file's layout has to do.
    if (weights.empty() || (available_bytes != 0 && bytes > available_bytes)) return PageBuffer();
    PageBuffer memory = TRY(PageBuffer::create(bytes, HugePages::kIfGranted));
    uint64_t used = 0;
    for (LinearWeight* weight : weights) {
        std::byte* copy = memory.bytes().data() + used;
        const std::span<const std::byte> stored(weight->codes, codes_bytes(*weight));
        // The copy reads the drive: a head of a gigabyte is no step to wait for.
        for (size_t at = 0; at < stored.size(); at += kCopyBytes) {
            if (watch && !watch(used + at, bytes)) {
                return Error{ErrorCode::kCancelled,
                             "the model was not opened: nobody waits for it"};
            }
            std::memcpy(copy + at, stored.data() + at, std::min(kCopyBytes, stored.size() - at));
        }
        checkpoint.give_back(stored);
        weight->codes = copy;
        ops.arrange(*weight, copy, nullptr);
        used += round_up(stored.size(), kAlignment);
    }
    return memory;
}

Result<OpsMemory> place_dense_weights(Checkpoint& checkpoint, Ops& ops, const DenseShare& share,
                                      const OpenWatch& watch) {
    const uint64_t bytes = placed_dense_bytes(checkpoint, share);
    OpsMemory memory = TRY(ops.allocate(bytes, HugePages::kIfGranted));
    uint64_t used = 0;
    Status status;
    for_tensors(
        checkpoint.weights(), share, [&](const std::byte*& data, uint64_t size, bool mapped) {
            std::byte* copy = memory.bytes.data() + used;
            for (uint64_t at = 0; at < size && status.ok(); at += kCopyBytes) {
                if (watch && !watch(used + at, bytes)) {
                    status = Error{ErrorCode::kCancelled,
                                   "the model was not opened: nobody waits for it"};
                    return;
                }
                status = ops.write(copy + at, data + at, std::min<uint64_t>(kCopyBytes, size - at));
            }
            if (mapped) checkpoint.give_back({data, static_cast<size_t>(size)});
            data = copy;
            used += round_up(size, kPlaceAlignment);
        });
    TRY(std::move(status));
    return memory;
}

uint64_t placed_dense_bytes(Checkpoint& checkpoint, const DenseShare& share) {
    uint64_t bytes = 0;
    for_tensors(checkpoint.weights(), share, [&](const std::byte*&, uint64_t size, bool) {
        bytes += round_up(size, kPlaceAlignment);
    });
    return bytes;
}

}  // namespace millrace
