#pragma once
// What --help prints: a page per verb, made from the same description that reads the flags.

#include <span>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace millrace {

struct ManualText {
    std::string_view name, summary;
    std::string_view usage;        // what follows `millrace NAME`
    std::string_view description;  // paragraphs
    std::string_view examples;     // lines
};

// All verbs, in the order in which they are listed (manual_texts.cpp).
[[nodiscard]] std::span<const ManualText> manual_texts();
// Null when there is no such verb.
[[nodiscard]] const ManualText* manual_of(std::string_view verb);

// `app` has the flags of the verb.
[[nodiscard]] std::string manual_page(const CLI::App& app, const ManualText& text);
// The page of the program itself.
[[nodiscard]] std::string manual_overview(std::span<const ManualText> verbs);

// `text` in lines of at most `columns` characters, each after `indent` blanks; newlines stay.
[[nodiscard]] std::string wrap(std::string_view text, size_t indent, size_t columns);

}  // namespace millrace
