#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "core/base/types.h"
#include "kernels/cpu/kernel_table.h"
#include "quant/codebook.h"
#include "quant/float_codes.h"
#include "quant/linear_weight.h"

#define MILLRACE_DOT_BF16 1

#ifdef __clang__
#pragma clang attribute push(                                                                   \
    __attribute__((target(                                                                      \
        "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,avx512bf16"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,avx512bf16")
#endif
namespace millrace {
namespace {

#include "kernels/cpu/simd_avx512-inl.h"
//
#include "kernels/cpu/kernels-inl.h"

}  // namespace

const KernelTable kAvx512Bf16Kernels = kTable;

}  // namespace millrace
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
