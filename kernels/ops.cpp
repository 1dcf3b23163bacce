// What ops do that compute in the host's memory: lists, copies. What has formulas is each implementation's own.

#include "kernels/ops.h"

#include <algorithm>
#include <cstring>

namespace millrace {

Result<OpsMemory> Ops::allocate(uint64_t bytes, HugePages huge) {
    PageBuffer buffer = TRY(PageBuffer::create(bytes, huge));
    const std::span<std::byte> all = buffer.bytes();
    return OpsMemory{all, std::make_shared<PageBuffer>(std::move(buffer))};
}

Status Ops::read(void* host, const void* from, size_t bytes) {
    std::memcpy(host, from, bytes);
    return {};
}

Status Ops::write(void* to, const void* host, size_t bytes) {
    std::memcpy(to, host, bytes);
    return {};
}

Status Ops::begin_read(std::span<const ReadPiece> pieces) {
    for (const ReadPiece& piece : pieces) TRY(read(piece.host, piece.from, piece.bytes));
    return {};
}

Status Ops::end_read() { return {}; }

Result<std::shared_ptr<void>> Ops::pin(std::span<std::byte>) { return std::shared_ptr<void>(); }

void Ops::copy(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }

void Ops::count(std::span<int32_t> out, int64_t first, int64_t step, int64_t divisor) {
    for (size_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<int32_t>((first + static_cast<int64_t>(i) * step) / divisor);
    }
}

void Ops::place_rows(MatrixView<const Bf16> rows, std::span<const int32_t> places,
                     MatrixView<Bf16> out) {
    ENSURE(rows.cols == out.cols && static_cast<int64_t>(places.size()) == rows.rows);
    for (int64_t r = 0; r < rows.rows; ++r) {
        const int64_t place = places[static_cast<size_t>(r)];
        if (place < 0 || place >= out.rows) continue;
        std::ranges::copy(rows.row(r), out.row(place).begin());
    }
}

KeyLists Ops::list_keys(const KeySources& sources, std::span<const KvRow*> rows,
                        std::span<KeyList> lists) {
    const auto n = static_cast<int64_t>(lists.size());
    const int64_t first = *sources.first;
    const int64_t reach = sources.window - (sources.whole_chunk ? 0 : 1);
    const int64_t oldest = std::max<int64_t>(0, first - reach);
    const int64_t end = first + n;
    ENSURE(end <= sources.limit);
    const auto places = static_cast<size_t>(end - oldest);
    for (int64_t p = oldest; p < end; ++p) {
        rows[static_cast<size_t>(p - oldest)] =
            p < first ? sources.ring + p % sources.capacity : sources.chunk + (p - first);
    }
    const std::span<const KvRow*> entries = rows.subspan(places);
    const int64_t all = sources.ratio == 0 || sources.picks.rows > 0 ? 0 : end / sources.ratio;
    for (int64_t e = 0; e < all; ++e) entries[static_cast<size_t>(e)] = sources.entries + e;
    KeyLists out{lists, 0};
    for (int64_t r = 0; r < n; ++r) {
        KeyList& list = lists[static_cast<size_t>(r)];
        const int64_t last = sources.whole_chunk ? end - 1 : first + r;
        const int64_t from =
            sources.whole_chunk ? oldest : std::max<int64_t>(0, last - sources.window + 1);
        list.window =
            rows.subspan(static_cast<size_t>(from - oldest), static_cast<size_t>(last - from + 1));
        if (sources.picks.rows > 0) {
            const auto picks = sources.picks.row(r);
            const std::span<const KvRow*> own =
                entries.subspan(static_cast<size_t>(r) * picks.size(), picks.size());
            size_t count = 0;
            for (; count < picks.size() && picks[count] >= 0; ++count) {
                own[count] = sources.entries + picks[count];
            }
            list.entries = own.first(count);
        } else {
            const int64_t seen = sources.ratio == 0 ? 0 : (last + 1) / sources.ratio;
            list.entries = entries.first(static_cast<size_t>(seen));
        }
        out.longest =
            std::max(out.longest, static_cast<int64_t>(list.window.size() + list.entries.size()));
    }
    return out;
}

void Ops::list_contributors(const PoolSources& from, std::span<const float*> rows,
                            std::span<PoolSource> sources, std::span<int32_t> positions) {
    const int64_t each = int64_t{from.overlap} * from.ratio;
    const int64_t first = *from.first;
    for (size_t e = 0; e < sources.size(); ++e) {
        const int64_t entry = first / from.ratio + static_cast<int64_t>(e);
        const int64_t end = (entry + 1) * from.ratio;
        positions[e] = static_cast<int32_t>(entry * from.ratio);
        const std::span<const float*> own =
            rows.subspan(e * static_cast<size_t>(each), static_cast<size_t>(each));
        for (int64_t i = 0; i < each; ++i) {
            const int64_t p = end - each + i;  // before the first token: nobody
            own[static_cast<size_t>(i)] = p < 0 ? nullptr
                                          : p >= first
                                              ? from.chunk + (p - first) * from.row_width
                                              : from.ring + p % from.capacity * from.row_width;
        }
        sources[e] = {own.data()};
    }
}

void Ops::store(MatrixView<const std::byte> records, const RecordRing& to, const int32_t* first,
                int divisor) {
    if (records.rows == 0) return;
    ENSURE(records.cols == to.bytes && records.stride == to.bytes);
    int64_t at = std::max<int64_t>(0, records.rows - to.capacity);
    int64_t place = (*first / divisor + at) % to.capacity;
    while (at < records.rows) {
        const int64_t straight = std::min(records.rows - at, to.capacity - place);
        std::memcpy(to.data + place * to.bytes, records.row(at).data(),
                    static_cast<size_t>(straight * to.bytes));
        at += straight;
        place = 0;
    }
}

}  // namespace millrace
