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

namespace {

struct DraftGolden {
    test::GoldenTensors file{"model/tiny-0731/draft.safetensors"};
    std::vector<TokenId> tokens = test::token_ids(file.values<int32_t>("tokens"));
    std::vector<Bf16> hidden = file.values<Bf16>("main_hidden");
    std::vector<float> trunk = file.values<float>("logits");  // positions 122…169
    std::vector<int32_t> ids = file.values<int32_t>("draft_ids");
    std::vector<float> logits = file.values<float>("draft_logits");  // of the first 20
    std::vector<float> confidence = file.values<float>("draft_confidence");
};

}  // namespace

TEST_CASE("DSpark drafts of tiny-0731") {
    constexpr int64_t kPrefill = 130;  // as the golden run did
    const DraftGolden golden;
    const std::vector<TokenId>& tokens = golden.tokens;
    const auto runtime = test::open_runtime(test::tiny_checkpoint("tiny-0731"));
    const auto vocabulary = static_cast<size_t>(runtime->config().vocabulary);
    auto drafter = DsparkDrafter::create(runtime->step());
    REQUIRE(drafter.ok());
    Session session = test::new_session(*runtime);
    const size_t hidden_width = golden.hidden.size() / tokens.size();

    Comparison hidden, trunk, ids, draft_logits, confidence;
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
                std::span(golden.hidden)
                    .subspan(static_cast<size_t>(first + r) * hidden_width, hidden_width));
            if (first + r < 122) continue;
            trunk += compare<float>(
                std::span<const float>(logits).subspan(static_cast<size_t>(r) * vocabulary,
                                                       vocabulary),
                std::span(golden.trunk)
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
        ids += compare<int32_t>(drafted, std::span(golden.ids).subspan(6 * i, 6));
        confidence +=
            compare<float>(draft->confidence, std::span(golden.confidence).subspan(5 * i, 5));
        if (i < 20) {
            draft_logits +=
                compare<float>(std::span<const float>(logits),
                               std::span(golden.logits).subspan(i * logits.size(), logits.size()));
        }
    }
    const std::pair<const char*, Comparison> figures[] = {{"main_hidden", hidden},
                                                          {"trunk logits", trunk},
                                                          {"draft ids", ids},
                                                          {"draft logits", draft_logits},
                                                          {"confidences", confidence}};
    for (const auto& [name, figure] : figures) {
        CHECK_MESSAGE(figure.unequal == 0, std::string(name));
        MESSAGE(std::string(name), ": ", figure.text());
    }
}

}  // namespace millrace
