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
    for (const char* verb : {"", "chat", "run", "inspect", "tokens", "prompt", "logits", "bench",
                             "eval", "pack", "verify"}) {
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

TEST_CASE("an answer that the context cuts off says so") {
    const std::string question = "--context 24 'What is a hash layer?'";
    const Done text = run(cat("run ", question));
    CHECK(text.out.size() > 10);
    check_refused(text, "the context of 24 tokens is full");
    const Done json = run(cat("run --json ", question));
    CHECK(json.status == 0);
    CHECK(says(json.out, "\"reason\":\"context\""));
}

TEST_CASE(
    "run with any arithmetic and any threads; what makes no sense is refused with what would") {
    for (const char* flags : {"--ops reference", "--isa scalar", "--isa scalar --threads 1",
                              "--threads 3", "--activations int8"}) {
        const Done done = run(cat("run --temperature 0 ", flags, " 'What is a hash layer?'"));
        CHECK_MESSAGE(done.status == 0, done.err);
        CHECK_MESSAGE(says(done.out, "experts are chosen by a table from the token id"), flags);
    }
    // One CPU: as many threads as it can run.
    CHECK(std::system(cat("taskset -c 0 '", MILLRACE_BINARY, "' run hello >/dev/null").c_str()) ==
          0);
    check_refused(run("run --threads 0 hello"), "1 to 1024");
    check_refused(run("run --threads -2 hello"), "1 to 1024");
    check_refused(run("run --threads many hello"), "1 to 1024");
    check_refused(run("run --isa avx9 hello"), "scalar, avx2, avx512, avx512bf16");
    check_refused(run("run --ops abacus hello"), "abacus");
    // Without a GPU, or in a build without CUDA; with both it answers.
    const Done gpu = run("run --temperature 0 --ops cuda 'What is a hash layer?'");
    if (gpu.status != 0) check_refused(gpu, "take --ops cpu");
    check_refused(run("run --gpu 0 hello"), "--gpu belongs to --ops cuda");
    check_refused(run("run --ops cuda --gpu 1,0,1 hello"), "--gpu names GPU 1 twice");
    for (const char* list : {"0,", ",1", "0,,1", "one", "-1", "''", "0.1"}) {
        check_refused(run(cat("run --ops cuda --gpu ", list, " hello")),
                      "--gpu takes the number of a GPU, or several with commas between");
    }
    check_refused(run("run --vram-budget 4G hello"), "--vram-budget belongs to --ops cuda");
    check_refused(run("run --gpu-misses copy hello"), "--gpu-misses belongs to --ops cuda");
    check_refused(run("run --ops cuda --vram-budget many hello"), "--vram-budget: ");
    check_refused(run("run --ops cuda --gpu-misses never hello"), "never");
    check_refused(run("run --activations fp7 hello"), "fp7");
    check_refused(run("run --ops reference --isa scalar hello"), "--ops cpu");
}

TEST_CASE("run --json says what memory was planned and what the process takes") {
    const Done done = run("run --json --temperature 0 --max-tokens 2 hello");
    REQUIRE(done.status == 0);
    const size_t last = done.out.rfind('\n', done.out.size() - 2);
    const Json line = first_line(done.out.substr(last + 1));
    const Json* memory = line.find("stats")->find("memory");
    REQUIRE(memory != nullptr);
    const auto bytes = [&](const char* name) { return *memory->find(name)->as_int(); };
    CHECK(bytes("plan_bytes") > 12'000'000);
    CHECK(bytes("resident_bytes") > 5'000'000);
    CHECK(bytes("resident_bytes") == bytes("own_bytes") + bytes("mapped_bytes"));
    CHECK(bytes("huge_bytes") <= bytes("own_bytes"));
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

TEST_CASE("pack makes a store that answers alike, verify finds what is broken and mends it") {
    const test::TempDirectory room;
    const std::string store = (room.path() / "store").string(),
                      demo = MILLRACE_SOURCE_DIR "/assets/demo";
    const Done packed = run(cat("pack '", demo, "' '", store, "' --also '", store, "-b'"));
    REQUIRE_MESSAGE(packed.status == 0, packed.err);
    CHECK(says(packed.out, "is whole"));
    CHECK(packed.err.empty());
    CHECK(says(run(cat("pack '", demo, "' '", store, "' --also '", store, "-b'")).out, "already"));
    const Done answer = run(
        cat("run --temperature 0 --ram-budget 2M --model '", store, "' 'What is a hash layer?'"));
    CHECK_MESSAGE(says(answer.out, "experts are chosen by a table from the token id"), answer.err);
    CHECK(says(run(cat("inspect '", store, "'")).out, "spread over 2 directories"));
    CHECK(says(run(cat("verify '", store, "'")).out, "all sound"));

    const Path file = store + "-b/experts-003.bin";
    std::string bytes = *read_text_file(file, 1 << 24);
    bytes[4096 + 28672 * 5 + 77] ^= 1;  // the sixth record of the second half: expert 11
    REQUIRE(write_file(file, std::string_view(bytes)).ok());
    const Done broken = run(cat("verify '", store, "'"));
    CHECK(says(broken.out, "expert 11 of layer 3"));
    check_refused(broken, "--repair");
    const Done mended = run(cat("verify '", store, "' --repair '", demo, "'"));
    CHECK_MESSAGE(mended.status == 0, mended.err);
    CHECK(says(mended.out, "1 broken, 1 repaired"));
    CHECK(run(cat("verify '", store, "'")).status == 0);

    check_refused(run(cat("pack '", demo, "' '", store, "'")), "--also");
    check_refused(run(cat("pack '", demo, "' '", store, "2' --experts auto --size 1M")),
                  "the least is");
    check_refused(run(cat("pack '", demo, "' '", store, "2' --experts f8")), "without loss");
    check_refused(run(cat("pack /nonexistent '", store, "2'")), "/nonexistent");
    check_refused(run(cat("verify '", demo, "'")), "no store");
    CHECK(!std::filesystem::exists(store + "2"));
}

}  // namespace millrace
