// The plan against the system's own count of what this process holds in memory. Sanitizers keep memory of their own, so
// builds with one leave this file out.

#include <doctest/doctest.h>
#include <malloc.h>

#include <numeric>

#include "core/base/machine.h"
#include "core/base/strings.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

// About 300 MiB, half of it dense weights, half experts: large against everything that a plan does not count,
// such as the 64 KiB around a scale that the system maps with it.
Json wide_config() {
    Json config = test::small_config();
    config.set("vocab_size", 131072);
    config.set("hidden_size", 256);
    config.set("n_routed_experts", 256);
    config.set("moe_intermediate_size", 512);
    config.set("num_nextn_predict_layers", 0);
    return config;
}

RuntimeOptions wide_options() {
    RuntimeOptions options = test::tiny_options();
    options.ops = "cpu";
    options.context_max = 384;
    options.prefill_chunk = 128;
    return options;
}

// The session's whole context in full chunks, with the logits of the last token.
void fill(Runtime& runtime, Session& session, std::span<float> logits) {
    std::vector<TokenId> chunk(static_cast<size_t>(runtime.options().prefill_chunk));
    while (session.length() < session.context_max()) {
        for (size_t i = 0; i < chunk.size(); ++i) {
            const auto token = static_cast<size_t>(session.length()) * 131 + i * 17;
            chunk[i] = {static_cast<int32_t>(token % logits.size())};
        }
        REQUIRE(runtime
                    .forward(session, chunk, LogitsWanted::kLast,
                             {logits.data(), 1, static_cast<int64_t>(logits.size())})
                    .ok());
    }
}

// What the tokens of one short text do not touch: every row of the tables by token, every expert.
void read_the_rest(Runtime& runtime) {
    const ModelWeights& weights = runtime.checkpoint().weights();
    const auto touch = [](std::span<const std::byte> bytes) {
        unsigned sum = 0;
        for (size_t i = 0; i < bytes.size(); i += kPageBytes)
            sum += std::to_integer<unsigned>(bytes[i]);
        return sum;
    };
    unsigned sum = touch({weights.embed.codes, static_cast<size_t>(weights.embed.rows) *
                                                   static_cast<size_t>(weights.embed.cols) * 2});
    const Experts experts = runtime.step().experts();
    for (size_t l = 0; l < weights.layers.size(); ++l) {
        sum += touch(std::as_bytes(weights.layers[l].moe.tid2eid));
        for (int32_t e = 0; e < runtime.config().experts; ++e) {
            const ExpertId id{e};
            auto batch = experts.cache.acquire(LayerId{static_cast<int32_t>(l)}, {&id, 1});
            REQUIRE(batch.ok());
            const auto ready = batch->next();
            REQUIRE((ready.ok() && *ready));
        }
    }
    CHECK(sum > 0);
}

// Code, libraries and allocator have been used once; what comes now is the model's.
uint64_t settled_bytes() {
    const auto runtime = test::open_runtime(test::demo_checkpoint(), wide_options());
    Session session = test::new_session(*runtime);
    std::vector<float> logits(static_cast<size_t>(runtime->config().vocabulary));
    fill(*runtime, session, logits);
    return logits.size();
}

}  // namespace

TEST_CASE(
    "resident memory equals the plan within 3 % once all of it was used, and is small before") {
    const test::TempDirectory directory;
    {
        const Json config = wide_config();
        test::write_checkpoint(directory.path(), config, test::synthetic_tensors(config), 2);
    }
    CHECK(settled_bytes() > 0);
    std::vector<float> logits(131072, 1.0F);
    ::malloc_trim(0);
    const ResidentMemory before_all = resident_memory();
    const uint64_t before = before_all.total_bytes;
    REQUIRE(before > 0);

    const auto runtime = test::open_runtime(directory.path(), wide_options());
    Session session = test::new_session(*runtime);
    const MemoryPlan& plan = runtime->plan();
    REQUIRE(plan.expert_slots == plan.experts_total);
    const auto share = [&](uint64_t tables) {
        return (static_cast<double>(resident_memory().total_bytes) - static_cast<double>(before)) /
               static_cast<double>(plan.total_bytes() + tables);
    };
    // Slots that a ring reads into and weights that were arranged are held from the start; what is reserved for activations
    // and KV state costs nothing yet.
    CHECK(share(plan.table_bytes) < 0.8);

    fill(*runtime, session, logits);
    read_the_rest(*runtime);
    const ResidentMemory now = resident_memory();
    MESSAGE("planned ", human_bytes(plan.total_bytes()), ", resident ",
            human_bytes(now.total_bytes - before), " more than before (",
            human_bytes(plan.dense_bytes), " planned and ",
            human_bytes(now.mapped_bytes - before_all.mapped_bytes), " resident of files), ",
            human_bytes(now.huge_bytes), " in huge pages");
    // Every row of the tables was looked up, so they are here too.
    CHECK(share(plan.table_bytes) > 0.97);
    CHECK(share(plan.table_bytes) < 1.03);
}

}  // namespace millrace
