#pragma once
// Tensor cores, and what feeds them: matrices from shared memory, copies into it that do not wait.
//
//   multiply   c[16][8] += a[16][k]·b[k][8] of a warp: k = 16 in bf16 and f16 (sm_80), k = 32 in e4m3 (sm_89); sums in
//              fp32, which the hardware aligns and cuts off: products are exact, their sum is not rounded to nearest
//   fragments  lane l, g = l / 4, t = l % 4:   a: rows g, g + 8, k from 2t (e4m3: 4t), and the same 8 (16) further on
//                                              b: column g, the same k       c: rows g, g + 8, columns 2t, 2t + 1
//   matrices   four 8×8 of bf16 (or of two e4m3 each): lane l names 16 bytes, row l % 8 of matrix l / 8
//   copies     16 bytes each, global to shared; a thread commits what it asked for so far and waits until at most kLeft
//              of its groups are under way. Other threads see them behind a barrier after that.

#include <cuda_runtime.h>

#include <cstdint>

namespace millrace::cuda {

struct Left {  // a
    uint32_t at[4];
};
struct Right {  // b
    uint32_t at[2];
};
struct Sums {  // c
    float at[4];
};

__device__ inline void multiply_bf16(const Left& a, const Right& b, Sums& c) {
#if defined(__CUDACC__)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, "
        "{%10,%11,%12,%13};"
        : "=f"(c.at[0]), "=f"(c.at[1]), "=f"(c.at[2]), "=f"(c.at[3])
        : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "r"(b.at[0]), "r"(b.at[1]),
          "f"(c.at[0]), "f"(c.at[1]), "f"(c.at[2]), "f"(c.at[3]));
#else
    cuda_sim::multiply_bf16(a.at, b.at, c.at);
#endif
}

// The same with f16, of which e4m3 and e2m1 are a part.
__device__ inline void multiply_f16(const Left& a, const Right& b, Sums& c) {
#if defined(__CUDACC__)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, "
        "{%10,%11,%12,%13};"
        : "=f"(c.at[0]), "=f"(c.at[1]), "=f"(c.at[2]), "=f"(c.at[3])
        : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "r"(b.at[0]), "r"(b.at[1]),
          "f"(c.at[0]), "f"(c.at[1]), "f"(c.at[2]), "f"(c.at[3]));
#else
    cuda_sim::multiply_f16(a.at, b.at, c.at);
#endif
}

__device__ inline void multiply_e4m3(const Left& a, const Right& b, Sums& c) {
#if !defined(__CUDACC__)
    cuda_sim::multiply_e4m3(a.at, b.at, c.at);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(c.at[0]), "+f"(c.at[1]), "+f"(c.at[2]), "+f"(c.at[3])
        : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "r"(b.at[0]), "r"(b.at[1]));
#else
    static_cast<void>(a), static_cast<void>(b), static_cast<void>(c);
    asm volatile("trap;");  // who launches knows the architecture
#endif
}

__device__ inline void load_matrices(const void* own_row, uint32_t (&out)[4]) {
#if defined(__CUDACC__)
    const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(own_row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at)
                 : "memory");
#else
    cuda_sim::load_matrices(own_row, out);
#endif
}

__device__ inline void copy_async(void* shared, const void* global) {
#if defined(__CUDACC__)
    const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
#else
    cuda_sim::copy_async(shared, global);
#endif
}
__device__ inline void commit_copies() {
#if defined(__CUDACC__)
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    cuda_sim::commit_copies();
#endif
}
template <int kLeft>
__device__ inline void wait_for_copies() {
#if defined(__CUDACC__)
    asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#else
    cuda_sim::wait_for_copies(kLeft);
#endif
}

}  // namespace millrace::cuda
