#include "tests/cuda/tensor_core_kernels.h"

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/tensor_core.cuh"
#include "kernels/cuda/device/warp.cuh"

namespace millrace::cuda_sim {
namespace {

enum class Numbers { kBf16, kF16, kE4m3 };

template <Numbers kNumbers>
__global__ void multiply_kernel(TensorTask t) {
    alignas(16) __shared__ uint8_t a[16][32];
    alignas(16) __shared__ uint8_t b[8][32];
    const int lane = cuda::lane_of_thread();
    cuda::copy_async(&a[lane / 2][lane % 2 * 16], t.a + lane * 16);
    if (lane < 16) cuda::copy_async(&b[lane / 2][lane % 2 * 16], t.b + lane * 16);
    cuda::commit_copies();
    if (t.wait) cuda::wait_for_copies<0>();
    __syncwarp();
    cuda::Left left;
    // Matrices: rows 0…7 and 8…15 of the first 16 bytes, then of the others.
    cuda::load_matrices(&a[lane % 16][lane / 16 * 16], left.at);
    uint32_t two_twice[4];
    cuda::load_matrices(&b[lane % 8][lane / 8 % 2 * 16], two_twice);
    const cuda::Right right{{two_twice[0], two_twice[1]}};
    float* rows[2] = {t.c + lane / 4 * 8 + lane % 4 * 2, t.c + (lane / 4 + 8) * 8 + lane % 4 * 2};
    cuda::Sums sums{{rows[0][0], rows[0][1], rows[1][0], rows[1][1]}};
    if constexpr (kNumbers == Numbers::kBf16) {
        cuda::multiply_bf16(left, right, sums);
    } else if constexpr (kNumbers == Numbers::kF16) {
        cuda::multiply_f16(left, right, sums);
    } else {
        cuda::multiply_e4m3(left, right, sums);
    }
    for (int i = 0; i < 4; ++i) rows[i / 2][i % 2] = sums.at[i];
}

constexpr cuda::LaunchConfig kOneWarp{{1, 1, 1}, 32, 0};

}  // namespace

void multiply_on_warp_bf16(const TensorTask& task) {
    cuda::launch<multiply_kernel<Numbers::kBf16>>(kOneWarp, {}, task);
}
void multiply_on_warp_f16(const TensorTask& task) {
    cuda::launch<multiply_kernel<Numbers::kF16>>(kOneWarp, {}, task);
}
void multiply_on_warp_e4m3(const TensorTask& task) {
    cuda::launch<multiply_kernel<Numbers::kE4m3>>(kOneWarp, {}, task);
}

}  // namespace millrace::cuda_sim
