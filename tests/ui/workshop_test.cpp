#include "ui/workshop.h"

#include <doctest/doctest.h>

#include "tests/ui/shell_world.h"
#include "ui/benchmark.h"

namespace millrace::test {
namespace {

// Does nothing but remember what it was asked for.
class ScriptedWorkshop final : public Workshop {
public:
    const WorkshopState& state() const override { return now; }
    bool tick() override { return ++ticks, false; }
    void add_directory(const Path& directory) override { added.push_back(directory); }
    void forget_directory(const Path& directory) override { forgotten.push_back(directory); }
    void refresh() override {}
    void fit(const std::string& format) override {
        fits.push_back(format);
        now.fitting = true;
    }
    void measure() override { begin(WorkKind::kMeasure); }
    void verify(const Path& directory) override {
        verified.push_back(directory);
        begin(WorkKind::kVerify);
    }
    void pack(const PackWish& wish) override {
        packed.push_back(wish);
        begin(WorkKind::kPack);
    }
    void cancel() override { now.work.stopping = true; }
    std::string pack_hindrance(const PackWish& wish) const override {
        return wish.destination.empty() ? "Say where the store is to go." : "";
    }
    void keep(BenchRun run) override { kept.push_back(std::move(run)); }
    void forget_runs() override { now.runs.clear(); }

    void begin(WorkKind kind) {
        now.work = {.kind = kind, .running = true, .subject = "", .result = {}, .details = {}};
    }
    void end(std::string result) {
        now.work.running = false;
        now.work.result = std::move(result);
    }

    WorkshopState now;
    int ticks = 0;
    std::vector<Path> added, forgotten, verified;
    std::vector<std::string> fits;
    std::vector<PackWish> packed;
    std::vector<BenchRun> kept;
};

KnownModel store_at(const Path& directory) {
    KnownModel model;
    model.directory = directory;
    model.name = directory.filename().string();
    model.what = "store";
    model.store = true;
    model.packed = {{"released", 2'000'000'000}, {"q3s", 1'000'000'000}};
    return model;
}

}  // namespace

TEST_CASE("what a job says of its progress") {
    Work work{
        .kind = WorkKind::kPack, .running = true, .subject = "x", .result = {}, .details = {}};
    CHECK(progress_text(work).empty());
    work.total_bytes = 10'000'000'000;
    work.found_bytes = 2'000'000'000;
    work.done_bytes = 4'000'000'000;
    work.began_s = 100;
    work.now_s = 100.1;  // too early for a rate
    CHECK(progress_text(work) == "4.00 GB of 10.0 GB");
    work.now_s = 104;  // what an earlier run left says nothing about the speed
    CHECK(work.rate() == doctest::Approx(5e8));
    CHECK(work.seconds_left() == doctest::Approx(12));
    CHECK(progress_text(work) == "4.00 GB of 10.0 GB, 500 MB/s, 12 s left");
    work.stopping = true;
    CHECK(progress_text(work) == "Stopping…");
    CHECK(duration_text(99.2) == "2 min");
    CHECK(duration_text(0) == "0 s");
    CHECK(duration_text(12'000) == "3 h 20 min");
}

TEST_CASE("a run of the benchmark is the same after JSON") {
    BenchRun run{.at_ms = 1234567890123, .model = "A \"model\"", .memory = "3 of 4", .points = {}};
    run.points.push_back(
        {.context = 512, .prefill = 1000.5, .decode = 12.25, .hit_rate = 0.5, .cold = true});
    run.points.push_back({.context = 2048, .prefill = 900, .decode = 11, .hit_rate = 0.75});
    const auto read = bench_run_of(to_json(run));
    REQUIRE(read);
    CHECK(to_json(*read) == to_json(run));
    CHECK(read->points[0].cold);
    CHECK(read->points[1].decode == 11);
    CHECK(!bench_run_of("{}"));
    CHECK(!bench_run_of("[1]"));
    CHECK(!bench_run_of(R"({"at_ms":1,"points":[3]})"));
    CHECK(to_csv({run}).find(
              "1234567890123,\"A \"\"model\"\"\",\"3 of 4\",512,1,1000.5,12.25,0.5\n") !=
          std::string::npos);
}

TEST_CASE("models are opened, checked and packed from their cards") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    ScriptedWorkshop workshop;
    workshop.now.models = {store_at("/models/flash")};
    world.workshop = &workshop;
    world.desk_world.ready();
    world.desk_world.desk->go(Screen::kModels);
    world.frames(3);
    CHECK(workshop.ticks > 0);
    REQUIRE(!workshop.fits.empty());
    CHECK(workshop.fits.size() == 1);  // asked once, not in every frame

    REQUIRE(world.click("Check every byte"));
    REQUIRE(workshop.verified.size() == 1);
    CHECK(workshop.verified[0] == "/models/flash");
    REQUIRE(world.find("Check every byte") != nullptr);
    CHECK_FALSE(world.find("Check every byte")->enabled);  // one job at a time
    REQUIRE(world.click("Cancel"));
    CHECK(workshop.now.work.stopping);
    workshop.end("All sound.");
    world.frames(2);

    REQUIRE(world.click("Pack…"));
    REQUIRE(world.find("Pack") != nullptr);
    CHECK_FALSE(world.find("Pack")->enabled);  // it has no destination yet
    REQUIRE(world.click("Destination"));
    world.type("/models/small");
    REQUIRE(world.click("q3s, 1.00 GB"));
    REQUIRE(world.click("Pack"));
    REQUIRE(workshop.packed.size() == 1);
    CHECK(workshop.packed[0].source == "/models/flash");
    CHECK(workshop.packed[0].destination == "/models/small");
    CHECK(workshop.packed[0].format == "q3s");

    // Who has gone elsewhere is told.
    world.desk_world.desk->go(Screen::kChat);
    world.frame();
    workshop.end("It is whole.");
    world.frames(2);
    REQUIRE(!world.desk_world.state().notices.empty());
    CHECK(world.desk_world.state().notices.back().text == "It is whole.");

    world.desk_world.desk->go(Screen::kModels);
    world.frames(2);
    REQUIRE(world.click("Open"));
    CHECK(world.desk_world.port->opened.back() == "/models/flash");
}

TEST_CASE("the benchmark asks at growing lengths, outside all chats, and its run is kept") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    ScriptedWorkshop workshop;
    world.workshop = &workshop;
    world.desk_world.ready();
    world.desk_world.desk->go(Screen::kBenchmark);
    world.frames(3);
    REQUIRE(world.click("Measure"));
    auto& port = *world.desk_world.port;
    size_t words = 0;
    for (size_t point = 1; point <= 3; ++point) {  // 256, 1024, 4096
        world.frames(2);
        REQUIRE(port.asked.size() == point);
        CHECK(world.desk_world.desk->probing());
        CHECK_FALSE(world.desk_world.desk->can_send());
        const std::string& text = port.asked.back().messages.at(0).content;
        CHECK(text.size() > words);
        words = text.size();
        port.grow("so");
        port.finish(FinishReason::kLength);
    }
    world.frames(3);
    CHECK(port.asked.size() == 3);
    CHECK_FALSE(world.desk_world.desk->probing());
    CHECK_FALSE(world.desk_world.state().running);
    REQUIRE(workshop.kept.size() == 1);
    REQUIRE(workshop.kept[0].points.size() == 3);
    CHECK(workshop.kept[0].points[0].decode ==
          doctest::Approx(6));  // 7 tokens, the first is the prompt's
    CHECK(world.desk_world.state().chats.empty());

    // Stopped in the middle.
    REQUIRE(world.click("Measure"));
    world.frames(2);
    REQUIRE(port.asked.size() == 4);
    REQUIRE(world.click("Stop measuring"));
    CHECK(port.stops == 1);
    port.finish(FinishReason::kCancelled);
    world.frames(2);
    CHECK(port.asked.size() == 4);
    CHECK(workshop.kept.size() == 1);
    CHECK(world.find("Measure") != nullptr);
}

TEST_CASE("a cold run opens the model anew first") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    ScriptedWorkshop workshop;
    Benchmark benchmark;
    const size_t opened = world.port->opened.size();
    benchmark.start(*world.desk, {.contexts = {256}, .cold = true}, 7);
    CHECK(world.port->opened.size() == opened + 1);
    benchmark.tick(*world.desk, &workshop);
    CHECK(world.port->asked.empty());
    world.ready();
    for (const bool cold : {true, false}) {
        benchmark.tick(*world.desk, &workshop);
        REQUIRE(world.desk->probing());
        world.port->finish(FinishReason::kLength);
        world.settle();
        REQUIRE(!benchmark.run().points.empty());
        CHECK(benchmark.run().points.back().cold == cold);
    }
    benchmark.tick(*world.desk, &workshop);
    CHECK_FALSE(benchmark.running());
    CHECK(workshop.kept.size() == 1);

    // What cannot be opened ends it, with the reason.
    benchmark.start(*world.desk, {.contexts = {256}, .cold = true}, 8);
    world.port->closed("no such file");
    world.settle();
    benchmark.tick(*world.desk, &workshop);
    CHECK_FALSE(benchmark.running());
    CHECK(benchmark.problem() == "no such file");
    CHECK(workshop.kept.size() == 1);
}

TEST_CASE("lengths are those that the model has room for, and texts differ by their seed") {
    CHECK(Benchmark::contexts_for(1 << 20, 16384) == std::vector<int64_t>{256, 1024, 4096, 16384});
    CHECK(Benchmark::contexts_for(4096, 16384) == std::vector<int64_t>{256, 1024});
    CHECK(Benchmark::contexts_for(200, 16384) == std::vector<int64_t>{50});
    CHECK(filler_text(100, 1) == filler_text(100, 1));
    CHECK(filler_text(100, 1).substr(0, 40) != filler_text(100, 2).substr(0, 40));
}

}  // namespace millrace::test
