// What `millrace eval` reads, and what it says.

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

#include "app/eval_texts.h"
#include "core/base/strings.h"
#include "tests/support/golden.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

Conversation demo_conversation() {
    auto conversation = Conversation::open(test::demo_checkpoint(), EffortTable::preview());
    REQUIRE(conversation.ok());
    return *std::move(conversation);
}

// What `millrace eval ARGUMENTS` writes to standard output, line by line; its exit status must be 0.
std::vector<Json> eval_rows(const std::string& arguments) {
    const test::TempDirectory room;
    const std::string out = (room.path() / "out").string();
    const std::string command =
        cat("'", MILLRACE_BINARY, "' eval --json ", arguments, " </dev/null >'", out, "'");
    const int status = std::system(command.c_str());
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    return test::read_lines(out);
}

double number(const Json& row, std::string_view name) {
    const Json* value = row.find(name);
    REQUIRE_MESSAGE(value != nullptr, std::string(name));
    return *value->as_double();
}

}  // namespace

TEST_CASE("held-out texts are the prompts of the chat with the expected answers") {
    const Conversation conversation = demo_conversation();
    const auto files = find_eval_files(test::demo_checkpoint() / "eval");
    REQUIRE(files.ok());
    CHECK(files->size() == 12);
    for (const Path& file : *files) {
        CAPTURE(file.string());
        const auto read = read_eval_class(file, conversation, 5);
        REQUIRE(read.ok());
        CHECK(read->name == file.stem());
        const auto rows = test::read_lines(file);
        REQUIRE(read->texts.size() == 5);
        for (size_t i = 0; i < read->texts.size(); ++i) {
            const std::string text =
                *rows[i].find("prompt")->as_string() + *rows[i].find("expected")->as_string();
            const auto ids = conversation.tokenizer().encode(text, Specials::kRecognise);
            CHECK(read->texts[i] == *ids);
        }
    }
}

TEST_CASE("own texts: plain ones spell no special token, wrong ones are named") {
    const Conversation conversation = demo_conversation();
    const test::TempDirectory room;
    const auto read = [&](const char* name, std::string_view text) {
        REQUIRE(write_file(room.path() / name, text).ok());
        return read_eval_class(room.path() / name, conversation, 10);
    };
    const auto plain = read("book.txt", "a <｜User｜> b");
    REQUIRE(plain.ok());
    REQUIRE(plain->texts.size() == 1);
    const auto& ids = plain->texts[0];
    CHECK(conversation.tokenizer().is_special(ids.front()));
    for (size_t i = 1; i < ids.size(); ++i) CHECK(!conversation.tokenizer().is_special(ids[i]));
    CHECK(plain->tokens() == static_cast<int64_t>(ids.size()));
    const auto line = read("lines.jsonl", "\n{\"text\": \"a <｜User｜> b\"}\n\n");
    REQUIRE(line.ok());
    CHECK(line->texts == plain->texts);

    const auto wrong = [&](const char* name, std::string_view text) {
        const auto result = read(name, text);
        REQUIRE(!result.ok());
        return result.error().message;
    };
    CHECK(wrong("empty.txt", "").find("holds no text") != std::string::npos);
    CHECK(wrong("a.jsonl", "{\"text\": \"a\"}\n{\"messages\": []}").find("line 2") !=
          std::string::npos);
    CHECK(wrong("b.jsonl", "{\"messages\": 3, \"expected\": \"\"}").find("line 1") !=
          std::string::npos);
    CHECK(!find_eval_files(room.path() / "nowhere").ok());
}

TEST_CASE("a text longer than the context is cut, and every token is predicted once") {
    std::vector<TokenId> text;
    for (int32_t i = 0; i < 10; ++i) text.push_back({i});
    CHECK(cut_to_context(text, 10) == std::vector<std::vector<TokenId>>{text});
    const auto parts = cut_to_context(text, 4);
    REQUIRE(parts.size() == 3);
    CHECK(parts[0] == std::vector<TokenId>{{0}, {1}, {2}, {3}});
    CHECK(parts[1] == std::vector<TokenId>{{0}, {4}, {5}, {6}});
    CHECK(parts[2] == std::vector<TokenId>{{0}, {7}, {8}, {9}});
}

TEST_CASE("eval prints a row for each file and one for all") {
    const std::string files =
        cat("'", (test::demo_checkpoint() / "eval/json.jsonl").string(), "' '",
            (test::demo_checkpoint() / "eval/story.jsonl").string(), "'");
    const auto rows = eval_rows(cat("--texts 1 --files ", files));
    REQUIRE(rows.size() == 3);
    CHECK(*rows[0].find("class")->as_string() == "json");
    CHECK(*rows[1].find("class")->as_string() == "story");
    CHECK(*rows[2].find("class")->as_string() == "all");
    CHECK(number(rows[2], "tokens") == number(rows[0], "tokens") + number(rows[1], "tokens"));
    for (const Json& row : rows) {
        CHECK(number(row, "perplexity") > 1);
        CHECK(number(row, "perplexity") < 10);
        CHECK(number(row, "top1_equal") > 0.9);
    }
    // Against itself, in other pieces and with a small budget for both: nothing differs. The chunk is no part of the result.
    const auto same = eval_rows(
        cat("--ops reference --texts 1 --prefill-chunk 7 --ram-budget 2M --files ", files));
    REQUIRE(same.size() == 3);
    for (size_t i = 0; i < same.size(); ++i) {
        CHECK(number(same[i], "largest_difference") == 0);
        CHECK(number(same[i], "mean_divergence") == 0);
        CHECK(number(same[i], "perplexity") == number(rows[i], "reference_perplexity"));
    }
}

TEST_CASE(
    "eval --against compares two models in one arithmetic, and counts answers that are right") {
    const std::string demo = test::demo_checkpoint().string();
    const std::string files =
        cat("'", demo, "/eval/tool_call.jsonl' '", demo, "/eval/story.jsonl'");
    const auto rows = eval_rows(cat("--texts 4 --part 2/2 --against '", demo, "' --files ", files));
    REQUIRE(rows.size() == 3);
    for (const Json& row : rows) {
        CHECK(*row.find("against")->as_string() == demo);
        CHECK(number(row, "largest_difference") == 0);
        CHECK(number(row, "exact") == number(row, "reference_exact"));
    }
    CHECK(number(rows[0], "texts") == 2);
    CHECK(number(rows[0], "answers") == 2);
    CHECK(number(rows[0], "exact") == 2);  // tool calls it knows by heart
    CHECK(number(rows[1], "exact") == 0);  // a story has no one right end
    const std::string other =
        cat("'", MILLRACE_BINARY, "' eval --against '",
            test::tiny_checkpoint("tiny-flash").string(), "' --files ", files, " >/dev/null 2>&1");
    CHECK(WEXITSTATUS(std::system(other.c_str())) == 1);
}

}  // namespace millrace
