// Products of signed bytes on tensor cores: exact, so in no order of their own.

#include "tests/support/cuda_sim/machine.h"

namespace millrace::cuda_sim {
namespace {

struct Fragments {
    const uint32_t* a;
    const uint32_t* b;
    int32_t* c;
};

// 16 bits a value: the compiler then multiplies and adds pairs of them.
void unpack(uint32_t word, int16_t* out) {
    for (int i = 0; i < 4; ++i) out[i] = static_cast<int8_t>(word >> (8 * i) & 255U);
}

void multiply_all(void* const* arguments, uint32_t) {
    int16_t a[16][32], b[8][32];
    for (int lane = 0; lane < 32; ++lane) {
        const auto* own = static_cast<const Fragments*>(arguments[lane]);
        const int row = lane / 4, k = lane % 4 * 4;
        for (int i = 0; i < 4; ++i) unpack(own->a[i], &a[row + i % 2 * 8][k + i / 2 * 16]);
        for (int i = 0; i < 2; ++i) unpack(own->b[i], &b[row][k + i * 16]);
    }
    for (int lane = 0; lane < 32; ++lane) {
        const auto* own = static_cast<const Fragments*>(arguments[lane]);
        for (int i = 0; i < 4; ++i) {
            const int16_t* left = a[lane / 4 + i / 2 * 8];
            const int16_t* right = b[lane % 4 * 2 + i % 2];
            int32_t sum = 0;
            for (int k = 0; k < 32; ++k) sum += left[k] * right[k];
            own->c[i] += sum;
        }
    }
}

}  // namespace

void multiply_s8(const uint32_t (&a)[4], const uint32_t (&b)[2], int32_t (&c)[4], Place place) {
    const Unchecked unchecked;
    Fragments own{a, b, c};
    machine().collective("a product of bytes", ~0U, &own, multiply_all, place, false);
}

}  // namespace millrace::cuda_sim
