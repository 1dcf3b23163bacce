// Lists of where rows lie, made where they are read (kernels/ops.h): positions, keys of attention, contributors of entries.
//
//   count              out[i] = ⌊(first + i·step) / divisor⌋
//   list_keys          pointers to window rows and entries, and each row's part of them; 8 bytes a key, 32 a row
//   list_contributors  pointers to overlap·ratio rows an entry
//
// Bound: the start of a kernel; a decode step writes 640 pointers a layer. The one idea: every pointer follows from its
// place alone, so that threads have nothing to tell each other.

#include <algorithm>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/launch.cuh"

namespace millrace::cuda {
namespace {

constexpr int kListThreads = 128;

LaunchConfig list_config(int64_t places, int64_t rows = 1) {
    return {{static_cast<uint32_t>((places + kListThreads - 1) / kListThreads),
             static_cast<uint32_t>(rows)},
            kListThreads};
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
    KeySources sources;
    const KvRow** rows;
    KeyList* lists;
    int64_t size;    // lists
    int64_t oldest;  // position of the first window row
    int64_t all;     // entries that all rows share
};

// Window rows, then the entries that all rows share.
__global__ void key_rows_kernel(KeysTask t) {
    const int64_t i = own_place();
    const int64_t in_window = t.sources.first + t.size - t.oldest;
    if (i >= in_window + t.all) return;
    if (i >= in_window) {
        t.rows[i] = t.sources.entries + (i - in_window);
        return;
    }
    const int64_t position = t.oldest + i;
    t.rows[i] = position < t.sources.first
                    ? t.sources.ring + position % t.sources.capacity
                    : t.sources.chunk + (position - t.sources.first);
}

// A row's picks, and its list.
__global__ void key_lists_kernel(KeysTask t) {
    const int64_t r = blockIdx.y;
    const int64_t i = own_place();
    const KeySources& from = t.sources;
    const int64_t end = from.first + t.size;
    const KvRow** entries = t.rows + (end - t.oldest);
    const int64_t picks = from.picks.rows > 0 ? from.picks.cols : 0;
    const int32_t* own = from.picks.data + r * from.picks.stride;
    if (i < picks && own[i] >= 0) entries[r * picks + i] = from.entries + own[i];
    if (i != 0) return;
    const int64_t last = from.whole_chunk ? end - 1 : from.first + r;
    const int64_t begin = from.whole_chunk || last - from.window + 1 < t.oldest
                              ? t.oldest
                              : last - from.window + 1;
    int64_t seen = from.ratio == 0 ? 0 : (last + 1) / from.ratio;
    if (picks > 0) {
        // Absent picks come last, and only where there are fewer entries than picks.
        seen = seen < picks ? seen : picks;
        while (seen > 0 && own[seen - 1] < 0) --seen;
    }
    t.lists[r].window = {t.rows + (begin - t.oldest), static_cast<size_t>(last - begin + 1)};
    t.lists[r].entries = {entries + r * picks, static_cast<size_t>(seen)};
}

struct ContributorsTask {
    PoolSources from;
    const float** rows;
    PoolSource* sources;
    int64_t size;
};

__global__ void contributors_kernel(ContributorsTask t) {
    const int64_t i = own_place();
    const PoolSources& from = t.from;
    const int64_t each = static_cast<int64_t>(from.overlap) * from.ratio;
    if (i >= t.size * each) return;
    const int64_t entry = i / each;
    const int64_t position = (from.first_entry + entry + 1) * from.ratio - each + i % each;
    t.rows[i] = position < 0 ? nullptr
                : position >= from.first
                    ? from.chunk + (position - from.first) * from.row_width
                    : from.ring + position % from.capacity * from.row_width;
    if (i % each == 0) t.sources[entry].rows = t.rows + i;
}

}  // namespace

void CudaOps::count(std::span<int32_t> out, int64_t first, int64_t step, int64_t divisor) {
    const CountTask task{out.data(), static_cast<int64_t>(out.size()), first, step, divisor};
    launch<count_kernel>(list_config(task.size), stream_, task);
}

KeyLists CudaOps::list_keys(const KeySources& sources, std::span<const KvRow*> rows,
                            std::span<KeyList> lists) {
    const auto n = static_cast<int64_t>(lists.size());
    const int64_t end = sources.first + n;
    const bool picked = sources.picks.rows > 0;
    const int64_t reach = sources.window - (sources.whole_chunk ? 0 : 1);
    const int64_t oldest = std::max<int64_t>(0, sources.first - reach);
    const int64_t seen_last = sources.ratio == 0 ? 0 : end / sources.ratio;
    const KeysTask task{sources, rows.data(), lists.data(), n, oldest, picked ? 0 : seen_last};
    ENSURE(static_cast<int64_t>(rows.size()) >=
           end - oldest + (picked ? n * sources.picks.cols : task.all));
    launch<key_rows_kernel>(list_config(end - oldest + task.all), stream_, task);
    launch<key_lists_kernel>(
        list_config(picked ? std::max<int64_t>(1, sources.picks.cols) : 1, n), stream_, task);
    const int64_t windows = sources.whole_chunk ? end - oldest : std::min(sources.window, end);
    const int64_t entries = picked ? std::min(sources.picks.cols, seen_last) : seen_last;
    return {lists, windows + entries};
}

void CudaOps::list_contributors(const PoolSources& from, std::span<const float*> rows,
                                std::span<PoolSource> sources) {
    const auto size = static_cast<int64_t>(sources.size());
    const ContributorsTask task{from, rows.data(), sources.data(), size};
    ENSURE(static_cast<int64_t>(rows.size()) >= size * from.overlap * from.ratio);
    launch<contributors_kernel>(list_config(size * from.overlap * from.ratio), stream_, task);
}

}  // namespace millrace::cuda
