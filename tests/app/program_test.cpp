// The program as people run it: verbs, exit codes, sentences.

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "core/base/strings.h"
#include "tests/support/golden.h"
#include "tests/support/temp_directory.h"

namespace millrace {
namespace {

struct Done {
    int status = 0;
    std::string out, err;
};

// Runs `millrace ARGUMENTS` in a shell with `input` as standard input.
Done run(const std::string& arguments, std::string_view input = "") {
    const test::TempDirectory room;
    const auto at = [&room](const char* name) { return (room.path() / name).string(); };
    REQUIRE(write_file(at("in"), input).ok());
    const std::string command = cat("'", MILLRACE_BINARY, "' ", arguments, " <'", at("in"), "' >'",
                                    at("out"), "' 2>'", at("err"), "'");
    const int status = std::system(command.c_str());
    REQUIRE(WIFEXITED(status));
    return {WEXITSTATUS(status), *read_text_file(at("out"), 1 << 28),
            *read_text_file(at("err"), 1 << 20)};
}

bool says(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

Json first_line(const std::string& text) {
    auto json = Json::parse(std::string_view(text).substr(0, text.find('\n')));
    REQUIRE_MESSAGE(json.ok(), text);
    return *std::move(json);
}

// One sentence on standard error, the status of a failure, nothing made up on standard output.
void check_refused(const Done& done, std::string_view part) {
    CHECK(done.status != 0);
    CHECK(done.err.starts_with("millrace: "));
    CHECK_MESSAGE(says(done.err, part), done.err);
}

}  // namespace

TEST_CASE("version, help and what is no verb") {
    CHECK(run("--version").status == 0);
    for (const char* verb : {"", "chat", "run", "inspect", "tokens", "prompt", "logits"}) {
        const Done help = run(cat(verb, " --help"));
        CHECK(help.status == 0);
        CHECK(says(help.out, "millrace"));
        CHECK(help.err.empty());
    }
    CHECK(run("mill").status != 0);
    CHECK(run("chat --ram-budget lots").status != 0);
}

TEST_CASE("inspect says what the demo model is, and refuses what is none") {
    const Done done = run("inspect '" MILLRACE_SOURCE_DIR "/assets/demo'");
    CHECK(done.status == 0);
    CHECK(says(done.out, "32 a layer, 4 a token"));
    CHECK(says(done.out, "12,643,342"));
    check_refused(run("inspect /nonexistent"), "/nonexistent");
}

TEST_CASE("tokens go there and back, line by line") {
    const Done ids = run("tokens", "{\"text\": \"<think>water wheel\"}\n");
    REQUIRE(ids.status == 0);
    const Json line = first_line(ids.out);
    REQUIRE(line.find("ids") != nullptr);
    const Done text = run("tokens", line.dump() + "\n");
    REQUIRE(text.status == 0);
    CHECK(*first_line(text.out).find("text")->as_string() == "<think>water wheel");

    const Done bad = run("tokens", "{\"text\": \"a\"}\n{\"text\": \"\\ud800\"}\n");
    check_refused(bad, "2");
    CHECK(says(bad.out, "ids"));  // the good line before it
}

TEST_CASE("prompt renders a golden conversation") {
    const auto conversations = test::read_golden_lines("chat/random-conversations.jsonl");
    std::string input;
    for (size_t i = 0; i < 20; ++i) input += conversations[i].dump() + "\n";
    const Done done = run("prompt", input);
    CHECK(done.status == 0);
    size_t at = 0;
    for (size_t i = 0; i < 20; ++i) {
        const size_t end = done.out.find('\n', at);
        REQUIRE(end != std::string::npos);
        const auto line = Json::parse(std::string_view(done.out).substr(at, end - at));
        REQUIRE(line.ok());
        CHECK(*line->find("prompt")->as_string() == *conversations[i].find("text")->as_string());
        at = end + 1;
    }
    check_refused(run("prompt", "{\"messages\": 7}\n"), "messages");
}

TEST_CASE("run answers greedily as the transcript does, whatever the budget") {
    for (const char* flags : {"", "--ram-budget 2M", "--ram-budget 2M --io pread --direct off"}) {
        const Done done = run(cat("run --temperature 0 ", flags, " 'What is a hash layer?'"));
        CHECK_MESSAGE(done.status == 0, done.err);
        CHECK(says(done.out, "experts are chosen by a table from the token id"));
    }
    const Done lines = run("run --json --temperature 0", "Who are you?");
    CHECK(lines.status == 0);
    CHECK(first_line(lines.out).is_object());
    check_refused(run("run --ram-budget 4K hello"), "--ram-budget");
    check_refused(run("run --model /nonexistent hello"), "/nonexistent");
}

TEST_CASE("logits writes every position, or nothing") {
    const test::TempDirectory room;
    const std::string out = (room.path() / "logits.safetensors").string();
    const std::string ids = (room.path() / "ids.json").string();
    REQUIRE(write_file(Path(ids), std::string_view("[0, 5, 6, 7, 300]")).ok());
    const Done done =
        run(cat("logits --tokens '", ids, "' --prefill 3 --threads 2 --out '", out, "'"));
    CHECK_MESSAGE(done.status == 0, done.err);
    const auto bytes = read_text_file(out, 1 << 24);
    REQUIRE(bytes.ok());
    CHECK(says(*bytes, "\"logits\""));
    CHECK(bytes->size() > 5 * 4096 * 4);
    CHECK(bytes->size() < 5 * 4096 * 4 + 4096);

    check_refused(run(cat("logits --tokens '", ids, "' --out /dev/full")), "/dev/full");
    REQUIRE(write_file(Path(ids), std::string_view("[0, 99999]")).ok());
    check_refused(run(cat("logits --tokens '", ids, "' --out '", out, "2'")), "99999");
    CHECK(!std::filesystem::exists(out + "2"));
}

TEST_CASE("chat in a pipe: a line is a message, and nothing moves the cursor") {
    const Done done = run("chat", "What is a hash layer?\n/stats\n/think high\n/new\n/quit\n");
    CHECK_MESSAGE(done.status == 0, done.err);
    CHECK(says(done.out, "experts are chosen by a table from the token id"));
    CHECK(!says(done.out, "\x1b"));
    CHECK(!says(done.err, "\x1b"));
}

}  // namespace millrace
