#include "kernels/cpu/kernel_table.h"

namespace millrace {

const KernelTable& kernels_of(Isa isa) {
    switch (isa) {
        case Isa::kScalar: return kScalarKernels;
        case Isa::kAvx2: return kAvx2Kernels;
        case Isa::kAvx512: return kAvx512Kernels;
        case Isa::kAvx512Bf16: return kAvx512Bf16Kernels;
    }
    return kScalarKernels;
}

}  // namespace millrace
