#include "tests/cuda/low_bit_kernels.h"

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/low_bit.cuh"

namespace millrace::cuda_sim {
namespace {

template <WeightFormat kFormat>
__global__ void decode_kernel(LowBitTask t) {
    const auto block = static_cast<int32_t>(blockIdx.x * blockDim.x + threadIdx.x);
    if (block >= t.blocks) return;
    uint32_t words[cuda::kBlockWords<kFormat>];
    for (int i = 0; i < cuda::kBlockWords<kFormat>; ++i)
        words[i] = cuda::load_vector<uint32_t>(t.codes + block * block_bytes(kFormat) + 4 * i);
    uint32_t book[cuda::kBookWords<kFormat>];
    cuda::load_book<kFormat>(t.steps[block] >> 4, book);
    const uint32_t step = cuda::step_halves(t.steps[block]);
    for (int part = 0; part < 4; ++part) {
        const cuda::EightLevels levels = cuda::levels_of<kFormat>(words, part, book);
        float floats[8];
        cuda::levels_to_floats(levels, floats);
        for (int i = 0; i < 8; ++i) t.levels[block * 32 + part * 8 + i] = floats[i];
        uint32_t halves[4];
        cuda::levels_to_halves(levels, step, halves);
        for (int i = 0; i < 4; ++i) t.pairs[block * 16 + part * 4 + i] = halves[i];
    }
}

}  // namespace

void decode_low_bit(WeightFormat format, const LowBitTask& task) {
    const cuda::LaunchConfig config{{static_cast<uint32_t>(task.blocks + 31) / 32, 1, 1}, 32, 0};
    switch (format) {
        case WeightFormat::kQ3s:
            return cuda::launch<decode_kernel<WeightFormat::kQ3s>>(config, {}, task);
        case WeightFormat::kQ2s:
            return cuda::launch<decode_kernel<WeightFormat::kQ2s>>(config, {}, task);
        default: return cuda::launch<decode_kernel<WeightFormat::kQ2v>>(config, {}, task);
    }
}

}  // namespace millrace::cuda_sim
