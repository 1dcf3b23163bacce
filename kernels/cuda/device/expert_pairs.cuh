#pragma once
// Pairs of a row and an expert, sorted by expert, and made of calls: what experts.cu asks of expert_pairs.cu.

#include <cuda_runtime.h>

#include <cstdint>

#include "core/base/types.h"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/stream.h"
#include "quant/linear_weight.h"

namespace millrace::cuda {

// `count` pairs of `expert`, from place `first` of the order.
struct Job {
    int32_t expert, first, count;
};
static_assert(sizeof(Job) == 12);

struct GroupTask {
    const int32_t* ids;
    int64_t ids_stride, per_row;
    int64_t pairs, experts;
    int32_t rows;  // of a job
    Job* jobs;
    int64_t jobs_max;
    int32_t* order;
};

// Pairs that name no expert are in no job; jobs behind the last have no pairs.
void launch_groups(const GroupTask& task, Stream stream);

struct Call {
    ExpertWeights weights;
    const int32_t* rows;
    const float* route_weights;  // null: 1
    Bf16* out;
    int64_t out_stride;
    int32_t first;  // pair
};
struct CallsTask {
    Call calls[kCallsTogether];
    int32_t count, pairs;
    ExpertWeights* table;
    int32_t* ids;
    int32_t* rows;
    float* weights;
    Bf16** outs;
};
static_assert(sizeof(CallsTask) <= 4096);  // what a launch may carry

void launch_calls(const CallsTask& task, Stream stream);

}  // namespace millrace::cuda
