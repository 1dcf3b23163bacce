#include "core/engine/memory_plan.h"

#include <doctest/doctest.h>

namespace millrace {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

MemoryPlan some_plan() {
    return {.dense_bytes = 1000 * kMiB,
            .expert_bytes = 4000 * kMiB,
            .expert_slots = 400,
            .experts_total = 1000,
            .kv_bytes = 100 * kMiB,
            .scratch_bytes = 50 * kMiB};
}

bool says(const Status& status, std::string_view part) {
    return !status.ok() && status.error().message.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("slots: what the budget holds, never more than there are experts") {
    CHECK(slots_in(1000, 100, 64) == 10);
    CHECK(slots_in(1099, 100, 64) == 10);
    CHECK(slots_in(99, 100, 64) == 0);
    CHECK(slots_in(~uint64_t{0}, 100, 64) == 64);
}

TEST_CASE("a plan within the limit passes, and so does one without a limit") {
    CHECK(some_plan().total_bytes() == 5150 * kMiB);
    CHECK(check_limit(some_plan(), 7, std::nullopt).ok());
    CHECK(check_limit(some_plan(), 7, 6000 * kMiB).ok());
    CHECK(check_limit(some_plan(), 7, 5182 * kMiB).ok());
}

TEST_CASE("a limit below the plan: the sentence names plan, limit, and a budget that fits") {
    const Status refused = check_limit(some_plan(), 7, 2182 * kMiB);
    CHECK(says(refused, "5.03 GiB"));
    CHECK(says(refused, "2.13 GiB"));
    CHECK(says(refused, "--ram-budget 1000M"));
    CHECK(refused.error().code == ErrorCode::kCapacity);
    // What it advises is accepted.
    MemoryPlan smaller = some_plan();
    smaller.expert_slots = slots_in(1000 * kMiB, 10 * kMiB, 1000);
    smaller.expert_bytes = static_cast<uint64_t>(smaller.expert_slots) * 10 * kMiB;
    CHECK(check_limit(smaller, 7, 2182 * kMiB).ok());
}

TEST_CASE("what lies on a GPU is no memory of the host's, and must fit the GPU") {
    MemoryPlan plan = some_plan();
    CHECK(plan.gpu_bytes() == 0);
    CHECK(check_gpu(plan, 0).ok());
    plan.on_gpu = true;
    CHECK(plan.gpu_bytes() == 1150 * kMiB);
    CHECK(plan.host_bytes() == 4000 * kMiB);
    CHECK(check_limit(plan, 7, 4032 * kMiB).ok());
    CHECK(check_gpu(plan, 1150 * kMiB).ok());
    const Status refused = check_gpu(plan, 1149 * kMiB);
    CHECK(
        says(refused, "1.12 GiB of the GPU's memory may be taken, and 1.12 GiB are needed there"));
    CHECK(says(refused, "--ops cpu"));
    // Slots there are no need: they take what is left.
    plan.gpu_slots = 10;
    plan.gpu_expert_bytes = 500 * kMiB;
    plan.gpu_work_bytes = 20 * kMiB;
    plan.host_scratch_bytes = 7 * kMiB;
    CHECK(plan.gpu_bytes() == 1670 * kMiB);
    CHECK(plan.host_bytes() == 4007 * kMiB);
    CHECK(check_gpu(plan, 1170 * kMiB).ok());
    CHECK_FALSE(check_gpu(plan, 1169 * kMiB).ok());
    CHECK(plan.text().find("10 slots") != std::string::npos);
    CHECK(plan.text().find("on the GPU: one chunk") != std::string::npos);
}

TEST_CASE("shares of several GPUs are summed, named, and the one that lacks most is told") {
    GpuShare first{.gpu = 2,
                   .first_layer = 0,
                   .layers = 20,
                   .budget_bytes = 900 * kMiB,
                   .dense_bytes = 500 * kMiB,
                   .kv_bytes = 100 * kMiB,
                   .scratch_bytes = 30 * kMiB,
                   .work_bytes = 20 * kMiB,
                   .expert_bytes = 200 * kMiB,
                   .slots = 4,
                   .host_scratch_bytes = 3 * kMiB};
    GpuShare last = first;
    last.gpu = 0;
    last.first_layer = 20;
    last.layers = 1;
    last.head = true;
    last.budget_bytes = 640 * kMiB;
    const MemoryPlan plan = with_shares(some_plan(), {first, last});
    CHECK(plan.gpu_bytes() == 1700 * kMiB);
    CHECK(plan.gpu_slots == 8);
    CHECK(plan.host_scratch_bytes == 6 * kMiB);
    const std::string text = plan.text();
    CAPTURE(text);
    CHECK(text.find("on GPU 2          850.00 MiB  of these: layers 0-19, 4 slots") !=
          std::string::npos);
    CHECK(text.find("of these: layer 20 and the head, 4 slots") != std::string::npos);
    const Status refused = check_gpus(plan.gpus);
    CHECK(says(refused,
               "640.00 MiB of GPU 0's memory may be taken, and 650.00 MiB are needed "
               "there for layer 20 and the head (dense weights 500.00 MiB"));
    last.budget_bytes = 650 * kMiB;
    CHECK(check_gpus(std::vector{first, last}).ok());
    // Alone it is called as ever.
    last.budget_bytes = 0;
    CHECK(says(check_gpus(std::vector{last}), "0 B of the GPU's memory may be taken"));
}

TEST_CASE("a limit below everything: no budget is advised that would not do") {
    const Status refused = check_limit(some_plan(), 7, 1200 * kMiB);
    CHECK(says(refused, "--context"));
    CHECK(!says(refused, "--ram-budget"));
}

}  // namespace millrace
