#pragma once
// Rows as tensor cores take them, decoded once a block, in shared memory.

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device/loads.cuh"
#include "kernels/cuda/device/tile_codes.cuh"
#include "kernels/cuda/device/warp.cuh"

namespace millrace::cuda {

// kRows rows by kColumns columns as pairs, and their scales: a lane's Eight is a piece of 16 bytes, at
// piece ^ 4 · (row % 2), so that the eight lanes that read together meet no bank twice.
template <int kRows, int kColumns>
struct RowsTile {
    static constexpr int kPieces = kColumns / 8;  // of a row
    uint4 pieces[kRows * kPieces];
    float scales[kRows];

    __device__ static int place(int row, int piece) {
        return row * kPieces + (piece ^ (row % 2 * 4));
    }
    [[nodiscard]] __device__ Eight eight(int row, int unit) const {
        const auto words = load_vector<uint4>(&pieces[place(row, unit * 4 + lane_of_thread() % 4)]);
        return {{words.x, words.y, words.z, words.w}};
    }
};

}  // namespace millrace::cuda
