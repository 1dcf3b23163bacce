// Packing: nothing of the model changes, however it is stored and however often the work was cut off.

#include "core/pack/pack.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/strings.h"
#include "core/model/store_layout.h"
#include "tests/pack/pack_rig.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/sim_scale.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/tiny_model.h"

namespace millrace::test {
namespace {

Checkpoint opened(const Path& directory) {
    auto checkpoint = Checkpoint::open(directory);
    REQUIRE_MESSAGE(checkpoint.ok(), (checkpoint.ok() ? "" : checkpoint.error().message));
    return *std::move(checkpoint);
}

// One aligned range an expert, with a checksum.
void check_records(const ExpertSource& experts) {
    for (int32_t l = 0; l < experts.layers(); ++l) {
        for (int32_t e = 0; e < experts.experts(); ++e) {
            const ExpertRecord& record = experts.record({{l}, {e}});
            REQUIRE(record.range_count == 1);
            CHECK(record.ranges[0].offset % kStoreBlockBytes == 0);
            CHECK(record.checksum.has_value());
            CHECK(record.w1.codes_offset < record.w2.codes_offset);
            CHECK(record.w3.codes_offset < record.w2.codes_offset);
        }
    }
}

std::vector<float> logits_of(const Path& checkpoint) {
    RuntimeOptions options = tiny_options();
    std::vector<TokenId> tokens;
    for (int32_t i = 0; i < 40; ++i) tokens.push_back({(i * 37 + i / 7) % 256});
    // Streamed: two slots more than a layer needs.
    const auto resident = open_runtime(checkpoint, options);
    options.ram_budget_bytes = resident->expert_stats().slot_bytes *
                               static_cast<uint64_t>(resident->config().experts_per_token + 2);
    const auto runtime = open_runtime(checkpoint, options);
    Session session = new_session(*runtime);
    auto logits = all_logits(*runtime, session, tokens, {30, 1});
    CHECK(runtime->expert_stats().evictions > 0);
    return logits;
}

// All that a pack of `source` on a disk of its own leaves there.
struct Straight {
    explicit Straight(SmallSource& source) {
        pack_or_fail(source.disk(), disk, pack_options(source.path(), "/store"));
        changes = disk.changes();
        fingerprint = disk.fingerprint();
    }
    SimulatedDisk disk{1};
    uint64_t changes = 0, fingerprint = 0;
};

}  // namespace

TEST_CASE("every variant becomes a store with the same bytes, and a store another store") {
    size_t compared = 0;
    for (const std::string model :
         {"tiny-flash", "tiny-pro", "tiny-base", "tiny-clamp", "tiny-0731"}) {
        CAPTURE(model);
        const TempDirectory room;
        const Json config = read_golden_json("model/" + model + "/config.json");
        const SyntheticTensors tensors = synthetic_tensors(config);
        write_checkpoint(room.path() / "source", config, tensors, 3);
        PackOptions options = pack_options(room.path() / "source", room.path() / "store");
        options.lanes = 3;
        if (model != "tiny-base") options.experts = "f4";
        pack_to(options);
        const Checkpoint store = opened(room.path() / "store");
        check_records(store.experts());
        CHECK(store.unknown().empty());
        compared += check_checkpoint_bytes(store, tensors);

        PackOptions again = pack_options(room.path() / "store", room.path() / "again");
        again.also = {room.path() / "b", room.path() / "c"};
        pack_to(again);
        const Checkpoint spread = opened(room.path() / "again");
        check_records(spread.experts());
        compared += check_checkpoint_bytes(spread, tensors);
        CHECK(std::filesystem::exists(room.path() / "c" / "experts-000.bin"));
    }
    MESSAGE(compared, " tensors compared byte for byte");
}

TEST_CASE("a streamed store computes the same bits as the checkpoint") {
    for (const std::string model : {"tiny-clamp", "tiny-base"}) {
        const TempDirectory room;
        PackOptions options = pack_options(tiny_checkpoint(model), room.path() / "store");
        options.also = {room.path() / "b"};
        pack_to(options);
        const auto packed = logits_of(room.path() / "store");
        const auto c = compare<float>(packed, logits_of(tiny_checkpoint(model)));
        CHECK_MESSAGE(c.unequal + c.one_ulp == 0, c.text());
        CHECK(c.compared > 0);
    }
}

TEST_CASE("killed or without power at any write, a pack goes on and ends with the same bytes") {
    SmallSource source;
    const Straight straight(source);
    REQUIRE(straight.changes > 40);
    uint64_t went_on = 0, whole = 0;
    const auto rounds = 2 * static_cast<uint64_t>(sim_scale());
    for (uint64_t round = 0; round < rounds; ++round) {
        const Stop how = round % 2 == 0 ? Stop::kKill : Stop::kPower;
        for (uint64_t at = 0; at < straight.changes; ++at) {
            CAPTURE(round);
            CAPTURE(at);
            SimulatedDisk disk(1000 * (round / 2 + 1) + at);
            const PackOptions options = pack_options(source.path(), "/store");
            disk.stop_after(at, how);
            REQUIRE(!pack_quietly(source.disk(), disk, options).ok());
            disk.restart();
            // A manifest that is there speaks the truth.
            if (disk.bytes(Path("/store") / kManifestName)) {
                ++whole;
                VerifyOptions check;
                check.directory = "/store";
                CHECK(verify_or_fail(source.disk(), disk, check).broken.empty());
            }
            StoreProgress first;
            CallingWatcher watcher([&](const StoreProgress& now) {
                if (first.total_bytes == 0) first = now;
                return true;
            });
            // Another number than that of the first try: what was begun keeps its own.
            PackOptions other = options;
            other.id = 77;
            const auto done = pack(source.disk(), disk, at > 3 ? other : options, watcher);
            REQUIRE_MESSAGE(done.ok(), (done.ok() ? "" : done.error().message));
            if (first.found_bytes > 0) ++went_on;
            if (disk.fingerprint() != straight.fingerprint) {
                // Lost before anything was recorded: begun anew under the other number.
                CHECK(first.found_bytes == 0);
                PackOptions anew = options;
                anew.id = 77;
                SimulatedDisk wanted(1);
                pack_or_fail(source.disk(), wanted, anew);
                CHECK(disk.fingerprint() == wanted.fingerprint());
            }
        }
    }
    CHECK(went_on > rounds * straight.changes / 4);
    CHECK(whole > 0);
    MESSAGE((rounds * straight.changes), " ends, ", went_on, " times something was kept, ", whole,
            " times all");
}

TEST_CASE("a disk that fails now and then delays a pack and spoils nothing") {
    SmallSource source;
    const Straight straight(source);
    SimulatedDisk disk(5);
    disk.set_faults({.write_error = 0.2});
    int tries = 0;
    while (!pack_quietly(source.disk(), disk, pack_options(source.path(), "/store")).ok())
        REQUIRE(++tries < 500);
    CHECK(tries > 0);
    CHECK(disk.counts().write_errors > 0);
    CHECK(disk.fingerprint() == straight.fingerprint);
}

TEST_CASE("a full disk is told before, and when it fills up in between what is written is kept") {
    SmallSource source;
    const PackOptions options = pack_options(source.path(), "/store");
    SimulatedDisk disk(1, 500'000);
    const auto refused = pack_quietly(source.disk(), disk, options);
    REQUIRE(!refused.ok());
    CHECK(refused.error().code == ErrorCode::kNoSpace);
    CHECK(refused.error().message.find("are missing") != std::string::npos);
    CHECK(refused.error().message.find("/store") != std::string::npos);
    CHECK(disk.used_bytes() == 0);

    disk.set_capacity(UINT64_MAX);
    CallingWatcher watcher([&](const StoreProgress& now) {
        if (now.done_bytes > now.total_bytes / 2) disk.set_capacity(disk.used_bytes());
        return true;
    });
    const auto full = pack(source.disk(), disk, options, watcher);
    REQUIRE(!full.ok());
    CHECK(full.error().code == ErrorCode::kNoSpace);
    CHECK(full.error().message.find("give the same command again") != std::string::npos);
    disk.set_capacity(UINT64_MAX);
    uint64_t found = 0;
    CallingWatcher second([&](const StoreProgress& now) {
        found = now.found_bytes;
        return true;
    });
    REQUIRE(pack(source.disk(), disk, options, second).ok());
    CHECK(found > 0);
    CHECK(disk.fingerprint() == Straight(source).fingerprint);
}

TEST_CASE("space is counted by drive: two directories on one drive need the sum") {
    SmallSource source;
    PackOptions options = pack_options(source.path(), "/store");
    options.also = {"/b"};
    SimulatedDisk measured(1);
    pack_or_fail(source.disk(), measured, options);
    const uint64_t whole = measured.used_bytes();
    // Each directory alone would fit, both do not.
    options.drives = {7, 7};
    SimulatedDisk disk(1, whole - whole / 8);
    const auto refused = pack_quietly(source.disk(), disk, options);
    REQUIRE(!refused.ok());
    CHECK(refused.error().message.find("/store and /b") != std::string::npos);
    options.drives = {7, 8};
    disk.set_capacity(whole + whole / 8);
    CHECK(pack_quietly(source.disk(), disk, options).ok());
}

TEST_CASE("whoever stops it keeps what is done") {
    SmallSource source;
    SimulatedDisk disk(1);
    const PackOptions options = pack_options(source.path(), "/store");
    int runs = 0;
    for (uint64_t found = 0;; ++runs) {
        REQUIRE(runs < 100);
        CallingWatcher watcher([&](const StoreProgress& now) {
            CHECK(now.found_bytes >= found);
            found = now.found_bytes;
            return now.done_bytes == now.total_bytes;
        });
        const auto done = pack(source.disk(), disk, options, watcher);
        if (done.ok()) break;
        CHECK(done.error().code == ErrorCode::kCancelled);
    }
    CHECK(runs > 5);
    CHECK(disk.fingerprint() == Straight(source).fingerprint);
}

TEST_CASE("what was begun goes on with the same source and options only") {
    SmallSource source, other(4711);
    SimulatedDisk disk(1);
    const PackOptions options = pack_options(source.path(), "/store");
    const auto refused = [&](const PackOptions& wrong, std::string_view part) {
        SystemDisk system;
        const auto done = pack_quietly(system, disk, wrong);
        REQUIRE(!done.ok());
        CHECK(done.error().code == ErrorCode::kInvalid);
        CHECK_MESSAGE(done.error().message.find(part) != std::string::npos, done.error().message);
    };
    PackOptions from_other = options, named = options, spread = options, twice = options;
    from_other.source = other.path();
    named.experts = "f4";
    spread.also = {"/b"};
    twice.also = {"/b", "/b"};

    disk.stop_after(20, Stop::kKill);
    REQUIRE(!pack_quietly(source.disk(), disk, options).ok());
    disk.restart();
    refused(from_other, "another source");
    refused(named, "--experts released");
    refused(spread, "--also");
    refused(twice, "named twice");
    pack_or_fail(source.disk(), disk, options);
    const uint64_t before = disk.fingerprint();
    const auto again = pack_quietly(source.disk(), disk, options);
    REQUIRE(again.ok());
    CHECK(again->was_whole);
    refused(from_other, "another source");
    CHECK(disk.fingerprint() == before);

    // Nothing is written over what somebody else has.
    PackOptions beside = options;
    beside.destination = "/new";
    beside.also = {"/store"};
    refused(beside, "/store/");
}

TEST_CASE("what cannot be packed without loss is refused with what can") {
    SmallSource source;
    SimulatedDisk disk(1);
    PackOptions options = pack_options(source.path(), "/store");
    for (const std::string format : {"f8", "bf16", "q9z", ""}) {
        options.experts = format;
        const auto refused = pack_quietly(source.disk(), disk, options);
        REQUIRE(!refused.ok());
        CHECK(refused.error().message.find("released") != std::string::npos);
    }
    CHECK(disk.used_bytes() == 0);
}

TEST_CASE("memory is bounded by what was allowed, not by the model") {
    SmallSource source;
    SimulatedDisk disk(1);
    PackOptions options = pack_options(source.path(), "/store");
    options.lanes = 64;
    options.memory_bytes = 1;  // one lane is the least
    pack_or_fail(source.disk(), disk, options);
    CHECK(disk.fingerprint() == Straight(source).fingerprint);
}

}  // namespace millrace::test
