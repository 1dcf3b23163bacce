#pragma once
// Every kernel, over whatever vocabulary was included before.

#include "kernels/cpu/elementary-inl.h"
//
#include "kernels/cpu/strip-inl.h"
//
#include "kernels/cpu/low_bit-inl.h"
//
#include "kernels/cpu/linear-inl.h"
#include "kernels/cpu/row_order-inl.h"
//
#include "kernels/cpu/linear_int8-inl.h"
//
#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/indexer-inl.h"
#include "kernels/cpu/row-inl.h"
//
#include "kernels/cpu/compressor_pool-inl.h"
#include "kernels/cpu/grid-inl.h"
#include "kernels/cpu/hyper_connection-inl.h"
#include "kernels/cpu/mixture-inl.h"
#include "kernels/cpu/peak-inl.h"

constexpr KernelTable kTable = {.linear = kLinearKernels,
                                .rows = kRowKernels,
                                .grids = kGridKernels,
                                .hyper_connections = kHyperConnectionKernels,
                                .compressor_pool = compressor_pool,
                                .mixture = kMixtureKernels,
                                .attention = kAttentionKernels,
                                .indexer = kIndexerKernels,
                                .peak = kPeakKernels};
