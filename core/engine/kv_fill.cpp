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

void fill_window(LayerKv& layer, int64_t window, int64_t length, Random& random) {
    for (int64_t p = std::max<int64_t>(0, length - window); p < length; ++p) {
        *layer.window.at(p) = made_up_row(random);
    }
}

// The raw rows that the next entry may still ask for.
void fill_compressor(CompressorState& state, int64_t length, Random& random) {
    const int64_t kept = int64_t{compress_overlap(state.ratio)} * state.ratio;
    for (int64_t p = std::max<int64_t>(0, length - kept); p < length; ++p) {
        std::generate_n(state.rows.at(p), state.row_width(),
                        [&] { return static_cast<float>(random.unit() - 0.5); });
    }
}

// Long conversations have hundreds of thousands of entries: a few are made up and repeated in a random order.
template <class Row, class Make>
void fill_entries(Row* entries, int64_t count, Random& random, const Make& make) {
    std::array<Row, 64> pool;
    for (Row& row : pool) row = make(random);
    for (int64_t i = 0; i < count; ++i) entries[i] = pool[random.below(pool.size())];
}

}  // namespace

void fill_session(Session& session, const ModelConfig& config, int64_t length, uint64_t seed) {
    ENSURE(session.length() == 0 && length >= 0 && length <= session.context_max());
    Random random(seed);
    KvCache& kv = session.kv();
    for (int32_t l = 0; l < config.layer_count(); ++l) {
        LayerKv& layer = kv.layer(LayerId{l});
        ENSURE(layer.kind == config.layers[static_cast<size_t>(l)]);
        fill_window(layer, config.window, length, random);
        if (layer.kind == LayerKind::kWindow) continue;
        fill_compressor(layer.compressor, length, random);
        fill_entries(layer.entry(0), entries_after(length, layer.compressor.ratio), random,
                     made_up_row);
        if (layer.kind != LayerKind::kSparse) continue;
        fill_compressor(layer.index_compressor, length, random);
        fill_entries(layer.index_entry(0), entries_after(length, layer.index_compressor.ratio),
                     random, made_up_index_row);
    }
    std::vector<TokenId> tokens(static_cast<size_t>(length));
    for (TokenId& token : tokens) {
        token.value = static_cast<int32_t>(random.below(static_cast<uint64_t>(config.vocabulary)));
    }
    session.append(tokens);
}

}  // namespace millrace
