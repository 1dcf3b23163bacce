// The KV archive as people meet it: a second question about the same text starts at once, nothing lies open, and what is
// wrong is said in a sentence.

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

#include "app/bench_archive.h"
#include "app/options.h"
#include "core/base/json.h"
#include "core/base/strings.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

struct Done {
    int status = 0;
    std::string out, err;
};

// A person with a home of their own.
struct Home {
    [[nodiscard]] Done run(const std::string& arguments) const {
        const auto at = [this](const char* name) { return (room.path() / name).string(); };
        const std::string command =
            cat("HOME='", home.string(), "' '", MILLRACE_BINARY, "' ", arguments, " </dev/null >'",
                at("out"), "' 2>'", at("err"), "'");
        const int status = std::system(command.c_str());
        REQUIRE(WIFEXITED(status));
        return {WEXITSTATUS(status), *read_text_file(at("out"), 1 << 24),
                *read_text_file(at("err"), 1 << 20)};
    }
    // Asks about the long text; tokens of the prompt that came from the archive, and the answer's ids.
    struct Answer {
        int64_t archived = 0;
        std::string ids, err;
    };
    [[nodiscard]] Answer ask(const std::string& flags = "") const {
        const Done done =
            run(cat("run --json --temperature 0 --max-tokens 6 ", flags, " '", text(), "'"));
        REQUIRE_MESSAGE(done.status == 0, done.err);
        const size_t last = done.out.rfind('\n', done.out.size() - 2);
        const auto line = Json::parse(std::string_view(done.out).substr(last + 1));
        REQUIRE(line.ok());
        return {*line->find("stats")->find("archived_tokens")->as_int(), line->find("ids")->dump(),
                done.err};
    }
    [[nodiscard]] static std::string text() {
        std::string text;
        for (int i = 0; i < 60; ++i) text += cat("The mill has stone number ", i, ". ");
        return text;
    }
    [[nodiscard]] size_t files(const Path& directory) const {
        std::error_code error;
        std::filesystem::directory_iterator entries(directory, error);
        return error ? 0 : static_cast<size_t>(std::distance(entries, {}));
    }

    test::TempDirectory room;
    Path home = room.path() / "home";
    Path state = home / ".local/state/millrace";
};

bool says(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

mode_t mode_of(const Path& path) {
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    return info.st_mode & 0777;
}

ArchiveOptions parsed(const std::vector<std::string>& flags, const Environment& environment) {
    std::vector<std::string> arguments = {"run", "hello"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const auto verb = parse_command_line(arguments, environment);
    REQUIRE(std::holds_alternative<Verb>(verb));
    return std::get<RunOptions>(std::get<Verb>(verb)).archive;
}

}  // namespace

TEST_CASE("a known text is not computed again, and answers the same") {
    const Home person;
    const Home::Answer first = person.ask(), second = person.ask();
    CHECK(first.archived == 0);
    CHECK(second.archived >= 512);
    CHECK(second.ids == first.ids);
    CHECK(second.err.empty());
    CHECK(person.ask("--kv-archive off").archived == 0);
    CHECK(person.ask("--threads 1 --prefill-chunk 100 --ram-budget 3M").archived ==
          second.archived);
    CHECK(person.ask("--activations int8").archived == 0);
    CHECK(mode_of(person.state) == 0700);
    CHECK(mode_of(person.state / "kv") == 0700);
    CHECK(mode_of(person.state / "kv.key") == 0600);

    const Done list = person.run("cache list");
    CHECK(list.status == 0);
    CHECK(says(list.out, "the demo model"));
    CHECK(says(list.out, "last used 20"));
    const Done prune = person.run("cache prune --kv-budget 1M");
    CHECK(prune.status == 0);
    uint64_t left = 0;
    for (const auto& entry : std::filesystem::directory_iterator(person.state / "kv")) {
        if (entry.path().extension() == ".rows" || entry.path().extension() == ".edge") {
            left += entry.file_size();
        }
    }
    CHECK(left > 0);
    CHECK(left <= 1 << 20);
    const Done erase = person.run("cache erase");
    CHECK(erase.status == 0);
    CHECK(says(erase.out, "0 B of KV state left"));
    CHECK(person.files(person.state / "kv") == 0);
    CHECK(!std::filesystem::exists(person.state / "kv.key"));
    CHECK(person.ask().archived == 0);
}

TEST_CASE("a key that others may read stops the program; a lost one costs pages and is told once") {
    const Home person;
    CHECK(person.ask().archived == 0);
    REQUIRE(::chmod((person.state / "kv.key").c_str(), 0644) == 0);
    for (const char* verb : {"run hello", "cache list"}) {
        const Done done = person.run(verb);
        CHECK(done.status == 1);
        CHECK(says(done.err, "mode 0644"));
        CHECK(says(done.err, "chmod 0600"));
    }
    CHECK(person.run("run --kv-archive off hello").status == 0);
    std::filesystem::remove(person.state / "kv.key");
    const Home::Answer lost = person.ask();
    CHECK(lost.archived == 0);
    CHECK(says(lost.err, "sealed with another key"));
    CHECK(lost.err.find("sealed with") == lost.err.rfind("sealed with"));
    CHECK(person.ask().archived >= 512);
    CHECK(person.run("cache prune").status == 0);
    CHECK(person.ask().err.empty());
}

TEST_CASE("an archive elsewhere, no home, no room to write") {
    const Home person;
    const std::string elsewhere = (person.room.path() / "elsewhere").string();
    CHECK(person.ask(cat("--kv-archive '", elsewhere, "'")).archived == 0);
    CHECK(person.ask(cat("--kv-archive '", elsewhere, "'")).archived >= 512);
    CHECK(person.ask().archived == 0);  // its pages are not here
    CHECK(says(person.run(cat("cache list --kv-archive '", elsewhere, "'")).out, elsewhere));

    Home lost;
    lost.home = "nowhere";  // no absolute path, no home
    CHECK(lost.ask().archived == 0);
    CHECK(lost.ask().err.empty());
    CHECK(lost.run(cat("run --kv-archive '", elsewhere, "' hello")).status == 1);
    lost.home = "/dev/null";  // a home that takes nothing
    const Home::Answer answer = lost.ask();
    CHECK(says(answer.err, "going on without the KV archive"));
    CHECK(person.run("run --kv-archive /dev/null/kv hello").status == 1);
    CHECK(person.run("run --kv-budget lots hello").status == 2);
    CHECK(person.run("cache burn").status == 2);
}

TEST_CASE("where the archive lies") {
    using Use = ArchiveOptions::Use;
    Environment environment;
    CHECK(parsed({}, environment).state_directory.empty());
    CHECK(parsed({}, environment).use == Use::kDefault);
    environment.home = "/people/one";
    CHECK(parsed({}, environment).state_directory == "/people/one/.local/state/millrace");
    CHECK(parsed({}, environment).directory == "/people/one/.local/state/millrace/kv");
    environment.state_home = "relative";
    CHECK(parsed({}, environment).directory == "/people/one/.local/state/millrace/kv");
    environment.state_home = "/state";
    CHECK(parsed({}, environment).directory == "/state/millrace/kv");
    CHECK_FALSE(parsed({}, environment).budget_bytes.has_value());
    const ArchiveOptions chosen =
        parsed({"--kv-archive", "/big/kv", "--kv-budget", "3G"}, environment);
    CHECK(chosen.use == Use::kChosen);
    CHECK(chosen.directory == "/big/kv");
    CHECK(chosen.state_directory == "/state/millrace");
    CHECK(chosen.budget_bytes == uint64_t{3} << 30);
    CHECK(parsed({"--kv-archive", "off"}, environment).use == Use::kOff);
}

TEST_CASE("bench archive loads what it computed, with the same bits, and leaves nothing behind") {
    const test::TempDirectory room;
    SystemClock clock;
    BenchReport report(nullptr, BenchFormat::kTable, "");
    const BenchSetting setting{.timing = {.clock = clock, .repeat = 2, .least_ns = 0},
                               .sizes = BenchSizes::tiny(),
                               .isa = best_isa(),
                               .threads = 1};
    ArchiveBench bench;
    bench.model.directory = test::demo_checkpoint();
    bench.tokens = 400;
    bench.directory = room.path() / "bench";
    const Status status = bench_archive(setting, bench, report);
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
    CHECK(report.rows().size() == 5);
    for (const BenchRow& row : report.rows()) CHECK(row.value > 0);
    CHECK_FALSE(std::filesystem::exists(bench.directory));
}

}  // namespace millrace
