// What lies on each of several GPUs: budgets, experts, and what is said where it does not fit or one is lost.

#include <algorithm>

#include "core/engine/sequence_model.h"
#include "tests/cuda/several_gpus_fixture.h"
#include "tests/support/cuda_sim/card.h"

namespace millrace::test {
namespace {

std::string refusal(const cuda_sim::Card& card, const RuntimeOptions& options) {
    cuda_sim::set_card(card);
    const auto runtime = Runtime::open(tiny_checkpoint("tiny-clamp"), options);
    cuda_sim::set_card({});
    REQUIRE(!runtime.ok());
    return runtime.error().message;
}

int32_t elsewhere(Runtime& runtime) {
    ExpertCache& cache = runtime.step().experts().cache;
    const ExpertSource& source = runtime.checkpoint().experts();
    int32_t count = 0;
    for (int32_t layer = 0; layer < source.layers(); ++layer) {
        for (int32_t e = 0; e < source.experts(); ++e)
            count += cache.elsewhere({{layer}, {e}}) ? 1 : 0;
    }
    return count;
}

uint64_t slot_bytes(const MemoryPlan& plan) {
    return plan.gpu_expert_bytes / static_cast<uint64_t>(plan.gpu_slots);
}

}  // namespace

TEST_CASE("each of several GPUs takes its budget and no more, and the plan says for what") {
    const WatchedGpu gpu(3);
    cuda_sim::set_card({.count = 2});
    RuntimeOptions options = several_options({0, 1});
    const MemoryPlan all = open_runtime(tiny_checkpoint("tiny-clamp"), options)->plan();
    REQUIRE(all.gpus.size() == 2);
    const uint64_t needed = std::max(all.gpus[0].needed_bytes(), all.gpus[1].needed_bytes());
    options.gpu.budget_bytes = needed + 6 * slot_bytes(all) + 17;
    REQUIRE(cuda_sim::used_bytes(0) + cuda_sim::used_bytes(1) == 0);
    const auto runtime = open_runtime(tiny_checkpoint("tiny-clamp"), options);
    const Session session = new_session(*runtime);
    const MemoryPlan& plan = runtime->plan();
    uint64_t sum = 0;
    for (const GpuShare& share : plan.gpus) {
        const uint64_t taken = cuda_sim::used_bytes(share.gpu);
        const uint64_t planned = share.needed_bytes() + share.expert_bytes;
        CHECK(share.slots >= 6);
        CHECK(planned <= options.gpu.budget_bytes);
        CHECK(taken <= options.gpu.budget_bytes);
        CHECK(static_cast<double>(taken) > 0.99 * static_cast<double>(planned));
        sum += planned;
    }
    CHECK(plan.gpu_bytes() == sum);
    CHECK(plan.gpus[0].layers + plan.gpus[1].layers == runtime->config().layer_count());
    CHECK_FALSE(plan.gpus[0].head);
    CHECK(plan.gpus[1].head);
    const std::string text = plan.text();
    CAPTURE(text);
    CHECK(text.find("on the GPUs: one chunk") != std::string::npos);
    CHECK(text.find(", " + std::to_string(plan.gpus[0].slots) + " slots") != std::string::npos);
    CHECK(text.find("on GPU 1") != std::string::npos);
    CHECK(text.find("-2 and the head") + text.find("layer 2 and the head") != std::string::npos);
}

TEST_CASE("a small and a big GPU: the layers go where there is room") {
    const WatchedGpu gpu(1);
    cuda_sim::set_card({.count = 2});
    const MemoryPlan equal = open_on({0, 1})->plan();
    // Hardly more than what lies on the first of them with one layer.
    const MemoryPlan three = [&] {
        cuda_sim::set_card({.count = 3});
        return open_on({0, 1, 2})->plan();
    }();
    const uint64_t small = (three.gpus[0].needed_bytes() + 3 * slot_bytes(equal)) * 8 / 7;
    cuda_sim::set_card({.count = 2, .each_memory_bytes = {small, uint64_t{1} << 32}});
    const auto runtime = open_on({0, 1});
    CHECK(runtime->plan().gpus[0].layers == 1);
    CHECK(runtime->plan().gpus[1].layers == 2);
    CHECK(runtime->plan().gpus[0].slots < runtime->plan().gpus[1].slots);
}

TEST_CASE("what is wrong with a list of GPUs is said in one sentence") {
    const WatchedGpu gpu(1);
    CHECK(refusal({.count = 2}, several_options({0, 2})) ==
          "there is no GPU number 2; this machine has 2, counted from 0");
    CHECK(refusal({.count = 2}, several_options({1, 0, 1})) ==
          "GPU 1 is named twice; each holds other layers of the model, so name it once (--gpu)");
    CHECK(refusal({.count = 2}, several_options({})) ==
          "no GPU is named; name one or several: --gpu 0,1");
    CHECK(refusal({.count = 4}, several_options({0, 1, 2, 3})) ==
          "4 GPUs are named, but this model has only 3 layers to lie on them; name fewer (--gpu)");
    const std::string taken =
        refusal({.count = 2, .each_memory_bytes = {uint64_t{1} << 32, uint64_t{1} << 20}},
                several_options({0, 1}));
    CAPTURE(taken);
    CHECK(taken.starts_with("896.00 KiB of GPU 1's memory may be taken, and "));
    CHECK(taken.find(" are needed there for layer") != std::string::npos);
    CHECK(taken.find("and the head (dense weights ") != std::string::npos);
}

TEST_CASE(
    "several tiers over one cache: few slots anywhere, the same bits, and marks that are right") {
    const auto tokens = some_tokens(14);
    std::vector<float> expected;
    uint64_t budget = 0;
    {
        const WatchedGpu gpu(1);
        cuda_sim::set_card({.count = 3});
        const auto one = open_on({0});
        Session session = new_session(*one);
        expected = all_logits(*one, session, tokens, {14});
        const MemoryPlan plan = open_on({0, 1, 2})->plan();
        for (const GpuShare& share : plan.gpus)
            budget = std::max(budget, share.needed_bytes() + 5 * slot_bytes(plan) + 100);
    }
    for (const int32_t more : {1, 4}) {
        const WatchedGpu gpu(more == 1 ? 0 : 2);
        cuda_sim::set_card({.count = 3});
        RuntimeOptions options = several_options({0, 1, 2});
        options.gpu.budget_bytes = budget;
        options.ram_budget_bytes =
            open_on({0})->expert_stats().slot_bytes * static_cast<uint64_t>(2 + more);
        const auto runtime = open_runtime(tiny_checkpoint("tiny-clamp"), options);
        for (const auto& chunks : {std::vector<int64_t>{14}, {1, 1, 3, 8, 1}, {1, 5, 1}}) {
            Session session = new_session(*runtime);
            CHECK(all_logits(*runtime, session, tokens, chunks) == expected);
        }
        const GpuTierStats stats = *runtime->gpu_stats();
        CHECK(stats.slots < runtime->plan().gpu_slots);  // copies pass through the others
        CHECK(stats.hits > 0);
        CHECK(stats.by_cpu == 0);
        CHECK(stats.dropped > 0);
        CHECK(elsewhere(*runtime) == stats.there);
        cuda_sim::set_card({.count = 3, .calls_left = 0, .loses = 2});
        REQUIRE(runtime->continue_on_cpu().ok());
        cuda_sim::set_card({.count = 3});
        CHECK(elsewhere(*runtime) == 0);
    }
}

TEST_CASE("promotions of one GPU never keep the next one's layers from their experts") {
    const WatchedGpu gpu(5);
    cuda_sim::set_card({.count = 3});
    RuntimeOptions options = several_options({0, 1, 2});
    options.gpu.misses = GpuMisses::kCpu;
    const auto all = open_runtime(tiny_checkpoint("tiny-clamp"), options);
    options.ram_budget_bytes =
        all->expert_stats().slot_bytes * static_cast<uint64_t>(all->config().experts_per_token + 1);
    const auto runtime = open_runtime(tiny_checkpoint("tiny-clamp"), options);
    for (int round = 0; round < 3; ++round) {
        Session session = new_session(*runtime);
        static_cast<void>(all_logits(*runtime, session, some_tokens(9), {1, 1, 1, 6}));
    }
    CHECK(runtime->gpu_stats()->promoted > 3);
    CHECK(elsewhere(*runtime) == runtime->gpu_stats()->there);
}

TEST_CASE("the GPU that has no room for another session gives up experts, the other does not") {
    const auto tokens = some_tokens(6);
    const WatchedGpu gpu(7);
    cuda_sim::set_card({.count = 2});
    RuntimeOptions options = several_options({0, 1});
    const MemoryPlan all = open_runtime(tiny_checkpoint("tiny-clamp"), options)->plan();
    std::vector<uint64_t> memory;
    for (const GpuShare& share : all.gpus)
        memory.push_back(share.needed_bytes() + share.expert_bytes + share.kv_bytes);
    memory[1] -= 3 * slot_bytes(all);
    options.gpu.budget_bytes = uint64_t{1} << 40;
    // The plan of the first: all of its experts; of the second, too. The second session does not fit.
    std::vector<float> expected;
    {
        const auto roomy = open_runtime(tiny_checkpoint("tiny-clamp"), options);
        Session session = new_session(*roomy);
        expected = all_logits(*roomy, session, tokens, {6});
    }
    cuda_sim::set_card({.count = 2, .each_memory_bytes = memory});
    const auto runtime = open_runtime(tiny_checkpoint("tiny-clamp"), options);
    REQUIRE(runtime->plan().gpu_slots == all.gpu_slots);
    Session first = new_session(*runtime);
    CHECK(all_logits(*runtime, first, tokens, {6}) == expected);
    const int32_t slots = runtime->gpu_stats()->slots;
    const uint64_t before = cuda_sim::used_bytes(0);
    Session second = new_session(*runtime);
    CHECK(runtime->gpu_stats()->slots < slots);
    CHECK(cuda_sim::used_bytes(0) > before);
    CHECK(cuda_sim::used_bytes(0) <= before + all.gpus[0].kv_bytes);
    CHECK(cuda_sim::used_bytes(0) + slot_bytes(all) > before + all.gpus[0].kv_bytes);
    CHECK(all_logits(*runtime, second, tokens, {2, 4}) == expected);
    CHECK(all_logits(*runtime, second, tokens, {6}).size() == expected.size());
}

TEST_CASE("one of several GPUs is lost: the CPU goes on from the last whole token") {
    const WatchedGpu gpu(1);
    const auto tokens = some_tokens(10);
    const Path checkpoint = tiny_checkpoint("tiny-clamp");
    RuntimeOptions on_cpu = several_options({0});
    on_cpu.ops = "cpu";
    const auto cpu = open_runtime(checkpoint, on_cpu);
    Session session = new_session(*cpu);
    const auto expected = all_logits(*cpu, session, tokens, {10});
    const auto vocabulary = static_cast<size_t>(cpu->config().vocabulary);
    for (const int lost : {0, 1}) {
        for (const int64_t calls : {0, 12}) {
            CAPTURE(lost);
            CAPTURE(calls);
            cuda_sim::set_card({.count = 2});
            auto model = make_sequence_model(open_on({0, 1}), {});
            REQUIRE(model.ok());
            REQUIRE((*model)->append(std::span(tokens).first(6), {}).ok());
            CHECK_FALSE((*model)->lost_gpu());
            cuda_sim::set_card({.count = 2, .calls_left = calls, .loses = lost});
            std::vector<float> logits(vocabulary);
            bool was_lost = false;
            for (size_t t = 6; t < tokens.size(); ++t) {
                REQUIRE((*model)->append(std::span(tokens).subspan(t, 1), logits).ok());
                was_lost = (*model)->lost_gpu();
                if (!was_lost) continue;
                CHECK(std::ranges::equal(logits,
                                         std::span(expected).subspan(t * vocabulary, vocabulary)));
            }
            CHECK(was_lost);
            CHECK((*model)->keep(tokens).tokens == 9);
            cuda_sim::set_card({.count = 2});
        }
    }
}

}  // namespace millrace::test
