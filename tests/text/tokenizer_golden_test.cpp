#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/strings.h"
#include "tests/text/released_tokenizer.h"

namespace millrace::test {
namespace {

struct Counts {
    size_t texts = 0, ids = 0, unequal_texts = 0, unequal_ids = 0, not_inverse = 0;
};

void compare(const Tokenizer& tokenizer, const std::string& text, const Json& golden,
             Counts& counts) {
    const std::vector<TokenId> wanted = make_ids(golden);
    const std::vector<TokenId> got = ids_of(tokenizer, text);
    ++counts.texts;
    counts.ids += wanted.size();
    const size_t shared = std::min(wanted.size(), got.size());
    size_t unequal = std::max(wanted.size(), got.size()) - shared;
    for (size_t i = 0; i < shared; ++i) unequal += wanted[i] != got[i] ? 1 : 0;
    counts.unequal_ids += unequal;
    if (unequal > 0) {
        ++counts.unequal_texts;
        CHECK_MESSAGE(unequal == 0, quote_text(text, 200));
    }
    const auto back = tokenizer.decode(got);
    REQUIRE(back.ok());
    if (*back != text) ++counts.not_inverse;
}

void report(const std::string& name, const Counts& counts) {
    MESSAGE(name, ": ", counts.texts, " texts, ", counts.ids, " ids compared, ",
            counts.unequal_texts, " texts and ", counts.unequal_ids, " ids unequal, ",
            counts.not_inverse, " not decoded back");
    CHECK(counts.unequal_ids == 0);
    CHECK(counts.not_inverse == 0);
}

TEST_CASE("the released tokenizer equals the reference library on its vectors") {
    Counts counts;
    const Json vectors = read_golden_json("tokenizer/vectors.json");
    for (const Json& entry : vectors.items()) {
        compare(released_tokenizer(), *entry.find("t")->as_string(), *entry.find("ids"), counts);
    }
    CHECK(counts.texts == 2118);
    report("vectors.json", counts);
}

TEST_CASE("the released tokenizer equals the reference library on random Unicode") {
    Counts counts;
    for (const Json& entry : read_golden_lines("tokenizer/random-unicode.jsonl")) {
        compare(released_tokenizer(), *entry.find("text")->as_string(), *entry.find("ids"), counts);
    }
    CHECK(counts.texts == 500);
    report("random-unicode.jsonl", counts);
}

}  // namespace
}  // namespace millrace::test
