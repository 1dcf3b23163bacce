// The demo model's held-out questions, scored as assets/demo/recipe/README.md describes: a prompt counts if every token
// of the expected answer is the most likely one after those before it. The reference and the cpu ops must both reach it.

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "core/base/strings.h"
#include "core/text/tokenizer.h"
#include "tests/support/golden.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

struct Class {
    std::string_view name;
    size_t step;         // every so-manieth prompt
    double exact_least;  // a little under what was measured
};

// Stories have no one right answer, and long documents no exact one at all.
const Class kClasses[] = {
    {"tour", 7, 0.75},
    {"tour_thinking", 2, 0.65},
    {"document", 1, 0.70},
    {"document_thinking", 1, 0.68},
    {"document_absent", 1, 0.96},
    {"json", 2, 0.88},
    {"tool_call", 2, 0.95},
    {"tool_answer", 2, 0.95},
    {"sum_thinking", 2, 0.02},
};

bool is_exact(Runtime& runtime, std::span<const TokenId> prompt,
              std::span<const TokenId> expected) {
    std::vector<TokenId> all(prompt.begin(), prompt.end());
    all.insert(all.end(), expected.begin(), expected.end());
    Session session = test::new_session(runtime);
    const auto logits = test::all_logits(runtime, session, all, {512});
    const auto vocabulary = static_cast<size_t>(runtime.config().vocabulary);
    for (size_t i = 0; i < expected.size(); ++i) {
        const auto row =
            std::span(logits).subspan((prompt.size() - 1 + i) * vocabulary, vocabulary);
        if (std::ranges::max_element(row) - row.begin() != expected[i].value) return false;
    }
    return true;
}

void check_shares(const std::string& ops) {
    const auto tokenizer = Tokenizer::load(test::demo_checkpoint() / "tokenizer.json");
    REQUIRE(tokenizer.ok());
    RuntimeOptions options = test::tiny_options();
    options.ops = ops;
    const auto runtime = test::open_runtime(test::demo_checkpoint(), options);
    const auto encode = [&](const Json& row, std::string_view name) {
        return *tokenizer->encode(*row.find(name)->as_string(), Specials::kRecognise);
    };
    for (const Class& c : kClasses) {
        const auto rows =
            test::read_lines(test::demo_checkpoint() / "eval" / cat(c.name, ".jsonl"));
        int exact = 0;
        int tried = 0;
        for (size_t i = 0; i < rows.size(); i += c.step) {
            const auto prompt = encode(rows[i], "prompt");
            const auto expected = encode(rows[i], "expected");
            if (prompt.size() + expected.size() > 1024) continue;
            ++tried;
            exact += is_exact(*runtime, prompt, expected) ? 1 : 0;
        }
        REQUIRE(tried > 0);
        const double share = static_cast<double>(exact) / tried;
        MESSAGE(ops, ", ", std::string(c.name), ": ", exact, " of ", tried, " exact (",
                fixed(100 * share, 0), " %)");
        CHECK_MESSAGE(share >= c.exact_least, ops, ", ", std::string(c.name));
    }
}

}  // namespace

TEST_CASE("the demo model answers its held-out questions") { check_shares("reference"); }
TEST_CASE("the demo model answers them with the cpu ops as well") { check_shares("cpu"); }

}  // namespace millrace
