// Experts in a GPU's memory: what lies in a slot is what lay in the file, what is computed from there is what Ops::experts
// computes, and fills go on beside the work without being seen too early or too late.

#include "kernels/gpu_experts.h"

#include <doctest/doctest.h>

#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/expert_slots.h"
#include "tests/cuda/gpu_experts_fixture.h"

namespace millrace {
namespace {

// What of an expert is in a slot.
HostExpert::Parts parts_in_slot(const ExpertWeights& placed, const cuda::DeviceMemory& slot) {
    std::vector<std::byte> all(slot.bytes());
    REQUIRE(slot.download(all, 0, {}).ok());
    REQUIRE(cuda::finish({}).ok());
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
            for (const size_t offset : {size_t{0}, size_t{1}, size_t{4}}) {
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

TEST_CASE_FIXTURE(Experts, "tables of other formats launch what their own experts have") {
    const HostExpert first(in, kAll[0], Lie::kRecord), second(in, kAll[1], Lie::kRecord);
    sizes.formats.assign(2, {});
    sizes.formats[0].add(first.weights);
    sizes.formats[1].add(second.weights);
    experts = *gpu->make_experts(sizes);
    REQUIRE(experts->grow(2).ok());
    place(0, first, 0, 1);
    place(1, second, 1, 1);
    CHECK(result(compute(0, all_are(1))) == expected(first));
    CHECK(result(compute(1, all_are(1))) == expected(second));
}

TEST_CASE("what was computed by a recording that is replayed has the old expert, then the new") {
    for (uint64_t seed = 0; seed < 8; ++seed) {
        CAPTURE(seed);
        Experts t(seed);
        const HostExpert old(t.in, kAll[0], Lie::kRecord);
        HostExpert fresh(t.in, kAll[seed % 5], Lie::kRecord);
        const auto pinned = *t.gpu->pin(fresh.record);
        REQUIRE(t.experts->grow(1).ok());
        const std::vector<Bf16> marks(kPairs * kHidden, kMark);
        const MatrixView<Bf16> out(t.upload(std::span(marks)), kPairs, kHidden);
        const MatrixView<Bf16> before(t.upload(std::span(marks)), kPairs, kHidden);
        const auto ids = t.all_are(3);
        const MatrixView<const int32_t> at(t.upload(std::span(ids)), kTokens, kChosen);
        const MatrixView<const float> routed(t.upload(std::span<const float>(t.routed)), kTokens,
                                             kChosen);
        // The table has nothing yet.
        REQUIRE(t.gpu->begin_recording());
        t.experts->compute(0, t.x, at, routed, kLimit, out);
        const auto recording = t.gpu->end_recording();
        REQUIRE(recording != nullptr);
        t.gpu->replay(*recording);
        t.gpu->copy(before.data, out.data, marks.size() * sizeof(Bf16));
        CHECK(t.result(before) == marks);
        t.place(0, old, 0, 3);
        t.gpu->replay(*recording);
        t.gpu->copy(before.data, out.data, marks.size() * sizeof(Bf16));
        REQUIRE(t.experts->set(0, {3}, std::nullopt).ok());
        t.place(0, fresh, 0, 3);
        t.gpu->replay(*recording);
        CHECK(t.result(before) == t.expected(old));
        CHECK(t.result(out) == t.expected(fresh));
    }
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

}  // namespace millrace
