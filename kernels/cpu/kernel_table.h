#pragma once
// All kernels of one ISA. Each target_<isa>.cpp compiles every *-inl.h over its own vector vocabulary, inside a region
// that may use its instructions and an anonymous namespace, and exports one of these tables: nothing that was compiled
// for a larger ISA can be linked in place of something else.
//
// A kernel computes; it starts no thread, allocates nothing and knows no policy. CpuOps cuts the work.

#include "kernels/cpu/attention_kernels.h"
#include "kernels/cpu/compressor_pool_kernel.h"
#include "kernels/cpu/grid_kernels.h"
#include "kernels/cpu/hyper_connection_kernels.h"
#include "kernels/cpu/indexer_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear_kernels.h"
#include "kernels/cpu/mixture_kernels.h"
#include "kernels/cpu/peak_kernels.h"
#include "kernels/cpu/row_kernels.h"

namespace millrace {

struct KernelTable {
    LinearKernels linear;
    RowKernels rows;
    GridKernels grids;
    HyperConnectionKernels hyper_connections;
    CompressorPool compressor_pool;
    MixtureKernels mixture;
    AttentionKernels attention;
    IndexerKernels indexer;
    PeakKernels peak;
};

extern const KernelTable kScalarKernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kAvx512Bf16Kernels;

[[nodiscard]] const KernelTable& kernels_of(Isa isa);

}  // namespace millrace
