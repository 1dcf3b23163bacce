#pragma once
// Which layers of a model lie on which of several GPUs. Each has consecutive layers, in the order in which the GPUs are
// named: their dense weights, KV state and activations, and in what is left of its memory slots for their experts. A token
// goes through the GPUs one after another, so how fast each of them is does not matter here; what matters is how many of
// its experts a layer finds on its GPU. So the layers are split where the GPU with least room for each of its layers'
// experts has as much of it as can be, then the next one, and so on. Pure arithmetic.

#include <cstdint>
#include <span>
#include <vector>

namespace millrace {

// A GPU, and what must lie there whichever layers it gets.
struct GpuRoom {
    uint64_t budget_bytes = 0;
    uint64_t fixed_bytes = 0;
    int32_t more_layers =
        0;  // whose experts want room here, besides those it gets: the draft blocks of the last
};

// How many consecutive layers each GPU gets, none of them 0. `layer_bytes`: what must lie where a layer does. Where not
// everything fits, the GPU that lacks most for each of its layers lacks as little as can be (check_gpu tells people). There
// are at least as many layers as GPUs.
[[nodiscard]] std::vector<int32_t> split_layers(std::span<const uint64_t> layer_bytes,
                                                std::span<const GpuRoom> gpus);

}  // namespace millrace
