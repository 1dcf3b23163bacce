// The three-stage DSpark drafter against the official code: trunk logits, target hidden states, drafts, confidences.

#include <doctest/doctest.h>

#include "core/engine/draft.h"
#include "core/engine/kv_cache.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/tiny_model.h"

namespace millrace {

using test::compare;
using test::Comparison;

TEST_CASE("DSpark drafts of tiny-0731") {
    constexpr int64_t kPrefill = 130;  // as the golden run did
    const test::GoldenTensors golden("model/tiny-0731/draft.safetensors");
    const auto tokens = test::token_ids(golden.values<int32_t>("tokens"));
    const auto expected_hidden = golden.values<Bf16>("main_hidden");
    const auto expected_trunk = golden.values<float>("logits");  // positions 122…169
    const auto expected_ids = golden.values<int32_t>("draft_ids");
    const auto expected_logits = golden.values<float>("draft_logits");  // of the first 20
    const auto expected_confidence = golden.values<float>("draft_confidence");

    const auto runtime = test::open_runtime(test::tiny_checkpoint("tiny-0731"));
    const auto vocabulary = static_cast<size_t>(runtime->config().vocabulary);
    auto drafter = DsparkDrafter::create(runtime->step());
    REQUIRE(drafter.ok());
    Session session = test::new_session(*runtime);
    const size_t hidden_width = expected_hidden.size() / tokens.size();

    Comparison hidden;
    Comparison trunk;
    Comparison ids;
    Comparison draft_logits;
    Comparison confidence;
    const auto step = [&](int64_t first, int64_t count) {
        std::vector<float> logits(static_cast<size_t>(count) * vocabulary);
        REQUIRE(runtime
                    ->forward(session,
                              std::span(tokens).subspan(static_cast<size_t>(first),
                                                        static_cast<size_t>(count)),
                              LogitsWanted::kAll,
                              {logits.data(), count, runtime->config().vocabulary})
                    .ok());
        const auto rows = runtime->step().main_hidden();
        for (int64_t r = 0; r < count; ++r) {
            hidden += compare<Bf16>(
                rows.row(r),
                std::span(expected_hidden)
                    .subspan(static_cast<size_t>(first + r) * hidden_width, hidden_width));
            if (first + r < 122) continue;
            trunk += compare<float>(
                std::span<const float>(logits).subspan(static_cast<size_t>(r) * vocabulary,
                                                       vocabulary),
                std::span(expected_trunk)
                    .subspan(static_cast<size_t>(first + r - 122) * vocabulary, vocabulary));
        }
        (*drafter)->commit(rows, first, session.kv());
        return logits;
    };
    step(0, kPrefill);
    std::vector<float> logits(5 * vocabulary);
    for (size_t i = 0; i < 40; ++i) {
        const int64_t position = kPrefill + static_cast<int64_t>(i);
        const auto row = step(position, 1);
        const auto next = static_cast<int32_t>(std::ranges::max_element(row) - row.begin());
        const auto draft = (*drafter)->draft(position, TokenId{next}, session.kv(),
                                             {logits.data(), 5, runtime->config().vocabulary});
        REQUIRE(draft.ok());
        std::vector<int32_t> drafted;
        for (const TokenId id : draft->tokens) drafted.push_back(id.value);
        ids += compare<int32_t>(drafted, std::span(expected_ids).subspan(6 * i, 6));
        confidence +=
            compare<float>(draft->confidence, std::span(expected_confidence).subspan(5 * i, 5));
        if (i < 20) {
            draft_logits += compare<float>(
                std::span<const float>(logits),
                std::span(expected_logits).subspan(i * logits.size(), logits.size()));
        }
    }
    CHECK(hidden.unequal == 0);
    CHECK(trunk.unequal == 0);
    CHECK(ids.unequal == 0);
    CHECK(draft_logits.unequal == 0);
    CHECK(confidence.unequal == 0);
    MESSAGE("main_hidden: ", hidden.text());
    MESSAGE("trunk logits: ", trunk.text());
    MESSAGE("draft ids: ", ids.text());
    MESSAGE("draft logits: ", draft_logits.text());
    MESSAGE("confidences: ", confidence.text());
}

}  // namespace millrace
