// What the archive promises to those who use it, on a disk without faults. With faults: kv_archive_simulation_test.cpp.

#include "offload/kv_archive.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "tests/support/archive_script.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {
namespace {

constexpr uint64_t kPlenty = uint64_t{1} << 30;

struct Place {
    std::unique_ptr<KvArchive> open(uint64_t budget = kPlenty, uint64_t key = 1) {
        auto archive =
            KvArchive::open({disk, entropy, calendar}, archive_key(key), {"/kv", budget});
        REQUIRE(archive.ok());
        return *std::move(archive);
    }
    std::vector<std::string> names(std::string_view ending) {
        auto all = disk.list("/kv");
        REQUIRE(all.ok());
        std::vector<std::string> names = *std::move(all);
        std::erase_if(names, [&](const std::string& name) { return !name.ends_with(ending); });
        return names;
    }
    SimulatedDisk disk{1};
    SeededEntropy entropy{2};
    SetCalendar calendar;
};

PagePath prefix(const PagePath& path, size_t pages) {
    return {path.begin(), path.begin() + static_cast<std::ptrdiff_t>(pages)};
}

// The rules of the archive, by searching a list.
struct NaiveArchive {
    struct Entry {
        PagePath path;
        KvPart part;
        uint64_t used;
    };
    uint64_t budget = 0, used = 0;
    std::vector<Entry> entries = {};

    [[nodiscard]] Entry* find(const PagePath& path, KvPart part) {
        const auto at = std::ranges::find_if(
            entries, [&](const Entry& e) { return e.path == path && e.part == part; });
        return at == entries.end() ? nullptr : &*at;
    }
    [[nodiscard]] uint64_t bytes() const {
        uint64_t sum = 0;
        for (const Entry& e : entries) sum += file_bytes(e.part);
        return sum;
    }
    [[nodiscard]] bool is_leaf(const Entry& e) const {
        if (e.part == KvPart::kEdge) return true;
        return std::ranges::none_of(entries, [&](const Entry& other) {
            if (other.part == KvPart::kEdge) return other.path == e.path;
            return other.path.size() == e.path.size() + 1 &&
                   prefix(other.path, e.path.size()) == e.path;
        });
    }
    size_t found(const PagePath& path) {
        size_t usable = 0;
        for (size_t n = 1; n <= path.size(); ++n) {
            if (find(prefix(path, n), KvPart::kRows) == nullptr) break;
            if (find(prefix(path, n), KvPart::kEdge) != nullptr) usable = n;
        }
        ++used;
        for (size_t n = 1; n <= usable; ++n) find(prefix(path, n), KvPart::kRows)->used = used;
        if (usable > 0) find(prefix(path, usable), KvPart::kEdge)->used = used;
        return usable;
    }
    KvWrite write(const PagePath& path, KvPart part) {
        const PagePath under = part == KvPart::kEdge ? path : prefix(path, path.size() - 1);
        if (find(path, part) != nullptr) return KvWrite::kKnown;
        if (!under.empty() && find(under, KvPart::kRows) == nullptr) return KvWrite::kNoPlace;
        ++used;
        if (!under.empty()) find(under, KvPart::kRows)->used = used;
        while (bytes() + file_bytes(part) > budget && !entries.empty()) {
            auto oldest = entries.end();
            for (auto e = entries.begin(); e != entries.end(); ++e) {
                if (is_leaf(*e) && (oldest == entries.end() || e->used < oldest->used)) oldest = e;
            }
            entries.erase(oldest);
        }
        if (!under.empty() && find(under, KvPart::kRows) == nullptr) return KvWrite::kNoPlace;
        entries.push_back({path, part, used});
        return KvWrite::kStored;
    }
};

}  // namespace

TEST_CASE("the longest prefix that ends in an edge is found, in the same process and the next") {
    Place place;
    for (int life = 0; life < 3; ++life) {
        CAPTURE(life);
        const auto archive = place.open();
        ArchiveUser user(*archive, "model");
        if (life == 0) {
            CHECK(user.found({1, 2, 3}) == 0);
            CHECK(user.write({1}, KvPart::kEdge) == KvWrite::kNoPlace);
            CHECK(user.write({1, 2}, KvPart::kRows) == KvWrite::kNoPlace);
            user.write_all({1, 2});
            CHECK(user.write({1, 2}, KvPart::kEdge) == KvWrite::kKnown);
            CHECK(user.write({1, 2, 3}, KvPart::kRows) == KvWrite::kStored);
            user.write_all({1, 2, 4, 5});
            user.write_all({7});
        }
        CHECK(*user.load({1, 2}) == 2);
        CHECK(*user.load({1, 2, 3, 4}) == 2);  // page 3 has no edge
        CHECK(*user.load({1, 2, 4, 5, 6}) == 4);
        CHECK(*user.load({1, 2, 4}) == 2);
        CHECK(*user.load({1}) == 0);
        CHECK(*user.load({7, 1}) == 1);
        CHECK(*user.load({2, 1}) == 0);
        CHECK(archive->stats().files == 9);
        CHECK(archive->stats().bytes == 6 * 4096 + 3 * 8192);
        if (life == 1) {  // without its index it looks into the files
            archive->save();
            for (const std::string& name : place.names(".index")) {
                REQUIRE(place.disk.remove("/kv/" + name).ok());
            }
        }
    }
    CHECK(place.names(".part").empty());
}

TEST_CASE("another model, another instruction set, another secret: nothing is found") {
    Place place;
    {
        const auto archive = place.open();
        ArchiveUser(*archive, "model avx512").write_all({1, 2});
        CHECK(ArchiveUser(*archive, "model avx2").found({1, 2}) == 0);
        CHECK(ArchiveUser(*archive, "model avx512").found({1, 2}) == 2);
    }
    const auto archive = place.open(kPlenty, 2);
    ArchiveUser user(*archive, "model avx512");
    CHECK(user.found({1, 2}) == 0);
    CHECK(archive->stats().files == 0);
    const auto notices = archive->take_notices();
    REQUIRE(notices.size() == 1);
    CHECK(notices[0].find("sealed with another key") != std::string::npos);
    archive->save();
    CHECK(archive->take_notices().empty());
    CHECK(archive->stats().foreign_files == 6);  // with two labels and the index
    // The right key has not lost them,
    CHECK(ArchiveUser(*place.open(), "model avx512").found({1, 2}) == 2);
    // until somebody prunes.
    archive->prune(kPlenty);
    CHECK(ArchiveUser(*place.open(), "model avx512").found({1, 2}) == 0);
}

TEST_CASE("two processes at once find what the other stored, and forget what it removed") {
    Place place;
    const auto one = place.open(), two = place.open();
    ArchiveUser first(*one, "model"), second(*two, "model");
    first.write_all({1, 2});
    CHECK(*second.load({1, 2, 3}) == 2);
    second.write_all({1, 2, 3});
    CHECK(*first.load({1, 2, 3}) == 3);
    CHECK(first.write({1, 2, 3}, KvPart::kEdge) == KvWrite::kKnown);
    // The same page by both: the same bytes.
    first.write_all({8});
    second.write_all({8});
    CHECK(*first.load({8}) == 1);
    // An edge that the other process put on a page that this one knows.
    first.write_all({1, 2, 3, 4, 5});
    CHECK(*second.load({1, 2, 3, 4, 5}) == 5);
    two->prune(0);
    CHECK(*first.load({1, 2, 3}) == 0);
    CHECK(one->stats().lost > 0);
    first.write_all({1, 2, 3});
    CHECK(*first.load({1, 2, 3}) == 3);
}

TEST_CASE("the budget counts what another process wrote, sooner or later") {
    Place place;
    constexpr uint64_t kBudget = 64 * 4096;
    const auto one = place.open(kBudget), two = place.open(kBudget);
    ArchiveUser first(*one, "model"), second(*two, "model");
    for (int32_t i = 0; i < 100; ++i) {
        CHECK(first.write({i}, KvPart::kRows) == KvWrite::kStored);
        CHECK(second.write({1000 + i}, KvPart::kRows) == KvWrite::kStored);
        CHECK(place.names(".rows").size() <= 64 + 2 * 64 / 16);
    }
}

TEST_CASE("labels, dates and sizes of models; erase leaves nothing") {
    Place place;
    const auto archive = place.open();
    ArchiveUser user(*archive, "flash");
    user.write_all({1, 2});
    place.calendar.seconds += 1000;
    ArchiveUser(*archive, "pro").write_all({1});
    auto models = archive->models();
    REQUIRE(models.size() == 2);
    std::ranges::sort(models, {}, &KvModelUse::label);
    CHECK(models[0].label == "flash");
    CHECK(models[0].pages == 2);
    CHECK(models[0].edges == 1);
    CHECK(models[0].bytes == 2 * 4096 + 8192);
    CHECK(models[0].used_s == 1'800'000'000);
    CHECK(models[1].label == "pro");
    CHECK(models[1].used_s == 1'800'001'000);
    CHECK(*user.load({1, 2}) == 2);
    models = archive->models();
    std::ranges::sort(models, {}, &KvModelUse::label);
    CHECK(models[0].used_s == 1'800'001'000);

    REQUIRE(place.disk.open("/kv/notes.txt", OpenFor::kWriting, Through::kPageCache).ok());
    CHECK(archive->erase().ok());
    CHECK(place.names("").size() == 1);  // nobody else's file
    CHECK(user.found({1, 2}) == 0);
    CHECK(archive->stats().bytes == 0);
}

TEST_CASE("with the clock set back the newest is still the last to go") {
    Place place;
    {
        const auto archive = place.open();
        ArchiveUser(*archive, "model").write_all({1});
    }
    place.calendar.seconds -= 1'000'000;
    const auto archive = place.open(2 * (4096 + 8192));
    ArchiveUser user(*archive, "model");
    user.write_all({2});
    user.write_all({3});
    CHECK_FALSE(user.has({1}, KvPart::kEdge));
    CHECK(user.has({2}, KvPart::kEdge));
    CHECK(user.has({3}, KvPart::kEdge));
}

TEST_CASE("under any budget the archive holds what a simple list of the same rules holds") {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
        CAPTURE(seed);
        Random random(seed);
        Place place;
        NaiveArchive naive{.budget = (5 + random.below(20)) * 4096};
        auto archive = place.open(naive.budget);
        auto user = std::make_unique<ArchiveUser>(*archive, "model");
        for (int step = 0; step < 300; ++step) {
            PagePath path(1 + random.below(5));
            for (int32_t& page : path) page = static_cast<int32_t>(random.below(2));
            const KvPart part = random.below(2) == 0 ? KvPart::kRows : KvPart::kEdge;
            const uint64_t what = random.below(32);
            if (what == 0) {  // another start
                user.reset();
                archive.reset();
                archive = place.open(naive.budget);
                user = std::make_unique<ArchiveUser>(*archive, "model");
            } else if (what < 12) {
                REQUIRE(user->found(path) == naive.found(path));
                REQUIRE(user->load(path) == naive.found(path));
            } else {
                REQUIRE(user->write(path, part) == naive.write(path, part));
            }
            REQUIRE(archive->stats().files == naive.entries.size());
            REQUIRE(archive->stats().bytes == naive.bytes());
            REQUIRE(naive.bytes() <= naive.budget);
            for (const auto& e : naive.entries) REQUIRE(user->has(e.path, e.part));
        }
    }
}

TEST_CASE("a page under another page's name is no page") {
    Place place;
    const auto archive = place.open();
    ArchiveUser user(*archive, "model");
    user.write_all({1});
    user.write_all({2});
    const auto path_of = [&](const PagePath& path) {
        return Path("/kv") / kv_file_name(user.page(path).key, KvPart::kRows);
    };
    *place.disk.bytes(path_of({1})) = *place.disk.bytes(path_of({2}));
    CHECK_FALSE(user.read({1}, KvPart::kRows).has_value());
    CHECK(*user.read({2}, KvPart::kRows));
    CHECK_FALSE(user.has({1}, KvPart::kEdge));  // what hung on it is gone too
    CHECK(place.disk.bytes(path_of({1})) == nullptr);
}

TEST_CASE("on a real file system") {
    const TempDirectory directory;
    SystemDisk disk;
    SystemEntropy entropy;
    SystemCalendar calendar;
    for (int life = 0; life < 2; ++life) {
        const auto archive = KvArchive::open({disk, entropy, calendar}, archive_key(1),
                                             {directory.path() / "a" / "kv", kPlenty});
        REQUIRE(archive.ok());
        ArchiveUser user(**archive, "model");
        if (life == 0) user.write_all({1, 2, 3});
        CHECK(*user.load({1, 2, 3, 4}) == 3);
    }
}

}  // namespace millrace::test
