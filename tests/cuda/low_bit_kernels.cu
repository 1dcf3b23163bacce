#include "tests/cuda/low_bit_kernels.h"

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/low_bit.cuh"

namespace millrace::cuda_sim {
namespace {

template <WeightFormat kFormat>
__global__ void decode_kernel(LowBitTask t) {
    const auto block = static_cast<int32_t>(blockIdx.x * blockDim.x + threadIdx.x);
    if (block >= t.blocks) return;
    const uint8_t* codes = t.codes + block * block_bytes(kFormat);
    uint32_t book[cuda::kBookWords<kFormat>];
    cuda::load_book<kFormat>(cuda::book_of(t.marks[block]), book);
    t.steps[block] = cuda::step_of(t.marks[block]);
    for (int part = 0; part < 4; ++part) {
        const cuda::EightLevels levels = cuda::levels_of<kFormat>(
            cuda::load_codes_of<kFormat>(part, [&](int byte) { return codes + byte; }), book);
        cuda::levels_to_floats(levels, t.levels + block * 32 + part * 8);
        uint32_t pairs[4];
        cuda::levels_to_halves(levels, pairs);
        for (int i = 0; i < 4; ++i) t.halves[block * 16 + part * 4 + i] = pairs[i];
        cuda::levels_to_bf16(levels, pairs);
        for (int i = 0; i < 4; ++i) t.bf16s[block * 16 + part * 4 + i] = pairs[i];
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
