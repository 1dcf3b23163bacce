#include "offload/io_engine.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <deque>
#include <map>
#include <vector>

#include "core/base/memory.h"
#include "tests/support/simulated_drive.h"

namespace millrace::test {
namespace {

// Keeps what was submitted until the test says how each read ends.
class ScriptedReader final : public Reader {
public:
    std::vector<ReadOp> ops;      // all that was ever submitted
    std::deque<ReadDone> landed;  // to be reaped
    bool direct = true;
    std::vector<int32_t> drives = {0};  // [files]
    std::vector<uint64_t> dropped;      // offsets that the page cache was told to forget

    void land(size_t op, int32_t result) { landed.push_back({ops[op].tag, result}); }
    void land_whole(size_t op) { land(op, static_cast<int32_t>(ops[op].bytes)); }

    std::string_view name() const override { return "scripted"; }
    int32_t depth() const override { return 4; }
    void submit(const ReadOp& op) override { ops.push_back(op); }
    size_t reap(std::span<ReadDone> done, Wait) override {
        size_t count = 0;
        for (; count < done.size() && !landed.empty(); ++count) {
            done[count] = landed.front();
            landed.pop_front();
        }
        return count;
    }
    void wake() override {}
    bool is_direct(int32_t) const override { return direct; }
    Status use_page_cache(int32_t) override {
        direct = false;
        return {};
    }
    void drop_cached(int32_t, uint64_t offset, uint64_t) override { dropped.push_back(offset); }
    int32_t drive(int32_t file) const override { return drives[static_cast<size_t>(file)]; }
    Result<uint64_t> file_bytes(int32_t) const override { return kFileBytes; }

    static constexpr uint64_t kFileBytes = uint64_t{1} << 20;
};

// Experts of three chunks of 8 KiB, from byte 100 of a block on, each in a slot of its own number.
struct Bench {
    static constexpr uint64_t kChunk = 8192;
    static constexpr int32_t kExperts = 4;

    ExpertLayout layout;
    PageBuffer arena;
    ScriptedReader reader;
    SimulatedClock clock;
    SpscQueue<IoReport> reports{kExperts};
    SharedIoCounts counts;
    std::unique_ptr<IoEngine> engine;

    enum class Files { kOne, kTwoDrives };

    // kTwoDrives: experts 2 and 3 lie in a second file, on a second drive.
    explicit Bench(uint64_t window_bytes, Files files = Files::kOne) {
        layout.files = {"file"};
        if (files == Files::kTwoDrives) {
            layout.files.emplace_back("other");
            reader.drives = {0, 1};
        }
        layout.layers = 1;
        layout.experts = kExperts;
        for (int32_t i = 0; i < kExperts; ++i) {
            ExpertPlace place;
            place.ranges[0] = {0, static_cast<uint64_t>(i) * 10 * kChunk + 100, 3 * kChunk - 200};
            place.range_count = 1;
            place.ranges[0].file = files == Files::kTwoDrives && i >= 2 ? 1 : 0;
            layout.places.push_back(place);
        }
        arena = std::move(*PageBuffer::create(kExperts * layout.slot_bytes(), HugePages::kNo));
        const IoEnginePlan plan{.layout = layout,
                                .arena = arena.bytes(),
                                .slots = kExperts,
                                .slot_bytes = layout.slot_bytes(),
                                .chunk_bytes = kChunk,
                                .window_bytes = window_bytes,
                                .read_attempts = 3};
        engine = std::make_unique<IoEngine>(plan, reader, clock, reports, counts);
    }
    // Nothing may be in flight when the engine goes.
    ~Bench() {
        for (const ReadOp& op : reader.ops) reader.landed.push_back({op.tag, 0});
    }

    void send(IoCommand::Kind kind, int32_t slot, Priority priority = Priority::kDemand) {
        engine->accept({kind, priority, {slot}, 1, {{0}, {slot}}});
        engine->step(Wait::kNo);
    }
    void load(int32_t slot, Priority priority) { send(IoCommand::Kind::kLoad, slot, priority); }
    // Which expert each read was for, in order.
    std::vector<int> experts() const {
        std::vector<int> all;
        for (const ReadOp& op : reader.ops)
            all.push_back(static_cast<int>(op.offset / kChunk / 10));
        return all;
    }
    // Ends all reads well, those that follow too.
    void land_all() {
        for (size_t i = 0; i < reader.ops.size(); ++i) {
            reader.land_whole(i);
            engine->step(Wait::kNo);
            engine->step(Wait::kNo);
        }
    }
};

using Experts = std::vector<int>;

TEST_CASE("demanded chunks go before hinted ones, and hints have half the window") {
    Bench bench(2 * Bench::kChunk);
    bench.load(0, Priority::kHint);
    CHECK(bench.experts() == Experts{0});
    bench.load(1, Priority::kDemand);
    bench.load(2, Priority::kDemand);
    CHECK(bench.experts() == Experts{0, 1});
    bench.land_all();
    CHECK(bench.experts() == Experts{0, 1, 1, 1, 2, 2, 2, 0, 0});
    CHECK(bench.engine->idle());
    IoReport report;
    for (const int32_t slot : {1, 2, 0}) {
        REQUIRE(bench.reports.pop(report));
        CHECK(report.slot.value == slot);
        CHECK(report.outcome == IoReport::Outcome::kDone);
    }
}

TEST_CASE("how deep the queues are can be seen while the drive works") {
    Bench bench(2 * Bench::kChunk);
    const auto depths = [&] {
        const IoCounts counts = bench.counts.snapshot();
        return std::pair(counts.in_flight, counts.waiting);
    };
    CHECK(depths() == std::pair(0, 0));
    bench.load(0, Priority::kDemand);  // two of its three chunks fit into the window
    CHECK(depths() == std::pair(2, 1));
    bench.load(1, Priority::kDemand);
    bench.load(2, Priority::kHint);
    CHECK(depths() == std::pair(2, 3));
    bench.reader.land_whole(0);
    bench.engine->step(Wait::kNo);
    CHECK(depths() == std::pair(1, 3));  // what has landed
    bench.engine->step(Wait::kNo);
    CHECK(depths() == std::pair(2, 2));  // and what took its place
    for (size_t op = 1; op < bench.reader.ops.size(); ++op) {
        bench.reader.land_whole(op);
        bench.engine->step(Wait::kNo);
        bench.engine->step(Wait::kNo);
    }
    CHECK(depths() == std::pair(0, 0));
}

TEST_CASE("a drive that gives nothing does not hold up another") {
    Bench bench(Bench::kChunk, Bench::Files::kTwoDrives);
    bench.load(0, Priority::kDemand);
    bench.load(2, Priority::kDemand);
    CHECK(bench.experts() == Experts{0, 2});
    // Only the second drive answers: it goes on by itself.
    for (size_t op = 1; op < 4; ++op) {
        REQUIRE(bench.reader.ops.size() == op + 1);
        bench.reader.land_whole(op);
        bench.engine->step(Wait::kNo);
        bench.engine->step(Wait::kNo);
        if (op + 1 < 4) CHECK(bench.experts().back() == 2);
    }
    IoReport report;
    REQUIRE(bench.reports.pop(report));
    CHECK(report.slot.value == 2);
    CHECK_FALSE(bench.engine->idle());
}

TEST_CASE("an expert on two drives is read from both at once") {
    Bench bench(Bench::kChunk, Bench::Files::kTwoDrives);
    ExpertPlace& place = bench.layout.places[0];
    place.range_count = 2;
    place.ranges[0].bytes = Bench::kChunk / 2 - 100;
    place.ranges[1] = {1, 0, Bench::kChunk};
    bench.load(0, Priority::kDemand);
    REQUIRE(bench.reader.ops.size() == 2);
    CHECK(bench.reader.ops[0].file == 0);
    CHECK(bench.reader.ops[1].file == 1);
    CHECK(bench.reader.ops[1].into == bench.reader.ops[0].into + Bench::kChunk / 2);
    bench.land_all();
    IoReport report;
    REQUIRE(bench.reports.pop(report));
    CHECK(report.outcome == IoReport::Outcome::kDone);
}

TEST_CASE(
    "an expert whose checksum is wrong is read once more, past the page cache, and then fails") {
    Bench bench(3 * Bench::kChunk);
    RecordChecksum checksum;
    ExpertPlace& place = bench.layout.places[0];
    std::vector<std::byte> zeros(place.slot_bytes());
    const uint64_t good = checksum.of(place, zeros.data());
    for (const bool mended : {true, false}) {
        place.checksum = mended ? good : good + 1;
        bench.reader.direct = false;
        bench.reader.ops.clear();
        bench.reader.dropped.clear();
        bench.load(0, Priority::kDemand);
        // What hangs over the expert in its blocks is not part of it.
        bench.arena.bytes()[0] = std::byte{7};
        bench.arena.bytes()[200] = std::byte{1};
        const auto land_three = [&](size_t first) {
            REQUIRE(bench.reader.ops.size() == first + 3);
            for (size_t op = first; op < first + 3; ++op) bench.reader.land_whole(op);
            for (int i = 0; i < 3; ++i) bench.engine->step(Wait::kNo);
        };
        land_three(0);
        IoReport report;
        REQUIRE_FALSE(bench.reports.pop(report));
        CHECK(bench.reader.dropped == std::vector<uint64_t>{0});
        bench.arena.bytes()[200] = std::byte{0};
        land_three(3);
        REQUIRE(bench.reports.pop(report));
        CHECK((report.outcome == IoReport::Outcome::kDone) == mended);
        if (mended) continue;
        CHECK(report.failure.reason == ReadFailure::Reason::kChanged);
        CHECK(report.failure.checksum == good);
        CHECK(report.failure.offset == 100);
    }
    CHECK(bench.counts.snapshot().checks_failed == 3);
    CHECK(bench.counts.snapshot().bytes_checked == 4 * place.bytes());
}

TEST_CASE("a load that is called off is not compared with its checksum") {
    Bench bench(3 * Bench::kChunk);
    bench.layout.places[0].checksum = 1;
    bench.load(0, Priority::kDemand);
    for (size_t op = 0; op < 3; ++op) bench.reader.land_whole(op);
    bench.engine->step(Wait::kNo);
    bench.engine->accept({IoCommand::Kind::kCallOff, Priority::kDemand, {0}, 1, {}});
    IoReport report;
    REQUIRE(bench.reports.pop(report));
    CHECK(report.outcome == IoReport::Outcome::kCalledOff);
    CHECK(bench.engine->idle());
    CHECK(bench.counts.snapshot().bytes_checked == 0);
}

TEST_CASE("a promoted hint is a demand") {
    Bench bench(2 * Bench::kChunk);
    bench.load(0, Priority::kHint);
    bench.load(3, Priority::kHint);
    bench.send(IoCommand::Kind::kPromote, 3);
    bench.land_all();
    CHECK(bench.experts() == Experts{0, 3, 3, 3, 0, 0});
}

TEST_CASE("a load that is called off ends with what is in flight") {
    Bench bench(Bench::kChunk);
    bench.load(0, Priority::kDemand);
    bench.load(1, Priority::kDemand);
    bench.send(IoCommand::Kind::kCallOff, 0);
    bench.send(IoCommand::Kind::kCallOff, 1);
    IoReport report;
    REQUIRE(bench.reports.pop(report));
    CHECK(report.slot.value == 1);  // nothing of it was in flight
    CHECK(report.outcome == IoReport::Outcome::kCalledOff);
    REQUIRE_FALSE(bench.reports.pop(report));
    bench.land_all();
    REQUIRE(bench.reports.pop(report));
    CHECK(report.slot.value == 0);
    CHECK(report.outcome == IoReport::Outcome::kCalledOff);
    CHECK(bench.reader.ops.size() == 1);
}

TEST_CASE("a command for an older load of a slot is ignored") {
    Bench bench(Bench::kChunk);
    bench.load(0, Priority::kDemand);
    bench.engine->accept({IoCommand::Kind::kCallOff, Priority::kDemand, {0}, 0, {}});
    bench.land_all();
    IoReport report;
    REQUIRE(bench.reports.pop(report));
    CHECK(report.outcome == IoReport::Outcome::kDone);
}

TEST_CASE("EIO is tried as often as planned, ENODEV once, and the report says where") {
    for (const int error : {EIO, ENODEV}) {
        Bench bench(Bench::kChunk);
        bench.load(0, Priority::kDemand);
        bench.reader.land_whole(0);
        bench.engine->step(Wait::kNo);
        for (size_t op = 1; op < 10 && !bench.engine->idle(); ++op) {
            bench.engine->step(Wait::kNo);
            bench.reader.land(op, -error);
            bench.engine->step(Wait::kNo);
        }
        IoReport report;
        REQUIRE(bench.reports.pop(report));
        CHECK(report.outcome == IoReport::Outcome::kFailed);
        CHECK(report.failure.reason == ReadFailure::Reason::kError);
        CHECK(report.failure.error_number == error);
        CHECK(report.failure.attempts == (error == EIO ? 3 : 1));
        CHECK(report.failure.offset == Bench::kChunk);
        CHECK(bench.reader.ops.size() == (error == EIO ? 4 : 2));
    }
}

TEST_CASE("EINTR and EAGAIN are asked again, but not for ever") {
    Bench bench(Bench::kChunk);
    bench.load(0, Priority::kDemand);
    for (size_t op = 0; op < 5000 && !bench.engine->idle(); ++op) {
        bench.reader.land(op, op % 2 == 0 ? -EINTR : -EAGAIN);
        bench.engine->step(Wait::kNo);
        bench.engine->step(Wait::kNo);
    }
    IoReport report;
    REQUIRE(bench.reports.pop(report));
    CHECK(report.outcome == IoReport::Outcome::kFailed);
    CHECK(bench.reader.ops.size() == 1000);
}

TEST_CASE("EINVAL with O_DIRECT leads to the page cache, EINVAL without it is an error") {
    Bench bench(2 * Bench::kChunk);
    bench.load(0, Priority::kDemand);
    CHECK(bench.counts.snapshot().direct);
    REQUIRE(bench.reader.ops.size() == 2);
    // Both were in flight; the second finds the page cache in use already.
    bench.reader.land(0, -EINVAL);
    bench.reader.land(1, -EINVAL);
    bench.engine->step(Wait::kNo);
    bench.engine->step(Wait::kNo);
    CHECK_FALSE(bench.reader.direct);
    CHECK_FALSE(bench.counts.snapshot().direct);
    REQUIRE(bench.reader.ops.size() == 4);
    bench.reader.land(2, -EINVAL);
    bench.reader.land_whole(3);
    bench.engine->step(Wait::kNo);
    IoReport report;
    REQUIRE(bench.reports.pop(report));
    CHECK(report.outcome == IoReport::Outcome::kFailed);
    CHECK(report.failure.error_number == EINVAL);
}

TEST_CASE("a short read goes on at the block where it broke off") {
    Bench bench(Bench::kChunk);
    bench.load(0, Priority::kDemand);
    bench.reader.land(0, 5000);
    bench.engine->step(Wait::kNo);
    bench.engine->step(Wait::kNo);
    REQUIRE(bench.reader.ops.size() == 2);
    const ReadOp& first = bench.reader.ops[0];
    const ReadOp& rest = bench.reader.ops[1];
    CHECK(rest.offset == first.offset + 4096);
    CHECK(rest.bytes == 4096);
    CHECK(rest.into == first.into + 4096);
    CHECK(bench.counts.snapshot().short_reads == 1);
}

TEST_CASE("the last block may hang over the end of what is needed") {
    Bench bench(Bench::kChunk);
    bench.load(0, Priority::kDemand);
    for (size_t op = 0; op < 3; ++op) {
        // The expert ends 100 bytes before its last block does.
        bench.reader.land(op, op == 2 ? Bench::kChunk - 100 : Bench::kChunk);
        bench.engine->step(Wait::kNo);
        bench.engine->step(Wait::kNo);
    }
    IoReport report;
    REQUIRE(bench.reports.pop(report));
    CHECK(report.outcome == IoReport::Outcome::kDone);
    CHECK(bench.reader.ops.size() == 3);
}

}  // namespace
}  // namespace millrace::test
