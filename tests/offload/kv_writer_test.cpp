// The way into the archive and out of it, with threads: a ring that fills up and wraps, readers that meet gaps.

#include "offload/kv_writer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "offload/kv_reader.h"
#include "tests/support/archive_script.h"
#include "tests/support/simulated_disk.h"

namespace millrace::test {
namespace {

struct World {
    World() {
        auto opened =
            KvArchive::open({disk, entropy, calendar}, archive_key(1), {"/kv", uint64_t{1} << 30});
        REQUIRE(opened.ok());
        archive = *std::move(opened);
    }
    SimulatedDisk disk{1};
    SeededEntropy entropy{2};
    SetCalendar calendar;
    std::unique_ptr<KvArchive> archive;
};

bool offer(KvWriter& writer, const ArchiveUser& user, const PagePath& path, KvPart part) {
    const auto bytes = bytes_of(path, part);
    return writer.offer(user.page(path), part, bytes.size(), [&](std::span<std::byte> room) {
        std::ranges::copy(bytes, room.begin());
        return true;
    });
}

}  // namespace

TEST_CASE("what the ring takes is written as it was given, what it does not take may come again") {
    World world;
    ArchiveUser user(*world.archive, "model");
    Random random(3);
    // Room for a few pages only, so that it wraps all the time.
    auto writer = KvWriter::create(*world.archive, 20000);
    REQUIRE(writer.ok());
    std::vector<PagePath> taken;
    uint64_t refused = 0;
    for (int32_t i = 0; i < 600; ++i) {
        const PagePath path = {i};
        while (!offer(**writer, user, path, KvPart::kRows)) {
            ++refused;
            std::this_thread::yield();
        }
        taken.push_back(path);
        if (random.below(3) == 0 && offer(**writer, user, path, KvPart::kEdge)) {
            (*writer)->settle();
            CHECK(*user.read(path, KvPart::kEdge));
        }
    }
    CHECK((*writer)->refused() >= refused);
    writer->reset();  // writes what is left
    for (const PagePath& path : taken) CHECK(*user.read(path, KvPart::kRows));
}

TEST_CASE("a page larger than the ring is refused, and the ring is none the worse") {
    World world;
    ArchiveUser user(*world.archive, "model");
    auto writer = KvWriter::create(*world.archive, 4096);  // rounded up to whole pages
    REQUIRE(writer.ok());
    CHECK_FALSE(offer(**writer, user, {1}, KvPart::kEdge));
    CHECK(offer(**writer, user, {1}, KvPart::kRows));
    CHECK_FALSE(offer(**writer, user, {1}, KvPart::kEdge));
    CHECK((*writer)->refused() == 2);
    (*writer)->settle();
    CHECK(*user.read({1}, KvPart::kRows));
}

TEST_CASE("pages are read several at a time, and as many as are there from the first on") {
    World world;
    ArchiveUser user(*world.archive, "model");
    PagePath path;
    std::vector<KvKey> keys;
    for (int32_t i = 0; i < 50; ++i) {
        path.push_back(i);
        (void)user.write(path, KvPart::kRows);
        keys.push_back(user.page(path).key);
    }
    (void)user.write(path, KvPart::kEdge);
    auto reader = KvReader::create(*world.archive, bytes_of({1}, KvPart::kRows).size(),
                                   bytes_of({1}, KvPart::kEdge).size());
    REQUIRE(reader.ok());
    std::mutex mutex;
    std::set<size_t> seen;
    const auto take = [&](size_t i, std::span<const std::byte> bytes) {
        const PagePath upto(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        const bool right = std::ranges::equal(bytes, bytes_of(upto, KvPart::kRows));
        const std::scoped_lock lock(mutex);
        CHECK(right);
        CHECK(seen.insert(i).second);
    };
    CHECK(reader->read_rows(keys, take) == 50);
    CHECK(seen.size() == 50);
    CHECK(std::ranges::equal(reader->read_edge(keys.back()), bytes_of(path, KvPart::kEdge)));
    CHECK(reader->read_edge(keys.front()).empty());
    CHECK(reader->read_rows({}, take) == 0);

    (*world.disk.bytes(Path("/kv") / kv_file_name(keys[20], KvPart::kRows)))[1000] ^= std::byte{1};
    seen.clear();
    CHECK(reader->read_rows(keys, take) == 20);
    for (size_t i = 0; i < 20; ++i) CHECK(seen.contains(i));
    CHECK_FALSE(seen.contains(20));
}

}  // namespace millrace::test
