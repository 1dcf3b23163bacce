// Tensor cores, matrices from shared memory, and copies that do not wait.
//
// The sums: products are exact. The accumulator and the products of a block (8 of bf16 or f16, all 32 of e4m3) are
// aligned to the largest exponent among them, cut off behind 24 bits (13 of e4m3), added exactly, and cut off again to
// fp32. Published measurements of the hardware find such blocks and cuts, with more or fewer bits and longer blocks from
// one generation to the next; this is the coarse end of them. No kernel may count on more.

#include <algorithm>
#include <cmath>

#include "core/base/types.h"
#include "quant/float_codes.h"
#include "tests/support/cuda_sim/machine.h"

namespace millrace::cuda_sim {
namespace {

float cut_to_float(double x) {
    const auto nearest = static_cast<float>(x);
    if (std::isinf(nearest) || std::fabs(static_cast<double>(nearest)) <= std::fabs(x)) {
        return nearest;
    }
    return std::nextafter(nearest, 0.0F);
}

// The accumulator and a block of products, as the hardware adds them.
float add_block(float c, const double* products, int count, int bits) {
    double most = std::fabs(static_cast<double>(c));
    double plain = static_cast<double>(c);
    for (int i = 0; i < count; ++i) {
        most = std::max(most, std::fabs(products[i]));
        plain += products[i];
    }
    if (!std::isfinite(plain)) return static_cast<float>(plain);
    if (most == 0) return 0;
    const int shift = bits - std::ilogb(most);
    double sum = std::trunc(std::ldexp(static_cast<double>(c), shift));
    for (int i = 0; i < count; ++i) sum += std::trunc(std::ldexp(products[i], shift));
    return cut_to_float(std::ldexp(sum, -shift));
}

struct Fragments {
    const uint32_t* a;
    const uint32_t* b;
    float* c;
};

double bf16_of(uint32_t word, int i) {
    return static_cast<double>(to_float(Bf16{static_cast<uint16_t>(word >> (16 * i))}));
}
double f16_of(uint32_t word, int i) {
    const uint32_t bits = word >> (16 * i) & 0xFFFFu;
    const uint32_t exponent = bits >> 10 & 31u, mantissa = bits & 1023u;
    double size = 0;
    if (exponent == 31) {
        size = mantissa == 0 ? HUGE_VAL : NAN;
    } else {
        const uint32_t whole = exponent == 0 ? mantissa : mantissa + 1024u;
        size = std::ldexp(whole, static_cast<int>(std::max(exponent, 1u)) - 25);
    }
    return (bits & 0x8000u) != 0 ? -size : size;
}
double e4m3_of(uint32_t word, int i) {
    return static_cast<double>(e4m3_value(static_cast<uint8_t>(word >> (8 * i))));
}

// kPacked values of a register: a row of 16·kPacked… values is [first half | second half], each 4 lanes · kPacked.
template <int kPacked>
void multiply_all(void* const* arguments, double (*value)(uint32_t, int), int block, int bits) {
    constexpr int kDepth = 8 * kPacked;
    double a[16][kDepth], b[8][kDepth];
    for (int lane = 0; lane < 32; ++lane) {
        const auto* own = static_cast<const Fragments*>(arguments[lane]);
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < kPacked; ++i) {
            for (int half = 0; half < 2; ++half) {
                const int k = half * 4 * kPacked + t * kPacked + i;
                a[g][k] = value(own->a[2 * half], i);
                a[g + 8][k] = value(own->a[2 * half + 1], i);
                b[g][k] = value(own->b[half], i);
            }
        }
    }
    for (int lane = 0; lane < 32; ++lane) {
        const auto* own = static_cast<const Fragments*>(arguments[lane]);
        for (int i = 0; i < 4; ++i) {
            const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            double products[kDepth];
            for (int k = 0; k < kDepth; ++k) products[k] = a[row][k] * b[column][k];
            for (int k = 0; k < kDepth; k += block)
                own->c[i] = add_block(own->c[i], products + k, block, bits);
        }
    }
}

struct Rows {
    const void* own;
    uint32_t* out;
};

}  // namespace

void multiply_bf16(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4], Place place) {
    const Unchecked unchecked;
    Fragments own{a, b, c};
    const auto resolve = [](void* const* arguments, uint32_t) {
        multiply_all<2>(arguments, bf16_of, 8, 24);
    };
    machine().collective("a product of tensor cores", ~0U, &own, resolve, place, false);
}

void multiply_f16(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4], Place place) {
    const Unchecked unchecked;
    Fragments own{a, b, c};
    const auto resolve = [](void* const* arguments, uint32_t) {
        multiply_all<2>(arguments, f16_of, 8, 24);
    };
    machine().collective("a product of tensor cores", ~0U, &own, resolve, place, false);
}

void multiply_e4m3(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4], Place place) {
    const Unchecked unchecked;
    Fragments own{a, b, c};
    const auto resolve = [](void* const* arguments, uint32_t) {
        multiply_all<4>(arguments, e4m3_of, 32, 13);
    };
    machine().collective("a product of tensor cores", ~0U, &own, resolve, place, false);
}

void load_matrices(const void* own_row, uint32_t (&out)[4], Place place) {
    const auto from = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
    const Unchecked unchecked;
    machine().access(reinterpret_cast<uintptr_t>(own_row), 16, Access::kRead, true, from);
    Rows own{own_row, out};
    const auto resolve = [](void* const* arguments, uint32_t) {
        for (int lane = 0; lane < 32; ++lane) {
            for (int matrix = 0; matrix < 4; ++matrix) {
                const auto* row = static_cast<const Rows*>(arguments[8 * matrix + lane / 4]);
                std::memcpy(&static_cast<Rows*>(arguments[lane])->out[matrix],
                            static_cast<const std::byte*>(row->own) + lane % 4 * 4, 4);
            }
        }
    };
    machine().collective("loading matrices", ~0U, &own, resolve, place, false);
}

// The source is read now; the destination is written when the thread waits, which is when it may be relied on.
void copy_async(void* shared, const void* global) {
    const auto from = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
    const Unchecked unchecked;
    machine().access(reinterpret_cast<uintptr_t>(global), 16, Access::kRead, true, from);
    auto& groups = machine().current().copies;
    if (groups.empty()) groups.emplace_back();
    groups.back().push_back({shared, global});
}

void commit_copies() {
    const Unchecked unchecked;
    auto& groups = machine().current().copies;
    if (groups.empty()) groups.emplace_back();
    groups.emplace_back();
}

void wait_for_copies(int left) {
    const Unchecked unchecked;
    auto& groups = machine().current().copies;
    while (groups.size() > static_cast<size_t>(left) + 1) {
        for (const Machine::Copy& copy : groups.front()) {
            machine().access(reinterpret_cast<uintptr_t>(copy.to), 16, Access::kWrite, true, 0);
            std::memcpy(copy.to, copy.from, 16);
        }
        groups.erase(groups.begin());
    }
}

}  // namespace millrace::cuda_sim
