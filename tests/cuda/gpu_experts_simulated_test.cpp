// Experts in a GPU's memory where the simulated GPU says when something has happened, how much memory there is, and that it
// is lost.

#include <doctest/doctest.h>

#include "kernels/gpu_experts.h"
#include "tests/cuda/gpu_experts_fixture.h"

namespace millrace {

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
        while (!*t.experts->landed(0) && polls < 10) ++polls;
        CHECK(polls < 10);
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
                                .pairs = sizes.rows * 3,
                                .formats = std::vector<ExpertFormats>(5, formats_of_all())};
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

TEST_CASE("a GPU that is lost while ops and experts are made leaves nothing behind") {
    const test::WatchedGpu watched(0);
    const auto free_bytes = [] { return list_gpus()->front().free_bytes; };
    const uint64_t before = free_bytes();
    const GpuExpertSizes sizes{.hidden = 256,
                               .inner = 128,
                               .tables = 1,
                               .experts = 2,
                               .slot_bytes = 1024,
                               .pairs = 4,
                               .formats = {formats_of_all()}};
    int made = 0;
    for (int64_t calls = 0; calls < 40; ++calls) {
        CAPTURE(calls);
        cuda_sim::set_card({.calls_left = calls});
        auto gpu = make_cuda_ops(0, Experts::kSizes);
        if (gpu.ok()) {
            auto experts = (*gpu)->make_experts(sizes);
            if (experts.ok() && (*experts)->grow(1).ok()) ++made;
        }
        gpu = Error{ErrorCode::kDeviceLost, "given back"};
        cuda_sim::set_card({});
        CHECK(free_bytes() == before);
    }
    CHECK(made > 5);
    CHECK(made < 35);
}

TEST_CASE("experts of the second GPU are reached from threads that never chose it") {
    Experts t(3, 1);
    const HostExpert expert(t.in, kAll[0], Lie::kRecord);
    const auto other_thread = [] { cuda_sim::change_thread(); };
    other_thread();
    REQUIRE(t.experts->grow(1).ok());
    for (int round = 0; round < 2; ++round) {
        other_thread();
        REQUIRE(t.experts->fill(0, expert.weights).ok());
        other_thread();
        CHECK(t.experts->landed(0).ok());
        other_thread();
        t.experts->wait_for(0);
        other_thread();
        REQUIRE(t.experts->set(0, {1}, 0).ok());
        const MatrixView<Bf16> out = t.compute(0, t.all_are(1));
        other_thread();
        CHECK(t.result(out) == t.expected(expert));
        other_thread();
        REQUIRE(t.experts->set(0, {1}, std::nullopt).ok());
    }
    other_thread();
    CHECK(t.experts->shrink());
    std::vector<std::byte> memory(4096);
    other_thread();
    auto pinned = t.gpu->pin(memory);
    REQUIRE(pinned.ok());
    other_thread();
    pinned->reset();
    other_thread();
    t.experts.reset();
}

// Slots, tables and what was told to be computed, as whoever has no streams would keep them.
TEST_CASE(
    "whatever is filled, named and computed in whatever order, every result is that of its "
    "moment") {
    constexpr int32_t kSlots = 3, kTables = 2;
    for (uint64_t seed = 0; seed < 5; ++seed) {
        CAPTURE(seed);
        Experts t(seed);
        std::list<HostExpert> host;
        std::vector<std::vector<Bf16>> all;  // for every pair, of each
        std::vector<std::shared_ptr<void>> pinned;
        for (const Formats& formats : {kAll[0], kAll[1], kAll[0], kAll[4]}) {
            host.emplace_back(t.in, formats, Lie::kRecord);
            all.push_back(t.expected(host.back()));
            if (host.size() % 2 == 0) pinned.push_back(*t.gpu->pin(host.back().record));
        }
        REQUIRE(t.experts->grow(kSlots).ok());
        int filled[kSlots] = {-1, -1, -1};
        int named[kTables][kExperts];
        std::fill_n(&named[0][0], kTables * kExperts, -1);
        struct Told {
            MatrixView<Bf16> out;
            std::vector<Bf16> wanted;
        };
        std::vector<Told> told;
        Random random(seed + 100);
        const auto below = [&](int64_t bound) {
            return static_cast<int32_t>(random.below(static_cast<uint64_t>(bound)));
        };
        for (int step = 0; step < 36; ++step) {
            const int32_t slot = below(kSlots), table = below(kTables), id = below(3);
            const int32_t kind = below(4);
            if (kind == 0) {
                bool free = true;
                for (auto& entries : named)
                    for (const int entry : entries) free = free && entry != slot;
                if (!free) continue;
                filled[slot] = below(4);
                REQUIRE(t.experts->fill(slot, std::next(host.begin(), filled[slot])->weights).ok());
                if (below(2) == 0) REQUIRE(t.experts->landed(slot).ok());
                t.experts->wait_for(slot);
            } else if (kind == 1) {
                named[table][id] = -1;
                REQUIRE(t.experts->set(table, {id}, std::nullopt).ok());
            } else if (kind == 2) {
                if (filled[slot] < 0) continue;
                named[table][id] = slot;
                REQUIRE(t.experts->set(table, {id}, slot).ok());
            } else {
                std::vector<int32_t> ids(kPairs);
                std::vector<Bf16> wanted(kPairs * kHidden, kMark);
                for (size_t pair = 0; pair < kPairs; ++pair) {
                    ids[pair] = below(3);
                    const int from = named[table][ids[pair]];
                    if (from < 0) continue;
                    const auto at = static_cast<std::ptrdiff_t>(pair * kHidden);
                    const auto& values = all[static_cast<size_t>(filled[from])];
                    std::copy_n(values.begin() + at, kHidden, wanted.begin() + at);
                }
                told.push_back({t.compute(table, ids), wanted});
            }
        }
        CHECK(told.size() >= 4);
        for (const Told& one : told) CHECK(t.result(one.out) == one.wanted);
    }
}

}  // namespace millrace
