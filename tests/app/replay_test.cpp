// `millrace trace` and `millrace replay`, run as people run them.

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/strings.h"
#include "offload/router_trace.h"
#include "tests/support/golden.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

// The exit status of `millrace ARGUMENTS`; what it writes goes to `out`.
int run(const std::string& arguments, const Path& out) {
    const int status = std::system(
        cat("'", MILLRACE_BINARY, "' ", arguments, " </dev/null >'", out.string(), "' 2>&1")
            .c_str());
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int64_t whole(const Json& row, std::string_view name) {
    const Json* value = row.find(name);
    REQUIRE_MESSAGE(value != nullptr, std::string(name));
    return *value->as_int();
}

}  // namespace

TEST_CASE("a recorded run is the same for every budget and can be replayed") {
    const test::TempDirectory room;
    const std::string text = (room.path() / "text.jsonl").string();
    REQUIRE(write_file(text, std::string_view("{\"text\": \"The river is high.\"}\n")).ok());
    const auto record = [&](std::string_view name, std::string_view budget) {
        const Path trace = room.path() / name;
        REQUIRE(run(cat("trace --max-tokens 4 --ram-budget ", budget, " --out '", trace.string(),
                        "' 'Tell me a story.' --files '", text, "'"),
                    room.path() / "out") == 0);
        return *read_text_file(trace, 1 << 20);
    };
    const std::string small = record("small", "1M"), large = record("large", "1G");
    CHECK(small == large);
    const auto trace = RouterTrace::parse(std::as_bytes(std::span(small)));
    REQUIRE(trace.ok());
    CHECK(trace->shape().layers == 5);
    CHECK(trace->shape().fixed == std::vector<uint8_t>{1, 1, 0, 0, 0});
    // The answer's four tokens and the text's come one by one, the prompt together.
    const auto rows = [&](size_t step) { return trace->steps()[step].rows; };
    CHECK(rows(0) == 1);
    CHECK(rows(trace->steps().size() - 1) == 1);

    const Path out = room.path() / "rows";
    REQUIRE(run(cat("replay --json --slots 12%,160 '", (room.path() / "small").string(), "'"),
                out) == 0);
    const std::vector<Json> table = test::read_lines(out);
    REQUIRE(table.size() == 2);
    CHECK(whole(table[0], "slots") == 19);
    CHECK(whole(table[0], "belady") <= whole(table[0], "millrace"));
    CHECK(whole(table[1], "lru") == whole(table[1], "belady"));  // everything fits
}

TEST_CASE("what replay cannot do is said in one sentence") {
    const test::TempDirectory room;
    const Path out = room.path() / "out";
    const Path garbage = room.path() / "garbage";
    REQUIRE(write_file(garbage, std::string_view("no trace")).ok());
    const auto says = [&](const std::string& arguments, std::string_view sentence) {
        CHECK(run(arguments, out) == 1);
        const std::string text = *read_text_file(out, 1 << 20);
        INFO(text);
        CHECK(text.find(sentence) != std::string::npos);
    };
    says("replay", "nothing to replay");
    says(cat("replay '", garbage.string(), "'"), "no router trace");
    says("replay --synthetic 1 --tokens 3 --slots 1", "no size of a cache");
    says("replay --synthetic 1 --tokens 3 --slots 200%", "no size of a cache");
    says("replay --synthetic 1 --tokens 3 --slots 12x", "no size of a cache");
    says(cat("trace --out '", out.string(), ".trace'"), "nothing to record");
}

}  // namespace millrace
