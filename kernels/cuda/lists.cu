// Lists of where rows lie, made where they are read (kernels/ops.h): positions, keys of attention, contributors of entries.
//
//   count              out[i] = ⌊(first + i·step) / divisor⌋
//   list_keys          pointers to window rows and entries, and each row's part of them; 8 bytes a key, 32 a row
//   list_contributors  pointers to overlap·ratio rows an entry
//   store              records to their places of a ring, 4 bytes a thread
//
// Bound: the start of a kernel; a decode step writes 640 pointers a layer. The one idea: every pointer follows from its
// place and from the position of the first row, which lies in memory: threads have nothing to tell each other, and a
// launch is the same from step to step.

#include <algorithm>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/loads.cuh"

namespace millrace::cuda {
namespace {

constexpr int kListThreads = 128;

LaunchConfig list_config(int64_t places) {
    return {{static_cast<uint32_t>((places + kListThreads - 1) / kListThreads)}, kListThreads};
}

__device__ inline int64_t own_place() {
    return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

struct CountTask {
    int32_t* out;
    int64_t size, first, step, divisor;
};

__global__ void count_kernel(CountTask t) {
    const int64_t i = own_place();
    if (i < t.size) t.out[i] = static_cast<int32_t>((t.first + i * t.step) / t.divisor);
}

struct KeysTask {
    KeySources from;
    const KvRow** rows;
    KeyList* lists;
    int64_t size;  // lists
};

// Window rows, then entries; the first threads have a list each besides.
__global__ void keys_kernel(KeysTask t) {
    const int64_t i = own_place();
    const KeySources& from = t.from;
    const int64_t first = *from.first;
    const int64_t end = first + t.size;
    const int64_t reach = from.whole_chunk ? from.window : from.window - 1;
    const int64_t oldest = first > reach ? first - reach : 0;
    const int64_t in_window = end - oldest;
    const int64_t picks = from.picks.rows > 0 ? from.picks.cols : 0;
    const KvRow** entries = t.rows + in_window;
    const int64_t place = i - in_window;
    if (place < 0) {
        const int64_t position = oldest + i;
        t.rows[i] = position < first ? from.ring + position % from.capacity
                                     : from.chunk + (position - first);
    } else if (picks > 0) {
        if (place < t.size * picks) {
            const int32_t pick = from.picks.data[place / picks * from.picks.stride + place % picks];
            if (pick >= 0) entries[place] = from.entries + pick;
        }
    } else if (from.ratio > 0 && place < end / from.ratio) {
        entries[place] = from.entries + place;
    }
    if (i >= t.size) return;
    const int64_t last = from.whole_chunk ? end - 1 : first + i;
    const int64_t begin =
        from.whole_chunk || last - from.window + 1 < oldest ? oldest : last - from.window + 1;
    int64_t seen = from.ratio == 0 ? 0 : (last + 1) / from.ratio;
    if (picks > 0) {
        // Absent picks come last, and only where there are fewer entries than picks.
        const int32_t* own = from.picks.data + i * from.picks.stride;
        seen = seen < picks ? seen : picks;
        while (seen > 0 && own[seen - 1] < 0) --seen;
    }
    t.lists[i].window = {t.rows + (begin - oldest), static_cast<size_t>(last - begin + 1)};
    t.lists[i].entries = {entries + i * picks, static_cast<size_t>(seen)};
}

struct ContributorsTask {
    PoolSources from;
    const float** rows;
    PoolSource* sources;
    int32_t* positions;
    int64_t size;
};

__global__ void contributors_kernel(ContributorsTask t) {
    const int64_t i = own_place();
    const PoolSources& from = t.from;
    const int64_t each = static_cast<int64_t>(from.overlap) * from.ratio;
    if (i >= t.size * each) return;
    const int64_t first = *from.first;
    const int64_t entry = first / from.ratio + i / each;
    const int64_t position = (entry + 1) * from.ratio - each + i % each;
    t.rows[i] = position < 0 ? nullptr
                : position >= first
                    ? from.chunk + (position - first) * from.row_width
                    : from.ring + position % from.capacity * from.row_width;
    if (i % each != 0) return;
    t.sources[i / each].rows = t.rows + i;
    t.positions[i / each] = static_cast<int32_t>(entry * from.ratio);
}

struct StoreTask {
    const std::byte* records;
    RecordRing to;
    const int32_t* first;
    int divisor;
    int64_t skipped;  // records that others would overwrite
};

__global__ void store_kernel(StoreTask t) {
    const int64_t record = t.skipped + blockIdx.x;
    const int64_t word = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
    if (4 * word >= t.to.bytes) return;
    const int64_t place = (*t.first / t.divisor + record) % t.to.capacity;
    store_vector(t.to.data + place * t.to.bytes + 4 * word,
                 load_vector<uint32_t>(t.records + record * t.to.bytes + 4 * word));
}

}  // namespace

void CudaOps::count(std::span<int32_t> out, int64_t first, int64_t step, int64_t divisor) {
    const CountTask task{out.data(), static_cast<int64_t>(out.size()), first, step, divisor};
    launch<count_kernel>(list_config(task.size), stream_, task);
}

KeyLists CudaOps::list_keys(const KeySources& sources, std::span<const KvRow*> rows,
                            std::span<KeyList> lists) {
    const auto n = static_cast<int64_t>(lists.size());
    const bool picked = sources.picks.rows > 0;
    const int64_t reach = sources.window - (sources.whole_chunk ? 0 : 1);
    const int64_t in_window = std::min(sources.limit - n, reach) + n;
    const int64_t seen_last = sources.ratio == 0 ? 0 : sources.limit / sources.ratio;
    const int64_t places = in_window + (picked ? n * sources.picks.cols : seen_last);
    ENSURE(n <= sources.limit && static_cast<int64_t>(rows.size()) >= places);
    launch<keys_kernel>(list_config(places), stream_,
                        KeysTask{sources, rows.data(), lists.data(), n});
    const int64_t windows =
        sources.whole_chunk ? in_window : std::min(sources.window, sources.limit);
    return {lists, windows + (picked ? std::min(sources.picks.cols, seen_last) : seen_last)};
}

void CudaOps::list_contributors(const PoolSources& from, std::span<const float*> rows,
                                std::span<PoolSource> sources, std::span<int32_t> positions) {
    const auto size = static_cast<int64_t>(sources.size());
    const ContributorsTask task{from, rows.data(), sources.data(), positions.data(), size};
    ENSURE(static_cast<int64_t>(rows.size()) >= size * from.overlap * from.ratio);
    ENSURE(positions.size() >= sources.size());
    launch<contributors_kernel>(list_config(size * from.overlap * from.ratio), stream_, task);
}

void CudaOps::store(MatrixView<const std::byte> records, const RecordRing& to, const int32_t* first,
                    int divisor) {
    const int64_t skipped = std::max<int64_t>(0, records.rows - to.capacity);
    if (records.rows == 0 || to.capacity == 0) return;
    ENSURE(records.cols == to.bytes && records.stride == to.bytes && to.bytes % 4 == 0);
    ENSURE(reinterpret_cast<uintptr_t>(records.data) % 4 == 0 &&
           reinterpret_cast<uintptr_t>(to.data) % 4 == 0);
    const LaunchConfig words = list_config(to.bytes / 4);
    launch<store_kernel>(
        {{static_cast<uint32_t>(records.rows - skipped), words.blocks.x}, kListThreads}, stream_,
        StoreTask{records.data, to, first, divisor, skipped});
}

}  // namespace millrace::cuda
