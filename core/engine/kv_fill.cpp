#include "core/engine/kv_fill.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/base/random.h"
#include "core/engine/compressor.h"
#include "core/engine/kv_cache.h"

namespace millrace {
namespace {

// e4m3 codes between 2⁻³ and 2 in size: never NaN.
uint8_t moderate_code(uint64_t u) { return static_cast<uint8_t>((u & 0x9F) | 0x20); }
// 1 or 2.
uint8_t moderate_scale(uint64_t u) { return static_cast<uint8_t>(127 + (u & 1)); }

KvRow made_up_row(Random& random) {
    KvRow row{};
    for (uint8_t& code : row.codes) code = moderate_code(random.next());
    for (uint8_t& scale : row.scales) scale = moderate_scale(random.next());
    for (Bf16& x : row.rope) x = to_bf16(static_cast<float>(random.unit() - 0.5));
    return row;
}

IndexRow made_up_index_row(Random& random) {
    IndexRow row{};
    for (uint8_t& code : row.codes) code = static_cast<uint8_t>(random.next());
    for (uint8_t& scale : row.scales) scale = moderate_scale(random.next());
    return row;
}

Status fill_window(Ops& ops, LayerKv& layer, int64_t window, int64_t length, Random& random) {
    for (int64_t p = std::max<int64_t>(0, length - window); p < length; ++p) {
        const KvRow row = made_up_row(random);
        TRY(ops.write(layer.window.at(p), &row, sizeof(row)));
    }
    return {};
}

// The raw rows that the next entry may still ask for.
Status fill_compressor(Ops& ops, CompressorState& state, int64_t length, Random& random) {
    const int64_t kept = int64_t{compress_overlap(state.ratio)} * state.ratio;
    std::vector<float> row(static_cast<size_t>(state.row_width()));
    for (int64_t p = std::max<int64_t>(0, length - kept); p < length; ++p) {
        for (float& x : row) x = static_cast<float>(random.unit() - 0.5);
        TRY(ops.write(state.rows.at(p), row.data(), row.size() * sizeof(float)));
    }
    return {};
}

// Long conversations have hundreds of thousands of entries: a few are made up and repeated in a random order.
template <class Row, class Make>
Status fill_entries(Ops& ops, Row* entries, int64_t count, Random& random, const Make& make) {
    std::array<Row, 64> pool;
    for (Row& row : pool) row = make(random);
    std::array<Row, 1024> piece;
    for (int64_t first = 0; first < count; first += std::ssize(piece)) {
        const auto rows = static_cast<size_t>(std::min<int64_t>(std::ssize(piece), count - first));
        for (Row& row : std::span(piece).first(rows)) row = pool[random.below(pool.size())];
        TRY(ops.write(entries + first, piece.data(), rows * sizeof(Row)));
    }
    return {};
}

}  // namespace

Status fill_session(Session& session, const ModelConfig& config, int64_t length, uint64_t seed) {
    ENSURE(session.length() == 0 && length >= 0 && length <= session.context_max());
    Random random(seed);
    KvCache& kv = session.kv();
    for (int32_t l = 0; l < config.layer_count(); ++l) {
        LayerKv& layer = kv.layer(LayerId{l});
        Ops& ops = kv.ops(LayerId{l});
        ENSURE(layer.kind == config.layers[static_cast<size_t>(l)]);
        TRY(fill_window(ops, layer, config.window, length, random));
        if (layer.kind == LayerKind::kWindow) continue;
        TRY(fill_compressor(ops, layer.compressor, length, random));
        TRY(fill_entries(ops, layer.entry(0), entries_after(length, layer.compressor.ratio), random,
                         made_up_row));
        if (layer.kind != LayerKind::kSparse) continue;
        TRY(fill_compressor(ops, layer.index_compressor, length, random));
        TRY(fill_entries(ops, layer.index_entry(0),
                         entries_after(length, layer.index_compressor.ratio), random,
                         made_up_index_row));
    }
    std::vector<TokenId> tokens(static_cast<size_t>(length));
    for (TokenId& token : tokens) {
        token.value = static_cast<int32_t>(random.below(static_cast<uint64_t>(config.vocabulary)));
    }
    session.append(tokens);
    return {};
}

}  // namespace millrace
