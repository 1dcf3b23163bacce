// The workshop of the window with everything on one thread: what it finds, packs, checks and keeps.

#include "app/desktop_workshop.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include "tests/support/small_checkpoint.h"
#include "tests/support/synthetic.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {
namespace {

struct World {
    World() {
        const Json config = small_config();
        std::filesystem::create_directories(models() / "small");
        write_checkpoint(models() / "small", config, synthetic_tensors(config), 1);
        open();
    }
    void open() {
        workshop.reset();
        WorkshopParts parts;
        parts.state_directory = directory.path() / "state";
        parts.home = directory.path();
        parts.look = inline_lane();
        parts.work = inline_lane();
        parts.wake = [] {};
        parts.now_s = [this] { return now_s += 0.25; };
        parts.wall_ms = [] { return int64_t{1'700'000'000'000}; };
        workshop = open_workshop(std::move(parts));
        settle();
    }
    void settle() {
        while (workshop->tick()) {
        }
    }
    [[nodiscard]] Path models() const { return directory.path() / "models"; }
    [[nodiscard]] const KnownModel* find(const Path& path) const {
        const auto& all = workshop->state().models;
        const auto found = std::ranges::find(all, path, &KnownModel::directory);
        return found == all.end() ? nullptr : &*found;
    }

    TempDirectory directory;
    double now_s = 0;
    std::unique_ptr<Workshop> workshop;
};

}  // namespace

TEST_CASE("the demo is always there; a directory of models is looked through, and remembered") {
    World world;
    REQUIRE(world.workshop->state().models.size() == 1);
    CHECK(world.workshop->state().models[0].demo);
    CHECK(world.workshop->state().models[0].problem.empty());
    world.workshop->add_directory(world.models());
    world.settle();
    REQUIRE(world.find(world.models() / "small") != nullptr);
    CHECK(world.find(world.models() / "small")->problem.empty());
    CHECK_FALSE(world.find(world.models() / "small")->store);
    world.open();
    CHECK(world.find(world.models() / "small") != nullptr);

    world.workshop->add_directory(world.directory.path() / "state");
    world.settle();
    REQUIRE(world.find(world.directory.path() / "state") != nullptr);
    CHECK(world.find(world.directory.path() / "state")->problem.find("no model") !=
          std::string::npos);
    world.workshop->forget_directory(world.models() / "small");
    world.settle();
    CHECK(world.find(world.models() / "small") == nullptr);
    CHECK(std::filesystem::exists(world.models() / "small" / "config.json"));
}

TEST_CASE("packing makes a store that passes the check, and a damaged one does not") {
    World world;
    world.workshop->add_directory(world.models());
    world.settle();
    PackWish wish{.source = world.models() / "small", .destination = {}, .size_bytes = {}};
    CHECK(!world.workshop->pack_hindrance(wish).empty());
    wish.destination = wish.source;
    CHECK(world.workshop->pack_hindrance(wish).find("itself") != std::string::npos);
    wish.destination = world.models() / "packed";
    CHECK(world.workshop->pack_hindrance(wish) == "");
    world.workshop->pack(wish);
    world.settle();
    const Work& work = world.workshop->state().work;
    CHECK_FALSE(work.running);
    CHECK_MESSAGE(!work.bad, work.result);
    CHECK(work.done_bytes == work.total_bytes);
    CHECK(work.total_bytes > 0);
    REQUIRE(world.find(wish.destination) != nullptr);
    CHECK(world.find(wish.destination)->store);

    world.workshop->verify(wish.destination);
    world.settle();
    CHECK_MESSAGE(!work.bad, work.result);
    CHECK(work.result.find("sound") != std::string::npos);

    for (const auto& entry : std::filesystem::directory_iterator(wish.destination)) {
        if (entry.path().extension() != ".bin") continue;
        std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(entry.file_size()) - 5000);
        file.put(0x55);
        file.put(0x2a);
        break;
    }
    world.workshop->verify(wish.destination);
    world.settle();
    CHECK(work.bad);
    CHECK(!work.details.empty());

    // A checkpoint has no checksums to compare with.
    world.workshop->verify(wish.source);
    world.settle();
    CHECK(work.bad);
    CHECK(!work.result.empty());
}

TEST_CASE("what fits is said of every release, with the numbers it stands on") {
    World world;
    world.workshop->fit("");
    world.settle();
    const WorkshopState& state = world.workshop->state();
    REQUIRE(state.fits.size() == 4);
    CHECK(state.fit_problem == "");
    CHECK_FALSE(state.fitting);
    CHECK_FALSE(state.machine.measured());
    for (const Fit& fit : state.fits) {
        CAPTURE(fit.name);
        CHECK(fit.name.starts_with("DeepSeek"));
        CHECK((fit.why_not.empty() ? fit.decode > 0 && !fit.terms.empty() : fit.decode == 0));
        CHECK(fit.why_not.find("--") == std::string::npos);
        double seconds = 0;
        for (const Fit::Term& term : fit.terms) seconds += term.counts ? term.seconds : 0;
        if (fit.why_not.empty()) CHECK(1 / seconds == doctest::Approx(fit.decode));
    }
}

TEST_CASE("runs of the benchmark are kept, newest first, until they are to be forgotten") {
    World world;
    world.workshop->keep({.at_ms = 0, .model = "first", .memory = "", .points = {{.context = 7}}});
    world.workshop->keep({.at_ms = 0, .model = "second", .memory = "", .points = {}});
    world.open();
    REQUIRE(world.workshop->state().runs.size() == 2);
    CHECK(world.workshop->state().runs[0].model == "second");
    CHECK(world.workshop->state().runs[1].at_ms == 1'700'000'000'000);
    CHECK(world.workshop->state().runs[1].points.at(0).context == 7);
    world.workshop->forget_runs();
    world.open();
    CHECK(world.workshop->state().runs.empty());
}

}  // namespace millrace::test
