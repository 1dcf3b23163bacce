#pragma once
// The tokenizers under test, loaded once for all cases of this directory.

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/text/tokenizer.h"
#include "tests/support/golden.h"

namespace millrace::test {

inline const std::string& released_tokenizer_text() {
    static const std::string text = read_golden("tokenizer/tokenizer.json");
    return text;
}

inline const Tokenizer& released_tokenizer() {
    static const Tokenizer tokenizer = [] {
        auto loaded = Tokenizer::parse(released_tokenizer_text());
        if (!loaded.ok()) FAIL(loaded.error().message);
        return *std::move(loaded);
    }();
    return tokenizer;
}

inline const Tokenizer& demo_tokenizer() {
    static const Tokenizer tokenizer = [] {
        auto loaded = Tokenizer::load(Path(MILLRACE_SOURCE_DIR) / "assets/demo/tokenizer.json");
        if (!loaded.ok()) FAIL(loaded.error().message);
        return *std::move(loaded);
    }();
    return tokenizer;
}

inline std::vector<TokenId> make_ids(std::initializer_list<int32_t> values) {
    std::vector<TokenId> ids;
    for (const int32_t value : values) ids.push_back({value});
    return ids;
}

inline std::vector<TokenId> make_ids(const Json& list) {
    std::vector<TokenId> ids;
    for (const Json& item : list.items()) {
        ids.push_back({static_cast<int32_t>(item.as_int().value_or(-1))});
    }
    return ids;
}

// The ids, or a failed test.
inline std::vector<TokenId> ids_of(const Tokenizer& tokenizer, std::string_view text,
                                   Specials specials = Specials::kRecognise) {
    auto ids = tokenizer.encode(text, specials);
    REQUIRE(ids.ok());
    return *std::move(ids);
}

}  // namespace millrace::test
