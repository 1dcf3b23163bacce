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

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
namespace millrace {
namespace {

#include "kernels/cpu/simd_avx2-inl.h"
//
#include "kernels/cpu/kernels-inl.h"

}  // namespace

const KernelTable kAvx2Kernels = kTable;

}  // namespace millrace
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
