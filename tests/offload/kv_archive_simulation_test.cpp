// The archive on a disk that fails: killed at every write, without power at every write, full, with errors and flipped
// bits. Whatever happens, what is read is what was written for those tokens, or nothing.

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "tests/support/archive_script.h"
#include "tests/support/sim_scale.h"
#include "tests/support/simulated_disk.h"

namespace millrace::test {
namespace {

// Small enough that the script must forget.
constexpr uint64_t kBudget = 24 * 4096;

struct World {
    explicit World(uint64_t seed, uint64_t capacity = UINT64_MAX)
        : disk(seed, capacity), entropy(seed + 1) {}

    // Null when the disk does not allow it.
    std::unique_ptr<KvArchive> open(uint64_t budget = kBudget) {
        auto archive = KvArchive::open({disk, entropy, calendar}, archive_key(1), {"/kv", budget});
        return archive.ok() ? *std::move(archive) : nullptr;
    }
    SimulatedDisk disk;
    SeededEntropy entropy;
    SetCalendar calendar;
};

PagePath prefix(const PagePath& path, size_t pages) {
    return {path.begin(), path.begin() + static_cast<std::ptrdiff_t>(pages)};
}

const std::vector<PagePath>& conversations() {
    static const std::vector<PagePath> all = {
        {1, 2, 3}, {1, 2, 4, 5}, {6}, {1, 7, 8, 9}, {1, 2, 3}};
    return all;
}

// What every process after every accident must find: pages that are right or missing, none without its parents, no more
// than the budget, and an archive that works.
void check_sound(World& world) {
    const auto archive = world.open();
    REQUIRE(archive != nullptr);
    ArchiveUser user(*archive, "model");
    for (const PagePath& path : conversations()) {
        for (size_t n = 1; n <= path.size(); ++n) {
            const PagePath piece = prefix(path, n);
            if (user.has(piece, KvPart::kEdge)) CHECK(user.has(piece, KvPart::kRows));
            if (n > 1 && user.has(piece, KvPart::kRows)) {
                CHECK(user.has(prefix(path, n - 1), KvPart::kRows));
            }
        }
        CHECK(user.load(path).has_value());
    }
    CHECK(archive->stats().bytes <= kBudget);
    user.write_all({1, 2, 3});
    CHECK(*user.load({1, 2, 3}) == 3);
}

// Two processes after another; returns what was stored for sure, in the order of time.
std::vector<PagePath> run_script(World& world) {
    std::vector<PagePath> stored;
    for (int life = 0; life < 2; ++life) {
        const auto archive = world.open();
        if (archive == nullptr) return stored;
        ArchiveUser user(*archive, "model");
        for (const PagePath& path : conversations()) {
            user.write_all(path);
            if (user.has(path, KvPart::kEdge)) stored.push_back(path);
            CHECK(user.load(path).has_value());
        }
    }
    return stored;
}

}  // namespace

TEST_CASE("killed or without power at any write: old pages, new pages or none") {
    World whole(1);
    (void)run_script(whole);
    const uint64_t changes = whole.disk.changes();
    CHECK(changes > 40);
    check_sound(whole);
    for (const Stop how : {Stop::kKill, Stop::kPower}) {
        for (uint64_t at = 0; at < changes; ++at) {
            CAPTURE(at);
            World world(100 + at);
            world.disk.stop_after(at, how);
            const std::vector<PagePath> stored = run_script(world);
            REQUIRE(world.disk.stopped());
            world.disk.restart();
            if (how == Stop::kKill && !stored.empty()) {
                // What a process that only died had stored last is there.
                const auto archive = world.open();
                REQUIRE(archive != nullptr);
                CHECK(*ArchiveUser(*archive, "model").load(stored.back()) == stored.back().size());
            }
            check_sound(world);
        }
    }
}

TEST_CASE("a full disk ends the storing, is told once, and what was stored stays") {
    for (uint64_t blocks = 1; blocks <= 24; ++blocks) {
        CAPTURE(blocks);
        World world(blocks, blocks * 4096);
        const auto archive = world.open(1 << 30);
        REQUIRE(archive != nullptr);
        ArchiveUser user(*archive, "model");
        for (int32_t i = 0; i < 30; ++i) user.write_all({i, i});
        CHECK(user.write({99}, KvPart::kRows) == KvWrite::kOff);
        const auto notices = archive->take_notices();
        REQUIRE(notices.size() == 1);
        CHECK(notices[0].find("make room, or lower --kv-budget") != std::string::npos);
        CHECK(archive->take_notices().empty());
        for (int32_t i = 0; i < 30; ++i) {
            if (user.has({i, i}, KvPart::kEdge)) CHECK(*user.load({i, i}) == 2);
        }
        CHECK(archive->stats().bytes <= blocks * 4096);
    }
}

TEST_CASE("a disk that vanishes costs pages, not answers") {
    World world(3);
    const auto archive = world.open();
    REQUIRE(archive != nullptr);
    ArchiveUser user(*archive, "model");
    user.write_all({1, 2, 3});
    world.disk.vanish("/kv");
    CHECK(*user.load({1, 2, 3}) == 0);
    CHECK(user.write({4}, KvPart::kRows) == KvWrite::kOff);
    CHECK(archive->take_notices().size() == 1);
    world.disk.bring_back("/kv");
    check_sound(world);
}

TEST_CASE("errors, flipped bits, kills and losses of power, by the thousand: never a wrong byte") {
    uint64_t faults = 0, right = 0, pages = 0, lost = 0, flips = 0, errors = 0, stops = 0;
    const auto seeds = 40 * static_cast<uint64_t>(sim_scale());
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        Random random(seed);
        World world(seed);
        for (int life = 0; life < 12; ++life) {
            world.disk.set_faults({.read_error = 0.05 * random.unit(),
                                   .write_error = 0.02 * random.unit(),
                                   .bit_flip = 0.1 * random.unit()});
            if (random.below(2) == 0) {
                world.disk.stop_after(random.below(80),
                                      random.below(2) == 0 ? Stop::kKill : Stop::kPower);
            }
            const uint64_t budget = (4 + random.below(60)) * 4096;
            const auto archive = world.open(budget);
            const auto beside = random.below(3) == 0 ? world.open(budget) : nullptr;
            std::optional<ArchiveUser> users[2];
            if (archive != nullptr) users[0].emplace(*archive, "model");
            if (beside != nullptr) users[1].emplace(*beside, "model");
            for (int step = 0; archive != nullptr && step < 25; ++step) {
                const bool other = beside != nullptr && step % 3 == 0;
                KvArchive& used = other ? *beside : *archive;
                ArchiveUser& user = *users[other ? 1 : 0];
                PagePath path(1 + random.below(6));
                for (int32_t& page : path) page = static_cast<int32_t>(random.below(2));
                if (random.below(2) == 0) user.write_all(path);
                const auto got = user.load(path);
                REQUIRE(got.has_value());
                right += *got > 0 ? 1 : 0;
                pages += *got;
                // Two know of each other's files only when they look.
                if (beside == nullptr) REQUIRE(used.stats().bytes <= budget);
                REQUIRE(used.take_notices().size() <= 1);
            }
            if (archive != nullptr) lost += archive->stats().lost;
            world.disk.restart();
        }
        faults += world.disk.counts().total();
        flips += world.disk.counts().bit_flips;
        errors += world.disk.counts().read_errors + world.disk.counts().write_errors;
        stops += world.disk.counts().stops;
    }
    MESSAGE(faults, " faults (", flips, " flips, ", errors, " errors, ", stops, " stops); ", right,
            " prefixes of ", pages, " pages read right, ", lost, " files found broken, 0 wrong");
    CHECK(faults > 1500);
    CHECK(right > 1000);
    CHECK(lost > 500);
}

TEST_CASE("a run repeats itself from its seed") {
    const auto fingerprint = [](uint64_t seed) {
        World world(seed);
        world.disk.set_faults({.read_error = 0.02, .write_error = 0.01, .bit_flip = 0.02});
        (void)run_script(world);
        return world.disk.fingerprint();
    };
    CHECK(fingerprint(5) == fingerprint(5));
    CHECK(fingerprint(5) != fingerprint(6));
}

}  // namespace millrace::test
