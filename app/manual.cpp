#include "app/manual.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <vector>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr size_t kColumns = 79;
constexpr size_t kFlagColumns = 26;

std::string padded(std::string text, size_t columns) {
    text.resize(std::max(text.size() + 2, columns), ' ');
    return text;
}

// "N:INT in [1 - 8]" → "N": CLI11 adds what it checks; the description says it in words.
std::string unit_of(const CLI::Option& option) {
    const std::string name = option.get_type_name();
    return name.substr(0, name.find(':'));
}

std::string flag(const CLI::Option& option) {
    std::string name = cat("  --", option.get_lnames().front());
    if (option.get_items_expected_max() > 0) name += cat(" ", unit_of(option));
    const std::string text = wrap(option.get_description(), kFlagColumns, kColumns);
    if (name.size() + 2 > kFlagColumns) return cat(name, "\n", text);
    return padded(std::move(name), kFlagColumns) + text.substr(kFlagColumns);
}

// Group by group, in the order in which the groups appear; --help, which CLI11 puts first, comes last.
std::string flags(const CLI::App& app) {
    std::vector<const CLI::Option*> named;
    for (const CLI::Option* option : app.get_options()) {
        if (!option->get_lnames().empty()) named.push_back(option);
    }
    std::ranges::rotate(named, named.begin() + 1);
    std::vector<std::string> groups;
    for (const CLI::Option* option : named) {
        if (std::ranges::find(groups, option->get_group()) == groups.end()) {
            groups.push_back(option->get_group());
        }
    }
    std::string out;
    for (const std::string& group : groups) {
        out += cat("\n", group, "\n");
        for (const CLI::Option* option : named) {
            if (option->get_group() == group) out += flag(*option);
        }
    }
    return out;
}

}  // namespace

std::string wrap(std::string_view text, size_t indent, size_t columns) {
    const std::string margin(indent, ' ');
    std::string out;
    while (!text.empty()) {
        const size_t newline = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, newline);
        text.remove_prefix(std::min(newline + 1, text.size()));
        while (line.size() + indent > columns) {
            size_t cut = line.rfind(' ', columns - indent);
            if (cut == std::string_view::npos || cut == 0) break;  // a word longer than the line
            out += cat(margin, line.substr(0, cut), "\n");
            line.remove_prefix(cut + 1);
        }
        out += line.empty() ? "\n" : cat(margin, line, "\n");
    }
    return out;
}

std::string manual_page(const CLI::App& app, const ManualText& text) {
    return cat("millrace ", text.name, " - ", text.summary, "\n\nUSAGE\n  millrace ", text.name,
               " ", text.usage, "\n\nDESCRIPTION\n", wrap(text.description, 2, kColumns),
               flags(app), "\nEXAMPLES\n", wrap(text.examples, 2, kColumns),
               "\nEXIT CODES\n"
               "  0  done\n"
               "  1  failed; one sentence on standard error says what and why\n"
               "  2  the command line is wrong\n");
}

std::string manual_overview(std::span<const ManualText> verbs) {
    std::string out =
        "millrace - runs DeepSeek-V4 on this machine, its experts streamed from the drive\n\n"
        "USAGE\n  millrace [VERB] [FLAGS]\n\nVERBS\n";
    for (const ManualText& verb : verbs) {
        out += padded(cat("  ", verb.name), 12) + std::string(verb.summary) + "\n";
    }
    out +=
        "\n  Without a verb: chat. `millrace VERB --help` is the manual page of a verb.\n"
        "\nFLAGS\n"
        "  --help      this text\n"
        "  --version   the version\n";
    return out;
}

}  // namespace millrace
