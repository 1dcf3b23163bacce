// Experts in a GPU's memory: what lies in a slot is what lay in the file, what is computed from there is what Ops::experts
// computes, and fills go on beside the work without being seen too early or too late.

#include "kernels/gpu_experts.h"

#include <doctest/doctest.h>

#include <list>

#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/expert_slots.h"
#include "kernels/gpu.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

constexpr int64_t kHidden = 256, kInner = 128;
constexpr int64_t kTokens = 3, kChosen = 2, kPairs = kTokens * kChosen;
constexpr int32_t kExperts = 7;
constexpr Bf16 kMark{0x7FC1};
constexpr float kLimit = 10;

struct Formats {
    WeightFormat gate_up, down;
};
constexpr Formats kAll[] = {{WeightFormat::kFp4, WeightFormat::kFp4},
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

uint64_t slot_bytes_of_all(Inputs& in) {
    uint64_t most = 0;
    for (const Formats& formats : kAll) {
        most = std::max(most, gpu_slot_bytes(HostExpert(in, formats, Lie::kApart).weights));
    }
    return most;
}

// A GPU with ops, experts, and rows that the router has sent to them.
struct Experts : Properties {
    explicit Experts(uint64_t seed = 0) : watched(seed) {
        gpu = *make_cuda_ops(0, kSizes);
        sizes.slot_bytes = slot_bytes_of_all(in);
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
    GpuExpertSizes sizes{
        .hidden = kHidden, .inner = kInner, .tables = 2, .experts = kExperts, .pairs = kPairs};
    std::unique_ptr<GpuExperts> experts;
    std::list<OpsMemory> memory;
    Fp8Rows x;
    std::vector<float> routed;
};

// What of an expert is in a slot.
HostExpert::Parts parts_in_slot(const ExpertWeights& placed, const cuda::DeviceMemory& slot) {
    std::vector<std::byte> all(slot.bytes());
    REQUIRE(slot.download(all, 0, {}).ok());
    HostExpert::Parts out;
    for (const LinearWeight* w : {&placed.w1, &placed.w3, &placed.w2}) {
        const auto add = [&](const std::byte* at, int64_t count) {
            CHECK(reinterpret_cast<uintptr_t>(at) % cuda::kSlotAlignment == 0);
            const auto first = all.begin() + (at - slot.as<std::byte>());
            out.emplace_back(first, first + count);
        };
        CHECK(w->layout == WeightLayout::kRows);
        add(w->codes, weight_codes_bytes(*w));
        add(w->scales, weight_scales_bytes(*w));
    }
    return out;
}

}  // namespace

TEST_CASE_FIXTURE(Properties, "a slot has an expert's bytes row by row, however they lay before") {
    const test::WatchedGpu watched(2);
    const auto cpu = make_cpu_ops(pool, {});
    for (const Formats& formats : kAll) {
        for (const Lie lie : {Lie::kRecord, Lie::kApart}) {
            for (const size_t offset : {0, 1, 4}) {
                for (const bool strips : {false, true}) {
                    CAPTURE(static_cast<int>(formats.gate_up));
                    CAPTURE(offset);
                    CAPTURE(strips);
                    HostExpert expert(in, formats, lie, offset);
                    if (strips) {
                        expert.turn(*cpu);
                        CHECK((expert.parts() != expert.of_file));
                    }
                    const uint64_t bytes = gpu_slot_bytes(expert.weights);
                    auto slot = *cuda::DeviceMemory::allocate(bytes);
                    auto room = *cuda::DeviceMemory::allocate(cuda::room_bytes(bytes));
                    const auto placed = cuda::place_expert(expert.weights, slot.as<std::byte>());
                    CHECK(placed.bytes == bytes);
                    const cuda::RoomCopies copies = cuda::copies_of(expert.weights);
                    CHECK((copies.count == 1) == (lie == Lie::kRecord));
                    for (const cuda::RoomCopy& copy : copies.all()) {
                        REQUIRE(room.upload({copy.from, copy.bytes}, copy.offset, {}).ok());
                    }
                    cuda::fill_slot(cuda::slot_task(expert.weights, placed.weights, copies,
                                                    room.as<std::byte>()),
                                    {});
                    test::expect_no_violations();
                    CHECK((parts_in_slot(placed.weights, slot) == expert.of_file));
                }
            }
        }
    }
}

TEST_CASE_FIXTURE(Experts, "experts of all formats compute from slots as from anywhere else") {
    const auto cpu = make_cpu_ops(pool, {});
    std::list<HostExpert> host;
    REQUIRE(experts->grow(2).ok());
    REQUIRE(experts->grow(3).ok());
    CHECK(experts->slots() == 5);
    int32_t slot = 0;
    for (const Formats& formats : kAll) {
        host.emplace_back(in, formats, slot % 2 == 0 ? Lie::kRecord : Lie::kApart);
        if (slot % 3 != 1) host.back().turn(*cpu);
        place(slot, host.back(), 1, slot + 1);
        ++slot;
    }
    const auto at = [&](int32_t id) -> const HostExpert* {
        return id < 1 || id > 5 ? nullptr : &*std::next(host.begin(), id - 1);
    };
    for (const std::vector<int32_t>& ids :
         {std::vector<int32_t>{1, 2, 3, 4, 5, 0}, {6, 1, -1, 3, 7, 2}, {0, 6, 0, 6, 0, 6}}) {
        std::vector<const HostExpert*> of_pairs;
        for (const int32_t id : ids) of_pairs.push_back(at(id));
        CHECK(result(compute(1, ids)) == expected(of_pairs));
        // The other table has none of them.
        CHECK(result(compute(0, ids)) == std::vector<Bf16>(kPairs * kHidden, kMark));
    }
    REQUIRE(experts->set(1, {3}, std::nullopt).ok());
    CHECK(result(compute(1, {1, 3, 3, 3, 3, 5})) ==
          expected({at(1), nullptr, nullptr, nullptr, nullptr, at(5)}));
    // One slot under two names, and another expert under a known one.
    REQUIRE(experts->set(0, {0}, 4).ok());
    REQUIRE(experts->set(1, {1}, 1).ok());
    CHECK(result(compute(0, all_are(0))) == expected(*at(5)));
    CHECK(result(compute(1, all_are(1))) == expected(*at(2)));
}

TEST_CASE(
    "a slot that is filled again: what was computed before has the old expert, then the new") {
    for (uint64_t seed = 0; seed < 8; ++seed) {
        CAPTURE(seed);
        Experts t(seed);
        const HostExpert old(t.in, kAll[0], Lie::kRecord);
        HostExpert fresh(t.in, kAll[seed % 5], Lie::kRecord);
        const auto pinned = *t.gpu->pin(fresh.record);
        REQUIRE(t.experts->grow(2).ok());
        t.place(1, old, 0, 3);
        const auto before = t.compute(0, t.all_are(3));
        REQUIRE(t.experts->set(0, {3}, std::nullopt).ok());
        t.place(1, fresh, 0, 4);
        const auto after = t.compute(0, {4, 3, 4, 4, 4, 4});
        CHECK(t.result(before) == t.expected(old));
        std::vector<const HostExpert*> wanted(kPairs, &fresh);
        wanted[1] = nullptr;
        CHECK(t.result(after) == t.expected(wanted));
    }
}

TEST_CASE("a table that names a slot before it is filled computes with what was there before") {
    Experts t(0);  // whose streams do nothing before somebody waits for it
    const HostExpert old(t.in, kAll[0], Lie::kRecord), fresh(t.in, kAll[0], Lie::kRecord);
    REQUIRE(t.experts->grow(1).ok());
    t.place(0, old, 0, 1);
    CHECK(t.result(t.compute(0, t.all_are(1))) == t.expected(old));
    REQUIRE(t.experts->set(0, {1}, std::nullopt).ok());
    REQUIRE(t.experts->fill(0, fresh.weights).ok());
    REQUIRE(t.experts->set(0, {1}, 0).ok());
    CHECK(t.result(t.compute(0, t.all_are(1))) == t.expected(old));
    t.experts->wait_for(0);
    CHECK(t.result(t.compute(0, t.all_are(1))) == t.expected(fresh));
}

TEST_CASE("when a slot has landed its source may change, and not before") {
    for (uint64_t seed = 0; seed < 6; ++seed) {
        CAPTURE(seed);
        Experts t(seed);
        HostExpert expert(t.in, kAll[0], Lie::kRecord);
        const auto pinned = *t.gpu->pin(expert.record);
        REQUIRE(t.experts->grow(1).ok());
        CHECK(*t.experts->landed(0));  // nothing is under way
        REQUIRE(t.experts->fill(0, expert.weights).ok());
        int polls = 0;
        while (!*t.experts->landed(0)) ++polls;
        if (seed == 0) CHECK(polls > 0);
        std::ranges::fill(expert.record, std::byte{0});
        REQUIRE(t.experts->set(0, {1}, 0).ok());
        CHECK(t.result(t.compute(0, t.all_are(1))) == t.expected(expert));
    }
}

TEST_CASE("memory is unpinned when what was to come from it has come") {
    Experts t(0);
    const HostExpert expert(t.in, kAll[0], Lie::kRecord);
    REQUIRE(t.experts->grow(1).ok());
    auto pinned =
        *t.gpu->pin(std::span(const_cast<std::byte*>(expert.record.data()), expert.record.size()));
    REQUIRE(t.experts->fill(0, expert.weights).ok());
    pinned.reset();
    test::expect_no_violations();
    CHECK(*t.experts->landed(0));
}

TEST_CASE("slots come and go by pieces of memory, or not at all") {
    Experts t;
    CHECK_FALSE(t.experts->shrink());
    const auto free_bytes = [] { return list_gpus()->front().free_bytes; };
    const uint64_t before = free_bytes();
    REQUIRE(t.experts->grow(3).ok());
    CHECK(before - free_bytes() == 3 * t.sizes.slot_bytes);
    REQUIRE(t.experts->grow(2).ok());
    const HostExpert expert(t.in, kAll[0], Lie::kApart);
    t.place(4, expert, 0, 1);
    t.place(2, expert, 0, 2);
    const auto last = t.compute(0, t.all_are(1));
    REQUIRE(t.experts->set(0, {1}, std::nullopt).ok());
    CHECK(t.experts->shrink());
    CHECK(t.experts->slots() == 3);
    CHECK(t.result(last) == t.expected(expert));
    CHECK(t.result(t.compute(0, t.all_are(2))) == t.expected(expert));

    const Status huge = t.experts->grow(1 << 30);
    REQUIRE(!huge.ok());
    CHECK(huge.error().code == ErrorCode::kCapacity);
    CHECK(t.experts->slots() == 3);
    REQUIRE(t.experts->set(0, {2}, std::nullopt).ok());
    t.memory.clear();
    CHECK(t.experts->shrink());
    CHECK(t.experts->slots() == 0);
    CHECK_FALSE(t.experts->shrink());
    REQUIRE(t.experts->grow(1).ok());
    CHECK(t.experts->slots() == 1);
}

TEST_CASE("ops and experts allocate what they say, neither more nor less") {
    const test::WatchedGpu watched(0);
    const auto free_bytes = [] { return list_gpus()->front().free_bytes; };
    for (const OpsSizes& sizes :
         {OpsSizes{.rows = 3,
         .hidden = 256,
         .inner = 128,
         .heads = 4,
         .keys = 300,
         .entries = 700,
         .picks = 64},
          OpsSizes{.rows = 40, .hidden = 512, .heads = 4, .keys = 400},
          OpsSizes{.rows = 16, .hidden = 128, .inner = 256, .entries = 90, .picks = 8}}) {
        const uint64_t before = free_bytes();
        const auto gpu = *make_cuda_ops(0, sizes);
        CHECK(before - free_bytes() == gpu_ops_bytes(sizes));
        const GpuExpertSizes of{.hidden = 256,
                                .inner = 128,
                                .tables = 5,
                                .experts = 9,
                                .slot_bytes = 1024 * 256,
                                .pairs = sizes.rows * 3};
        const uint64_t without = free_bytes();
        const auto experts = *gpu->make_experts(of);
        CHECK(without - free_bytes() == gpu_expert_bytes(of));
    }
}

TEST_CASE("what cannot be computed on the GPU, and memory that cannot be pinned, is said") {
    Experts t;
    GpuExpertSizes odd = t.sizes;
    odd.inner = 192;
    const auto refused = t.gpu->make_experts(odd);
    REQUIRE(!refused.ok());
    CHECK(refused.error().code == ErrorCode::kUnsupported);
    CHECK(refused.error().message ==
          "experts of 192 by 256 numbers, 7 a layer, cannot be computed on the GPU: multiples of "
          "128 are needed, and at most 1024");

    std::vector<std::byte> memory(3 << 20);
    cuda_sim::set_card({.pinned_bytes = 1 << 20});
    const auto pinned = t.gpu->pin(memory);
    REQUIRE(!pinned.ok());
    CHECK(pinned.error().code == ErrorCode::kCapacity);
    CHECK(pinned.error().message == "pinning the host's memory for the GPU: out of memory (3 MiB)");
    auto some = t.gpu->pin(std::span(memory).first(1 << 20));
    REQUIRE(some.ok());
    CHECK(!t.gpu->pin(std::span(memory).first(1)).ok());
    some->reset();
    CHECK(t.gpu->pin(std::span(memory).subspan(1 << 20, 1 << 20)).ok());
    CHECK(t.gpu->pin({}).ok());
}

TEST_CASE("a GPU that is lost is told of wherever the experts are") {
    int lost = 0;
    for (int64_t calls = 0; calls < 24; ++calls) {
        CAPTURE(calls);
        Experts t;
        const HostExpert expert(t.in, kAll[0], Lie::kApart);
        REQUIRE(t.experts->grow(2).ok());
        const auto out = t.compute(0, t.all_are(1));
        const MatrixView<const int32_t> ids(t.upload(std::span<const int32_t>(Experts::all_are(1))),
                                            kTokens, kChosen);
        const MatrixView<const float> weights(t.upload(std::span<const float>(t.routed)), kTokens,
                                              kChosen);
        cuda_sim::set_card({.calls_left = calls});
        const auto step = [&]() -> Status {
            TRY(t.experts->grow(1));
            TRY(t.experts->fill(1, expert.weights));
            TRY(t.experts->landed(1));
            t.experts->wait_for(1);
            TRY(t.experts->set(0, {1}, 1));
            t.experts->compute(0, t.x, ids, weights, kLimit, out);
            std::vector<Bf16> values(kPairs * kHidden);
            return t.gpu->read(values.data(), out.data, values.size() * sizeof(Bf16));
        };
        const Status done = step();
        if (!done.ok()) {
            CHECK(done.error().code == ErrorCode::kDeviceLost);
            ++lost;
        }
        cuda_sim::set_card({});
    }
    CHECK(lost > 10);
}

}  // namespace millrace
