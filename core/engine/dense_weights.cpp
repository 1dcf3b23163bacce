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

}  // namespace millrace
