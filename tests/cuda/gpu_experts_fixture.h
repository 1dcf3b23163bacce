#pragma once
// Experts in the host's memory, and a GPU that has some of them.

#include <doctest/doctest.h>

#include <list>
#include <memory>
#include <vector>

#include "kernels/gpu.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/kernels/properties.h"

namespace millrace {

inline constexpr int64_t kHidden = 256, kInner = 128;
inline constexpr int64_t kTokens = 3, kChosen = 2, kPairs = kTokens * kChosen;
inline constexpr int32_t kExperts = 7;
inline constexpr Bf16 kMark{0x7FC1};
inline constexpr float kLimit = 10;

struct Formats {
    WeightFormat gate_up, down;
};
inline constexpr Formats kAll[] = {{WeightFormat::kFp4, WeightFormat::kFp4},
                                   {WeightFormat::kQ2s, WeightFormat::kQ3s},
                                   {WeightFormat::kFp8, WeightFormat::kFp8},
                                   {WeightFormat::kQ3s, WeightFormat::kQ2v},
                                   {WeightFormat::kQ2v, WeightFormat::kFp4}};

enum class Lie { kRecord, kApart };  // parts one after another, or each in its own memory

// An expert in the host's memory. Its parts begin at an odd address where `offset` says so.
struct HostExpert {
    HostExpert(Inputs& in, Formats formats, Lie lie, size_t offset = 0) {
        const auto matrix = [&](WeightFormat format, int64_t outputs, int64_t cols) {
            return in.weight(format, ScaleFormat::kE8m0, outputs, cols, memory.emplace_back(),
                             offset);
        };
        weights.w1 = matrix(formats.gate_up, kInner, kHidden);
        weights.w3 = matrix(formats.gate_up, kInner, kHidden);
        weights.w2 = matrix(formats.down, kHidden, kInner);
        if (lie == Lie::kRecord) gather(offset);
        of_file = parts();
    }
    HostExpert(const HostExpert&) = delete;
    HostExpert& operator=(const HostExpert&) = delete;

    void turn(Ops& ops) {
        for (LinearWeight* w : {&weights.w1, &weights.w2, &weights.w3}) {
            REQUIRE(ops.arranges(*w));
            ops.arrange(*w, const_cast<std::byte*>(w->codes), const_cast<std::byte*>(w->scales));
        }
    }
    // Codes and scales of w1, w3, w2.
    using Parts = std::vector<std::vector<std::byte>>;
    [[nodiscard]] Parts parts() const {
        Parts out;
        for (const LinearWeight* w : {&weights.w1, &weights.w3, &weights.w2}) {
            out.emplace_back(w->codes, w->codes + weight_codes_bytes(*w));
            out.emplace_back(w->scales, w->scales + weight_scales_bytes(*w));
        }
        return out;
    }

    std::list<Bytes> memory;
    std::vector<std::byte> record;
    ExpertWeights weights;
    Parts of_file;

private:
    // As the stores have it: scales before codes, each part at a multiple of 64 bytes of the record.
    void gather(size_t offset) {
        record.resize(1 << 20);
        const auto begin = reinterpret_cast<uintptr_t>(record.data());
        size_t at = (begin + 4095) / 4096 * 4096 - begin + offset;
        const auto move = [&](const std::byte*& part, int64_t count) {
            std::copy(part, part + count, record.data() + at);
            part = record.data() + at;
            at += static_cast<size_t>(count + 63) / 64 * 64;
        };
        for (LinearWeight* w : {&weights.w1, &weights.w3, &weights.w2}) {
            move(w->scales, weight_scales_bytes(*w));
            move(w->codes, weight_codes_bytes(*w));
        }
    }
};

inline uint64_t slot_bytes_of_all(Inputs& in) {
    uint64_t most = 0;
    for (const Formats& formats : kAll) {
        most = std::max(most, gpu_slot_bytes(HostExpert(in, formats, Lie::kApart).weights));
    }
    return most;
}

inline ExpertFormats formats_of_all() {
    ExpertFormats out;
    for (const Formats& formats : kAll) {
        out.gate_up.add(formats.gate_up);
        out.down.add(formats.down);
    }
    return out;
}

// A GPU (with a number above 0 in the simulator alone) with ops, experts, and rows that the router has sent to them.
struct Experts : Properties {
    explicit Experts(uint64_t seed = 0, int number = 0) : watched(seed) {
        if (number > 0) cuda_sim::set_card({.count = number + 1});
        gpu = *make_cuda_ops(number, kSizes);
        sizes.slot_bytes = slot_bytes_of_all(in);
        sizes.formats.assign(static_cast<size_t>(sizes.tables), formats_of_all());
        experts = *gpu->make_experts(sizes);
        Rows<Bf16> rows(kTokens, kHidden);
        in.bf16(rows);
        const Quantised quantised(*ops, rows.view);
        x = {on_gpu(quantised.codes.view), on_gpu(quantised.scales.view)};
        for (size_t pair = 0; pair < kPairs; ++pair) routed.push_back(in.real());
    }
    static constexpr OpsSizes kSizes{.rows = 16, .hidden = kHidden, .inner = kInner};

    template <class T>
    T* upload(std::span<const T> values) {
        memory.push_back(*gpu->allocate(values.size_bytes(), HugePages::kNo));
        REQUIRE(gpu->write(memory.back().as<T>(), values.data(), values.size_bytes()).ok());
        return memory.back().as<T>();
    }
    template <class T>
    MatrixView<T> on_gpu(MatrixView<T> m) {
        std::vector<T> values;
        for (int64_t r = 0; r < m.rows; ++r)
            values.insert(values.end(), m.row(r).begin(), m.row(r).end());
        return {upload(std::span<const T>(values)), m.rows, m.cols};
    }

    // What the table gives for these experts of the pairs, kMark where it gave nothing; read by result().
    MatrixView<Bf16> compute(int32_t table, const std::vector<int32_t>& ids) {
        const std::vector<Bf16> marks(kPairs * kHidden, kMark);
        const MatrixView<Bf16> out(upload(std::span(marks)), kPairs, kHidden);
        experts->compute(table, x, {upload(std::span(ids)), kTokens, kChosen},
                         {upload(std::span<const float>(routed)), kTokens, kChosen}, kLimit, out);
        return out;
    }
    std::vector<Bf16> result(MatrixView<Bf16> out) {
        std::vector<Bf16> values(kPairs * kHidden);
        REQUIRE(gpu->read(values.data(), out.data, values.size() * sizeof(Bf16)).ok());
        return values;
    }
    // The same from Ops::experts, of experts that lie as in their files.
    std::vector<Bf16> expected(const std::vector<const HostExpert*>& of_pairs) {
        const std::vector<Bf16> marks(kPairs * kHidden, kMark);
        const MatrixView<Bf16> out(upload(std::span(marks)), kPairs, kHidden);
        for (size_t pair = 0; pair < kPairs; ++pair) {
            if (of_pairs[pair] == nullptr) continue;
            ExpertWeights weights = of_pairs[pair]->weights;
            auto part = of_pairs[pair]->of_file.begin();
            for (LinearWeight* w : {&weights.w1, &weights.w3, &weights.w2}) {
                w->layout = WeightLayout::kRows;
                w->codes = upload(std::span<const std::byte>(*part++));
                w->scales = upload(std::span<const std::byte>(*part++));
            }
            const auto row = static_cast<int32_t>(pair / kChosen);
            LinearInput input;
            input.quantised = x;
            gpu->expert(input, {upload(std::span(&row, 1)), 1}, weights,
                        {upload(std::span<const float>(&routed[pair], 1)), 1}, kLimit,
                        out.slice_rows(static_cast<int64_t>(pair), 1));
        }
        return result(out);
    }
    // For every pair the same expert.
    std::vector<Bf16> expected(const HostExpert& expert) {
        return expected(std::vector<const HostExpert*>(kPairs, &expert));
    }
    void place(int32_t slot, const HostExpert& expert, int32_t table, int32_t id) {
        REQUIRE(experts->fill(slot, expert.weights).ok());
        experts->wait_for(slot);
        REQUIRE(experts->set(table, {id}, slot).ok());
    }
    [[nodiscard]] static std::vector<int32_t> all_are(int32_t id) {
        return std::vector<int32_t>(kPairs, id);
    }

    test::WatchedGpu watched;
    std::unique_ptr<GpuOps> gpu;
    GpuExpertSizes sizes{.hidden = kHidden,
                         .inner = kInner,
                         .tables = 2,
                         .experts = kExperts,
                         .pairs = kPairs,
                         .formats = {}};
    std::unique_ptr<GpuExperts> experts;
    std::list<OpsMemory> memory;
    Fp8Rows x;
    std::vector<float> routed;
};

}  // namespace millrace
