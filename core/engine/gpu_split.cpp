#include "core/engine/gpu_split.h"

#include <algorithm>

#include "core/base/check.h"

namespace millrace {
namespace {

// The best way to give the layers before some layer to the first of the GPUs.
struct Split {
    std::vector<double>
        rooms;          // of each GPU for each of its layers, least first; below 0: what it lacks
    int32_t first = 0;  // of the last GPU's layers
};

// What a GPU has for the experts of each layer, from `first` to before `end`.
double room_of(const GpuRoom& gpu, std::span<const uint64_t> layer_bytes, size_t first,
               size_t end) {
    double left = static_cast<double>(gpu.budget_bytes) - static_cast<double>(gpu.fixed_bytes);
    for (const uint64_t bytes : layer_bytes.subspan(first, end - first))
        left -= static_cast<double>(bytes);
    return left / (static_cast<double>(end - first) + gpu.more_layers);
}

}  // namespace

std::vector<int32_t> split_layers(std::span<const uint64_t> layer_bytes,
                                  std::span<const GpuRoom> gpus) {
    const size_t layers = layer_bytes.size();
    ENSURE(!gpus.empty() && gpus.size() <= layers);
    // best[g][end]: the first g GPUs have the layers before `end`.
    std::vector<std::vector<Split>> best(gpus.size() + 1, std::vector<Split>(layers + 1));
    for (size_t g = 1; g <= gpus.size(); ++g) {
        for (size_t end = g; end <= layers; ++end) {
            for (size_t first = g - 1; first < end; ++first) {
                if (g == 1 && first > 0) break;
                std::vector<double> rooms = best[g - 1][first].rooms;
                const double room = room_of(gpus[g - 1], layer_bytes, first, end);
                rooms.insert(std::ranges::upper_bound(rooms, room), room);
                Split& of = best[g][end];
                if (of.rooms < rooms) of = {std::move(rooms), static_cast<int32_t>(first)};
            }
        }
    }
    std::vector<int32_t> out(gpus.size());
    auto end = static_cast<int32_t>(layers);
    for (size_t g = gpus.size(); g > 0; --g) {
        const int32_t first = best[g][static_cast<size_t>(end)].first;
        out[g - 1] = end - first;
        end = first;
    }
    return out;
}

}  // namespace millrace
