// Whole-model logits against the official code, for every way tried of cutting a sequence into prefill and decode.

#include <doctest/doctest.h>

#include "core/base/random.h"
#include "core/base/strings.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

using test::compare;
using test::Comparison;

// Sizes that end chunks before, at and behind every kind of block, and random ones.
std::vector<std::vector<int64_t>> splits_for(int64_t tokens, uint64_t seed) {
    std::vector<std::vector<int64_t>> splits = {{512}};
    if (tokens <= 150) splits.push_back({1});
    if (tokens <= 400) {
        splits.push_back({tokens / 2 + 1, 1});
        splits.push_back({127, 1, 1, 128});
        splits.push_back({3, 5, 4, 129});
    }
    Random random(seed);
    std::vector<int64_t> cut;
    for (int64_t sum = 0; sum < tokens; sum += cut.back()) {
        cut.push_back(1 + static_cast<int64_t>(random.below(60)));
    }
    splits.push_back(cut);
    return splits;
}

void check_logits(const std::string& model) {
    CAPTURE(model);
    const test::GoldenTensors golden("model/" + model + "/logits.safetensors");
    const auto runtime = test::open_runtime(test::tiny_checkpoint(model));
    const auto vocabulary = static_cast<size_t>(runtime->config().vocabulary);
    Comparison total;
    int64_t runs = 0;
    for (int i = 0; golden.has(cat("tokens.", i)); ++i) {
        const auto tokens = test::token_ids(golden.values<int32_t>(cat("tokens.", i)));
        const auto expected = golden.values<float>(cat("logits.", i));
        const auto n = static_cast<int64_t>(tokens.size());
        for (const auto& split : splits_for(n, static_cast<uint64_t>(i))) {
            Session session = test::new_session(*runtime);
            const auto logits = test::all_logits(*runtime, session, tokens, split);
            // Some goldens hold only the last positions.
            const auto tail = std::span(logits).last(expected.size());
            const Comparison c = compare<float>(tail, expected);
            CHECK_MESSAGE(c.unequal == 0, model, " tokens.", i, " from pieces of ", split.front(),
                          ": ", c.text());
            total += c;
            ++runs;
        }
        REQUIRE(expected.size() % vocabulary == 0);
    }
    MESSAGE(model, ": ", runs, " runs, ", total.text());
}

}  // namespace

TEST_CASE("logits of tiny-flash") { check_logits("tiny-flash"); }
TEST_CASE("logits of tiny-pro") { check_logits("tiny-pro"); }
TEST_CASE("logits of tiny-base") { check_logits("tiny-base"); }
TEST_CASE("logits of tiny-clamp") { check_logits("tiny-clamp"); }

}  // namespace millrace
