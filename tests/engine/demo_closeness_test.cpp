// The cpu ops on weights that mean something: perplexity and best token of the demo model on some of its held-out texts,
// every ISA against the reference. `millrace eval` says the same for all of them.
//
// The model is sure of nearly every token, so a bf16 rounding that goes the other way changes hardly anything. Measured with
// the cpu ops: ln ratio 0.0001 to 0.0004, divergence 0.0001, best token equal in 99.7 to 99.8 %. The bounds leave room for
// more events of that kind; a rounding point left out or a sum with a wrong term is far above them.

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/strings.h"
#include "core/engine/logit_distance.h"
#include "core/text/tokenizer.h"
#include "tests/kernels/cpu_fixture.h"
#include "tests/support/golden.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

constexpr double kLogRatioMost = 0.005;    // nats a token: half a percent of perplexity
constexpr double kDivergenceMost = 0.002;  // nats a token
constexpr double kTop1Least = 0.99;

// The first two of each: short answers and long, quotes, a tool, a sum.
std::vector<std::vector<TokenId>> some_texts() {
    const auto tokenizer = Tokenizer::load(test::demo_checkpoint() / "tokenizer.json");
    REQUIRE(tokenizer.ok());
    std::vector<std::vector<TokenId>> out;
    for (const char* name : {"document", "json", "tool_call", "tour_thinking", "sum_thinking"}) {
        const auto rows = test::read_lines(test::demo_checkpoint() / "eval" / cat(name, ".jsonl"));
        for (size_t i = 0; i < 2; ++i) {
            const std::string text =
                *rows[i].find("prompt")->as_string() + *rows[i].find("expected")->as_string();
            out.push_back(*tokenizer->encode(text, Specials::kRecognise));
        }
    }
    return out;
}

std::vector<std::vector<float>> logits_of(const RuntimeOptions& options,
                                          const std::vector<std::vector<TokenId>>& texts) {
    const auto runtime = test::open_runtime(test::demo_checkpoint(), options);
    std::vector<std::vector<float>> out;
    for (const auto& text : texts) {
        Session session = test::new_session(*runtime);
        out.push_back(test::all_logits(*runtime, session, text, {512}));
    }
    return out;
}

}  // namespace

TEST_CASE("the demo model is as sure with the cpu ops as with the reference") {
    const auto texts = some_texts();
    const auto reference = logits_of(test::tiny_options(), texts);
    for (const Isa isa : available_isas()) {
        RuntimeOptions options = test::tiny_options();
        options.ops = "cpu";
        options.cpu.isa = isa;
        const auto logits = logits_of(options, texts);
        LogitDistance distance;
        for (size_t t = 0; t < texts.size(); ++t) {
            const size_t vocabulary = logits[t].size() / texts[t].size();
            for (size_t r = 0; r + 1 < texts[t].size(); ++r) {
                distance.add(std::span(reference[t]).subspan(r * vocabulary, vocabulary),
                             std::span(logits[t]).subspan(r * vocabulary, vocabulary),
                             texts[t][r + 1]);
            }
        }
        const std::string name(isa_name(isa));
        CAPTURE(name);
        MESSAGE(
            name, ": ", distance.rows(), " tokens, perplexity ", fixed(distance.perplexity(), 4),
            " (reference ", fixed(distance.reference_perplexity(), 4), "), ln ratio ",
            fixed(distance.log_ratio(), 6), ", divergence ", fixed(distance.mean_divergence(), 6),
            ", best token equal ", fixed(100 * distance.top1_equal(), 2), " %");
        CHECK(std::fabs(distance.log_ratio()) <= kLogRatioMost);
        CHECK(distance.mean_divergence() <= kDivergenceMost);
        CHECK(distance.top1_equal() >= kTop1Least);
    }
}

}  // namespace millrace
