// The demo model's greedy answers under canonical arithmetic: the same token ids as the official code gave.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/golden.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

std::vector<TokenId> ids_of(const Json& row, std::string_view name) {
    std::vector<TokenId> ids;
    for (const Json& id : row.find(name)->items())
        ids.push_back({static_cast<int32_t>(*id.as_int())});
    return ids;
}

struct Best {
    TokenId token;
    float margin = 0;  // to the second best
};

Best best_of(std::span<const float> logits) {
    const auto first = std::ranges::max_element(logits);
    float second = -INFINITY;
    for (auto at = logits.begin(); at != logits.end(); ++at) {
        if (at != first) second = std::max(second, *at);
    }
    return {{static_cast<int32_t>(first - logits.begin())}, *first - second};
}

}  // namespace

TEST_CASE("greedy answers of the demo model equal the transcripts") {
    const auto runtime = test::open_runtime(test::demo_checkpoint());
    const auto vocabulary = static_cast<size_t>(runtime->config().vocabulary);
    int64_t tokens = 0;
    int64_t different = 0;
    const auto rows = test::read_golden_lines("transcripts.jsonl");
    CHECK(rows.size() == 24);
    for (const Json& row : rows) {
        const auto prompt = ids_of(row, "prompt_ids");
        const auto answer = ids_of(row, "answer_ids");
        Session session = test::new_session(*runtime);
        const auto prefill = test::all_logits(*runtime, session, prompt, {512});
        Best best = best_of(std::span(prefill).last(vocabulary));
        float smallest = best.margin;
        std::vector<TokenId> got = {best.token};
        std::vector<float> logits(vocabulary);
        while (got.size() < answer.size()) {
            REQUIRE(runtime
                        ->forward(session, std::span(got).last(1), LogitsWanted::kLast,
                                  {logits.data(), 1, runtime->config().vocabulary})
                        .ok());
            best = best_of(logits);
            smallest = std::min(smallest, best.margin);
            got.push_back(best.token);
        }
        CHECK_MESSAGE(got == answer, *row.find("answer")->as_string());
        // The margin is a figure of its own: it comes from logits, not from which one is largest.
        const double golden_margin = *row.find("smallest_margin")->as_double();  // four decimals
        CHECK(std::fabs(static_cast<double>(smallest) - golden_margin) < 6e-5);
        tokens += static_cast<int64_t>(answer.size());
        for (size_t i = 0; i < answer.size(); ++i) different += got[i] != answer[i] ? 1 : 0;
    }
    MESSAGE("transcripts: ", tokens, " answer tokens, ", different, " different");
}

}  // namespace millrace
