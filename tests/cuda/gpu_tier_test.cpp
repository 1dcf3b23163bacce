// Experts on the GPU above those in the host's memory: whole models over the CUDA ops in the simulator.

#include "core/engine/gpu_tier.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/engine/gpu_side.h"
#include "kernels/gpu.h"
#include "tests/cuda/several_gpus_fixture.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

constexpr uint64_t kMemory = uint64_t{1} << 30;

RuntimeOptions tier_options(GpuMisses misses, uint64_t budget_bytes = 0) {
    RuntimeOptions options = test::tiny_options();
    options.ops = "cuda";
    options.gpu.misses = misses;
    options.gpu.budget_bytes = budget_bytes;
    options.context_max = 192;
    options.prefill_chunk = 32;
    return options;
}

std::unique_ptr<Runtime> open(const RuntimeOptions& options) {
    return test::open_runtime(test::tiny_checkpoint("tiny-clamp"), options);
}

std::vector<float> logits_of(Runtime& runtime, std::span<const TokenId> tokens,
                             const std::vector<int64_t>& chunks) {
    Session session = test::new_session(runtime);
    return test::all_logits(runtime, session, tokens, chunks);
}

// Of two results, in parts of the largest value.
double greatest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    double most = 0, largest = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        most = std::max(most, static_cast<double>(std::abs(a[i] - b[i])));
        largest = std::max(largest, static_cast<double>(std::abs(b[i])));
    }
    return most / largest;
}

// A budget that leaves room for so many slots.
uint64_t budget_for(GpuMisses misses, int32_t slots) {
    const auto all = open(tier_options(misses));
    const MemoryPlan& plan = all->plan();
    const uint64_t slot = plan.gpu_expert_bytes / static_cast<uint64_t>(plan.gpu_slots);
    return plan.gpu_bytes() - plan.gpu_expert_bytes + static_cast<uint64_t>(slots) * slot +
           slot / 2;
}

// Memory for the experts of a token, and some more.
uint64_t room_for(const RuntimeOptions& options, int32_t more) {
    const auto runtime = open(options);
    return runtime->expert_stats().slot_bytes *
           static_cast<uint64_t>(runtime->config().experts_per_token + more);
}

uint64_t free_bytes() {
    const auto gpus = list_gpus();
    REQUIRE(gpus.ok());
    return gpus->front().free_bytes;
}

}  // namespace

TEST_CASE(
    "where misses are copied, no bit depends on what lies on the GPU, in memory, or in a chunk") {
    const auto tokens = test::some_tokens(14);
    std::vector<float> expected;
    {
        const test::WatchedGpu gpu(1);
        const auto all = open(tier_options(GpuMisses::kCopy));
        expected = logits_of(*all, tokens, {14});
        const GpuTierStats stats = *all->gpu_stats();
        CHECK(stats.there > 0);
        CHECK(stats.there == static_cast<int32_t>(stats.copied));
        CHECK(stats.by_cpu == 0);
        // Everything is there now: nothing is copied any more.
        CHECK(logits_of(*all, tokens, {1, 5, 8}) == expected);
        CHECK(all->gpu_stats()->copied == stats.copied);
        CHECK(all->gpu_stats()->hits > stats.hits);
    }
    const uint64_t budget = budget_for(GpuMisses::kCopy, 5);
    for (const uint64_t seed : {uint64_t{0}, uint64_t{2}}) {
        const test::WatchedGpu gpu(seed);
        RuntimeOptions few = tier_options(GpuMisses::kCopy, budget);
        // As few in memory as can be, too.
        few.ram_budget_bytes = room_for(few, seed == 0 ? 1 : 4);
        const auto runtime = open(few);
        CHECK(runtime->plan().gpu_slots == 5);
        CHECK(logits_of(*runtime, tokens, {14}) == expected);
        CHECK(logits_of(*runtime, tokens, {1, 1, 3, 8, 1}) == expected);
        const GpuTierStats stats = *runtime->gpu_stats();
        CHECK(stats.slots == 3);
        CHECK(stats.copied > 10);
        CHECK(stats.hits > 0);
        CHECK(stats.dropped > 0);
        CHECK(stats.by_cpu == 0);
    }
}

TEST_CASE("what the CPU computes is promoted, and once all is there the bits are the GPU's") {
    const auto tokens = test::some_tokens(9);
    const test::WatchedGpu gpu(0);
    const auto copied = open(tier_options(GpuMisses::kCopy));
    const std::vector<float> expected = logits_of(*copied, tokens, {9});

    const auto runtime = open(tier_options(GpuMisses::kCpu));
    const std::vector<float> first = logits_of(*runtime, tokens, {3, 1, 1, 1, 3});
    const GpuTierStats early = *runtime->gpu_stats();
    CHECK(early.by_cpu > 0);
    CHECK(early.promoted > 0);
    CHECK(early.copied == 0);
    // The two sum in other orders and mean the same.
    CHECK(greatest_difference(first, expected) < 0.05);
    for (int i = 0; i < 12; ++i) {
        if (runtime->gpu_stats()->there == copied->gpu_stats()->there) break;
        static_cast<void>(logits_of(*runtime, tokens, {1, 1, 1, 1, 5}));
    }
    CHECK(runtime->gpu_stats()->there == copied->gpu_stats()->there);
    const uint64_t by_cpu = runtime->gpu_stats()->by_cpu;
    CHECK(logits_of(*runtime, tokens, {1, 1, 7}) == expected);
    CHECK(runtime->gpu_stats()->by_cpu == by_cpu);
}

TEST_CASE("who computes what is missing is measured where nobody said it") {
    const auto tokens = test::some_tokens(6);
    const test::WatchedGpu gpu(2);
    const std::vector<float> expected =
        logits_of(*open(tier_options(GpuMisses::kCopy)), tokens, {6});
    const auto runtime = open(tier_options(GpuMisses::kAuto));
    const std::vector<float> logits = logits_of(*runtime, tokens, {2, 1, 3});
    const GpuTierStats stats = *runtime->gpu_stats();
    CHECK(stats.by_cpu + stats.copied > 0);
    // What was measured with has left nothing behind.
    CHECK(runtime->plan().gpu_slots >= stats.slots);
    CHECK(greatest_difference(logits, expected) < 0.05);
}

TEST_CASE("few slots in memory and on the GPU: promotions never keep a layer from its experts") {
    const auto tokens = test::some_tokens(10);
    const test::WatchedGpu gpu(5);
    RuntimeOptions options = tier_options(GpuMisses::kCpu, budget_for(GpuMisses::kCpu, 3));
    options.ram_budget_bytes = room_for(options, 1);
    const auto runtime = open(options);
    static_cast<void>(logits_of(*runtime, tokens, {1, 1, 8}));
    static_cast<void>(logits_of(*runtime, tokens, {1, 1, 1, 7}));
    CHECK(runtime->gpu_stats()->slots == 3);
    CHECK(runtime->gpu_stats()->promoted >= 3);
}

TEST_CASE("experts of different sizes in one layer: a slot holds the largest, wherever it stands") {
    const auto matrix = [](WeightFormat format, int64_t outputs, int64_t inputs) {
        ExpertPart part;
        part.layout = {
            .format = format, .scale_format = ScaleFormat::kE8m0, .rows = outputs, .cols = inputs};
        return part;
    };
    const auto expert = [&](WeightFormat format) {
        ExpertRecord record;
        record.w1 = record.w3 = matrix(format, 128, 256);
        record.w2 = matrix(format, 256, 128);
        return record;
    };
    ExpertSource source({}, 2, 3);
    for (int32_t layer = 0; layer < 2; ++layer) {
        for (int32_t e = 0; e < 3; ++e) source.record({{layer}, {e}}) = expert(WeightFormat::kQ2s);
    }
    const uint64_t small = gpu_expert_sizes(source, LayerId{0}, 2, 8).slot_bytes;
    for (const ExpertKey large : {ExpertKey{{0}, {2}}, ExpertKey{{1}, {1}}}) {
        ExpertSource mixed = source;
        mixed.record(large) = expert(WeightFormat::kFp4);
        const GpuExpertSizes sizes = gpu_expert_sizes(mixed, LayerId{0}, 2, 8);
        CHECK(sizes.slot_bytes > small);
        CHECK(sizes.hidden == 256);
        CHECK(sizes.inner == 128);
        // A table is its layer's, also where a GPU has later layers alone.
        const GpuExpertSizes later = gpu_expert_sizes(mixed, LayerId{1}, 1, 8);
        REQUIRE(later.formats.size() == 1 + GpuTier::kPassingTables);
        const ExpertWeights four{.w1 = mixed.record(large).w1.layout,
                                 .w2 = mixed.record(large).w2.layout,
                                 .w3 = mixed.record(large).w3.layout};
        CHECK(later.formats[0].has(four) == (large.layer.value == 1));
        CHECK(sizes.formats[1].has(four) == (large.layer.value == 1));
    }
}

TEST_CASE("a step that is stopped anywhere leaves nothing behind on the GPU") {
    const auto tokens = test::some_tokens(6);
    std::vector<float> expected;
    {
        const test::WatchedGpu gpu(1);
        expected = logits_of(*open(tier_options(GpuMisses::kCopy)), tokens, {6});
    }
    const uint64_t budget = budget_for(GpuMisses::kCopy, 9);
    for (const uint64_t seed : {uint64_t{0}, uint64_t{2}}) {
        const test::WatchedGpu gpu(seed);
        const auto runtime = open(tier_options(GpuMisses::kCopy, budget));
        int stopped = 0;
        for (const int64_t stop_at : {3, 1, 6, 9, 12}) {
            Session session = test::new_session(*runtime);
            test::StopAt stopper(stop_at);
            runtime->step().watch(&stopper);
            const Status done = runtime->forward(session, tokens, LogitsWanted::kNone, {});
            runtime->step().watch(nullptr);
            if (done.ok()) continue;  // it asks no more so often
            ++stopped;
            CHECK(done.error().code == ErrorCode::kCancelled);
            CHECK(test::all_logits(*runtime, session, tokens, {6}) == expected);
        }
        CHECK(stopped >= 3);
        // No slot is kept for an expert that nobody waits for any more.
        CHECK(runtime->gpu_stats()->there == runtime->gpu_stats()->slots);
    }
}

TEST_CASE("what lay on a GPU that is lost is the cache's alone again") {
    const auto tokens = test::some_tokens(4);
    const test::WatchedGpu gpu(1);
    const auto runtime = open(tier_options(GpuMisses::kCopy));
    static_cast<void>(logits_of(*runtime, tokens, {4}));
    ExpertCache& cache = runtime->step().experts().cache;
    const ExpertSource& source = runtime->checkpoint().experts();
    const auto elsewhere = [&] {
        int32_t count = 0;
        for (int32_t layer = 0; layer < source.layers(); ++layer) {
            for (int32_t e = 0; e < source.experts(); ++e)
                count += cache.elsewhere({{layer}, {e}}) ? 1 : 0;
        }
        return count;
    };
    CHECK(elsewhere() == runtime->gpu_stats()->there);
    CHECK(elsewhere() > 0);
    cuda_sim::set_card({.calls_left = 0});
    REQUIRE(runtime->continue_on_cpu().ok());
    cuda_sim::set_card({});
    CHECK(elsewhere() == 0);
}

TEST_CASE("a budget of the GPU's memory is taken, and not overstepped") {
    const test::WatchedGpu gpu(6);
    cuda_sim::set_card({.memory_bytes = kMemory});
    const uint64_t budget = budget_for(GpuMisses::kCopy, 9);
    const uint64_t before = free_bytes();
    const auto runtime = open(tier_options(GpuMisses::kCopy, budget));
    const Session session = test::new_session(*runtime);
    const uint64_t taken = before - free_bytes();
    CHECK(runtime->plan().gpu_bytes() <= budget);
    CHECK(taken <= budget);
    // What the plan says, but for roundings of many small pieces.
    CHECK(static_cast<double>(taken) > 0.99 * static_cast<double>(runtime->plan().gpu_bytes()));
}

TEST_CASE("others take the GPU's memory: there are fewer experts, and the same answer") {
    const auto tokens = test::some_tokens(8);
    const test::WatchedGpu gpu(7);
    const std::vector<float> expected =
        logits_of(*open(tier_options(GpuMisses::kCopy)), tokens, {8});
    const uint64_t budget = budget_for(GpuMisses::kCopy, 40);

    // Not quite room for a second session: the rest of it comes from the experts.
    const MemoryPlan plan = open(tier_options(GpuMisses::kCopy, budget))->plan();
    const uint64_t slot = plan.gpu_expert_bytes / static_cast<uint64_t>(plan.gpu_slots);
    cuda_sim::set_card({.memory_bytes = plan.gpu_bytes() + plan.kv_bytes - 3 * slot});
    const auto runtime = open(tier_options(GpuMisses::kCopy, budget));
    const int32_t planned = runtime->plan().gpu_slots;
    CHECK(planned == 40);
    const int32_t slots = runtime->gpu_stats()->slots;
    CHECK(slots > 8);
    Session first = test::new_session(*runtime);
    CHECK(test::all_logits(*runtime, first, tokens, {8}) == expected);
    CHECK(runtime->gpu_stats()->slots == slots);
    Session second = test::new_session(*runtime);
    CHECK(test::all_logits(*runtime, second, tokens, {8}) == expected);
    CHECK(runtime->gpu_stats()->slots < slots);
    first.reset();
    CHECK(test::all_logits(*runtime, first, tokens, {3, 5}) == expected);
}

}  // namespace millrace
