#include "tests/support/simulated_disk.h"

#include <doctest/doctest.h>

using namespace millrace;
using test::SimulatedDisk;
using test::Stop;

namespace {

std::vector<std::byte> filled(size_t bytes, int value) {
    return std::vector<std::byte>(bytes, std::byte(value));
}

std::unique_ptr<DiskFile> open(Disk& disk, const Path& path) {
    auto file = disk.open(path, OpenFor::kWriting, Through::kPageCache);
    REQUIRE(file.ok());
    return std::move(*file);
}

}  // namespace

TEST_CASE(
    "replace_file survives a loss of power at any of its calls: the old bytes or the new, never "
    "others") {
    bool seen_old = false, seen_new = false;
    for (uint64_t seed = 0; seed < 40; ++seed) {
        for (uint64_t calls = 0; calls < 7; ++calls) {
            SimulatedDisk disk(seed);
            REQUIRE(disk.make_directory("/d").ok());
            REQUIRE(replace_file(disk, "/d/a", filled(3000, 1)).ok());
            disk.stop_after(calls, Stop::kPower);
            const bool said = replace_file(disk, "/d/a", filled(2000, 2)).ok();
            disk.restart();
            const auto* found = disk.bytes("/d/a");
            REQUIRE(found != nullptr);
            const bool is_new = *found == filled(2000, 2);
            CHECK((is_new || *found == filled(3000, 1)));
            if (said) CHECK(is_new);
            seen_old = seen_old || !is_new;
            seen_new = seen_new || is_new;
        }
    }
    CHECK(seen_old);
    CHECK(seen_new);
}

TEST_CASE(
    "a write that was not synced is torn by a loss of power and kept when only the process dies") {
    bool torn = false;
    for (uint64_t seed = 0; seed < 20; ++seed) {
        for (const Stop how : {Stop::kKill, Stop::kPower}) {
            SimulatedDisk disk(seed);
            REQUIRE(disk.make_directory("/d").ok());
            const auto file = open(disk, "/d/a");
            REQUIRE(file->write(0, filled(4096, 1)).ok());
            REQUIRE(file->sync().ok());
            REQUIRE(disk.sync_directory("/d").ok());
            REQUIRE(file->write(0, filled(4096, 2)).ok());
            disk.stop_after(0, how);
            CHECK_FALSE(file->sync().ok());
            CHECK(disk.stopped());
            CHECK_FALSE(disk.list("/d").ok());
            disk.restart();
            CHECK_FALSE(file->size().ok());
            const std::vector<std::byte>& found = *disk.bytes("/d/a");
            if (how == Stop::kKill) CHECK(found == filled(4096, 2));
            for (size_t i = 0; i < found.size(); ++i) {
                CHECK((found[i] == std::byte{1} || found[i] == std::byte{2}));
                if (i > 0 && found[i] != found[i - 1]) torn = true;
            }
        }
    }
    CHECK(torn);
}

TEST_CASE("a name that was not synced may be lost, a synced one may not") {
    bool lost = false;
    for (uint64_t seed = 0; seed < 20; ++seed) {
        SimulatedDisk disk(seed);
        REQUIRE(disk.make_directory("/d").ok());
        REQUIRE(open(disk, "/d/kept")->sync().ok());
        REQUIRE(disk.sync_directory("/d").ok());
        REQUIRE(open(disk, "/d/doubtful")->sync().ok());
        disk.stop_after(0, Stop::kPower);
        CHECK_FALSE(disk.remove("/d/kept").ok());
        disk.restart();
        CHECK(disk.bytes("/d/kept") != nullptr);
        lost = lost || disk.bytes("/d/doubtful") == nullptr;
    }
    CHECK(lost);
}

TEST_CASE(
    "a full disk takes what fits, a vanished one nothing, and flipped bits are the reader's only") {
    SimulatedDisk disk(7, 5000);
    REQUIRE(disk.make_directory("/d").ok());
    const auto file = open(disk, "/d/a");
    CHECK(file->write(0, filled(4000, 1)).ok());
    CHECK(*disk.free_bytes("/d/a") == 1000);
    const Status full = file->write(4000, filled(2000, 1));
    REQUIRE_FALSE(full.ok());
    CHECK(full.error().code == ErrorCode::kNoSpace);
    CHECK(*file->size() == 5000);
    CHECK(file->write(100, filled(2000, 3)).ok());  // needs no space

    disk.set_faults({.bit_flip = 1});
    std::vector<std::byte> back(64);
    CHECK(file->read(200, back).ok());
    CHECK(back != filled(64, 3));
    disk.set_faults({});
    CHECK(file->read(200, back).ok());
    CHECK(back == filled(64, 3));
    CHECK_FALSE(file->read(4990, back).ok());

    disk.vanish("/d");
    CHECK_FALSE(file->read(0, back).ok());
    CHECK_FALSE(disk.list("/d").ok());
    disk.bring_back("/d");
    CHECK(file->read(0, back).ok());
    CHECK(disk.counts().bit_flips == 1);
    CHECK(disk.counts().no_space == 1);
    CHECK(disk.counts().vanished == 2);
}

TEST_CASE("two runs from one seed are the same run") {
    const auto run = [](uint64_t seed) {
        SimulatedDisk disk(seed);
        disk.set_faults({.write_error = 0.3});
        REQUIRE(disk.make_directory("/d").ok());
        const auto file = open(disk, "/d/a");
        for (int i = 0; i < 50; ++i)
            (void)file->write(static_cast<uint64_t>(i) * 700, filled(900, i));
        disk.stop_after(0, Stop::kPower);
        (void)file->sync();
        disk.restart();
        return disk.fingerprint();
    };
    CHECK(run(1) == run(1));
    CHECK(run(1) != run(2));
}
