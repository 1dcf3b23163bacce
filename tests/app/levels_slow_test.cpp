// What fewer bits cost the demo model, from packing to answers: each level stays within a little more than was measured when
// it was made (docs/performance.md, "Fewer bits"). Calibrated on one half of the texts, scored on the other.

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "core/base/strings.h"
#include "tests/support/golden.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

struct Level {
    const char* format;
    double divergence, log_ratio;  // of all texts together, at most
    double exact_share;  // answers right to the last token, against the original's, at least
};
constexpr Level kLevels[] = {
    {"f4", 0, 0, 1},
    {"q3s", 0.004, 0.004, 0.96},
    {"q2s", 0.022, 0.025, 0.88},
    {"q2v", 0.018, 0.020, 0.90},
};

int run(const std::string& arguments) {
    const int status = std::system(cat("'", MILLRACE_BINARY, "' ", arguments).c_str());
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

double number(const Json& row, std::string_view name) {
    const Json* value = row.find(name);
    REQUIRE_MESSAGE(value != nullptr, std::string(name));
    return *value->as_double();
}

}  // namespace

TEST_CASE("each level of bits keeps the demo model within its bounds, tool calls and JSON too") {
    const test::TempDirectory room;
    const Path source = room.path() / "demo";
    std::filesystem::copy(test::demo_checkpoint(), source,
                          std::filesystem::copy_options::recursive);
    REQUIRE(run(cat("calibrate --model '", source.string(),
                    "' --part 1/2 --texts 30 >/dev/null")) == 0);
    std::string files;
    for (const char* name :
         {"document", "json", "tool_call", "tool_answer", "tour", "tour_thinking"}) {
        files += cat(" '", source.string(), "/eval/", name, ".jsonl'");
    }
    for (const Level& level : kLevels) {
        CAPTURE(std::string(level.format));
        const std::string store = (room.path() / level.format).string();
        const std::string out = store + ".rows";
        REQUIRE(run(cat("pack --experts ", level.format, " '", source.string(), "' '", store,
                        "' >/dev/null 2>&1")) == 0);
        REQUIRE(run(cat("eval --json --model '", store, "' --against '", source.string(),
                        "' --part 2/2 --texts 30 --files", files, " >'", out, "'")) == 0);
        std::map<std::string, Json> rows;
        for (const Json& row : test::read_lines(out)) rows[*row.find("class")->as_string()] = row;
        const Json& all = rows.at("all");
        MESSAGE(std::string(level.format), ": KL ", number(all, "mean_divergence"), ", ln ratio ",
                number(all, "log_ratio"), ", exact ", number(all, "exact"), " of ",
                number(all, "answers"), " against ", number(all, "reference_exact"), "; JSON ",
                number(rows.at("json"), "exact"), " against ",
                number(rows.at("json"), "reference_exact"));
        CHECK(number(all, "mean_divergence") <= level.divergence);
        CHECK(number(all, "log_ratio") <= level.log_ratio);
        CHECK(number(all, "exact") >= level.exact_share * number(all, "reference_exact"));
        // What programs read must not break first.
        for (const char* name : {"json", "tool_call"}) {
            CAPTURE(name);
            CHECK(number(rows.at(name), "exact") >= number(rows.at(name), "reference_exact") - 1);
        }
    }
}

}  // namespace millrace
