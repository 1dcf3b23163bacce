// One wrong bit anywhere in a store is found, named and mended; nothing else is touched.

#include "core/pack/verify.h"

#include <doctest/doctest.h>

#include "core/base/random.h"
#include "core/base/strings.h"
#include "core/model/store_manifest.h"
#include "core/pack/pieces.h"
#include "tests/pack/pack_rig.h"
#include "tests/support/simulated_disk.h"

namespace millrace::test {
namespace {

VerifyOptions check_only() {
    VerifyOptions options;
    options.directory = "/store";
    options.lanes = 2;
    return options;
}

void flip(SimulatedDisk& disk, const Path& path, uint64_t byte) {
    std::vector<std::byte>* bytes = disk.bytes(path);
    REQUIRE(bytes != nullptr);
    REQUIRE(byte < bytes->size());
    (*bytes)[byte] ^= std::byte{0x10};
}

StoreManifest manifest_of(SimulatedDisk& disk) {
    const auto* bytes = disk.bytes("/store/manifest.json");
    REQUIRE(bytes != nullptr);
    auto manifest = parse_manifest({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
    REQUIRE(manifest.ok());
    return *std::move(manifest);
}

}  // namespace

TEST_CASE("one flipped bit in any piece is named and mended") {
    SmallSource source;
    SimulatedDisk disk(1);
    PackOptions packing = pack_options(source.path(), "/store");
    packing.also = {"/b"};
    pack_or_fail(source.disk(), disk, packing);
    const uint64_t sound = disk.fingerprint();
    CHECK(verify_or_fail(source.disk(), disk, check_only()).broken.empty());
    const StoreManifest manifest = manifest_of(disk);
    const StorePieces pieces(manifest.plan);
    Random random(3);
    VerifyOptions repairing = check_only();
    repairing.repair_from = source.path();
    for (const Piece& piece : pieces.pieces) {
        const StoreFile& file = pieces.file_of(piece);
        const Path path = Path(file.part == 0 ? "/store" : "/b") / file.name;
        CAPTURE(path.string());
        flip(disk, path, piece.offset + random.below(piece.bytes));
        const VerifyResult found = verify_or_fail(source.disk(), disk, check_only());
        REQUIRE(found.broken.size() == 1);
        CHECK(found.still_broken() == 1);
        CHECK(found.broken[0].what == describe(piece));
        CHECK(found.broken[0].file == path);
        CHECK(found.broken[0].offset == piece.offset);
        CHECK(disk.fingerprint() != sound);
        const VerifyResult mended = verify_or_fail(source.disk(), disk, repairing);
        REQUIRE(mended.broken.size() == 1);
        CHECK(mended.still_broken() == 0);
        CHECK(disk.fingerprint() == sound);
    }
    CHECK(pieces.pieces.size() > 10);
}

TEST_CASE("headers, lengths, lost files and copied files are checked and mended as well") {
    SmallSource source;
    SimulatedDisk disk(1);
    pack_or_fail(source.disk(), disk, pack_options(source.path(), "/store"));
    const uint64_t sound = disk.fingerprint();
    const auto remove = [&](const char* path) { REQUIRE(disk.remove(path).ok()); };
    const auto spoilers = std::vector<std::pair<std::string, std::function<void()>>>{
        {"experts-001.bin", [&] { flip(disk, "/store/experts-001.bin", 9); }},
        {"experts-001.bin", [&] { flip(disk, "/store/experts-001.bin", 4000); }},
        {"experts-002.bin", [&] { disk.bytes("/store/experts-002.bin")->resize(5000); }},
        {"experts-002.bin", [&] { disk.bytes("/store/experts-002.bin")->resize(1 << 20); }},
        {"dense.safetensors", [&] { disk.bytes("/store/dense.safetensors")->push_back({}); }},
        {"dense.safetensors", [&] { disk.bytes("/store/dense.safetensors")->resize(100'000); }},
        {"config.json", [&] { flip(disk, "/store/config.json", 3); }},
        {"config.json", [&] { remove("/store/config.json"); }},
        {"experts-003.bin", [&] { remove("/store/experts-003.bin"); }},
        {"dense.safetensors", [&] { remove("/store/dense.safetensors"); }},
    };
    VerifyOptions repairing = check_only();
    repairing.repair_from = source.path();
    for (const auto& [name, spoil] : spoilers) {
        CAPTURE(name);
        spoil();
        const VerifyResult found = verify_or_fail(source.disk(), disk, check_only());
        REQUIRE(!found.broken.empty());
        for (const BrokenPiece& broken : found.broken) CHECK(broken.file.filename() == name);
        const VerifyResult mended = verify_or_fail(source.disk(), disk, repairing);
        CHECK(mended.still_broken() == 0);
        CHECK(verify_or_fail(source.disk(), disk, check_only()).broken.empty());
    }
    CHECK(disk.fingerprint() == sound);
}

TEST_CASE("a read that stumbles once is no broken record") {
    SmallSource source;
    SimulatedDisk disk(1);
    pack_or_fail(source.disk(), disk, pack_options(source.path(), "/store"));
    disk.set_faults({.bit_flip = 0.2});
    uint64_t wrongly = 0;
    for (int i = 0; i < 20; ++i) {
        CallingWatcher watcher([](const StoreProgress&) { return true; });
        VerifyOptions options = check_only();
        options.lanes = 1;
        const auto found = verify(source.disk(), disk, options, watcher);
        if (found.ok()) wrongly += found->broken.size();
    }
    CHECK(disk.counts().bit_flips > 20);
    // Two flips in a row are taken for a broken record: 0.2 squared of what is read.
    CHECK(wrongly < disk.counts().bit_flips / 3);
}

TEST_CASE("a source that gives other bytes mends nothing and says so") {
    SmallSource source, other(4711);
    SimulatedDisk disk(1);
    pack_or_fail(source.disk(), disk, pack_options(source.path(), "/store"));
    flip(disk, "/store/experts-001.bin", 5000);
    const uint64_t broken = disk.fingerprint();
    VerifyOptions repairing = check_only();
    repairing.repair_from = other.path();
    const VerifyResult tried = verify_or_fail(other.disk(), disk, repairing);
    REQUIRE(tried.broken.size() == 1);
    CHECK(tried.still_broken() == 1);
    CHECK(tried.broken[0].text().find("not made from that") != std::string::npos);
    CHECK(disk.fingerprint() == broken);
}

TEST_CASE("a part that is not mounted is no broken record, and what is no store is refused") {
    SmallSource source;
    SimulatedDisk disk(1);
    PackOptions packing = pack_options(source.path(), "/store");
    packing.also = {"/b"};
    pack_or_fail(source.disk(), disk, packing);
    const std::vector<std::string> names = *disk.list("/b");
    for (const std::string& name : names) REQUIRE(disk.remove(Path("/b") / name).ok());
    CallingWatcher watcher([](const StoreProgress&) { return true; });
    const auto missing = verify(source.disk(), disk, check_only(), watcher);
    REQUIRE(!missing.ok());
    CHECK(missing.error().message.find("part 2 of 2, /b, is missing") != std::string::npos);

    VerifyOptions nothing;
    nothing.directory = "/nothing";
    const auto none = verify(source.disk(), disk, nothing, watcher);
    REQUIRE(!none.ok());
    CHECK(none.error().message.find("is no store") != std::string::npos);
}

}  // namespace millrace::test
