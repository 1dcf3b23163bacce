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

namespace millrace {
namespace {

#include "kernels/cpu/simd_scalar-inl.h"
//
#include "kernels/cpu/kernels-inl.h"

}  // namespace

const KernelTable kScalarKernels = kTable;

}  // namespace millrace
