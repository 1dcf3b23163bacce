// The archive's tree against a list that is searched from end to end.

#include "offload/kv_table.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/support/archive_world.h"

namespace millrace::test {
namespace {

KvKey key_of(uint64_t number) {
    KvKey key;
    std::memcpy(key.bytes.data(), &number, sizeof number);
    return key;
}

// The same rules, by searching.
struct NaiveTable {
    std::vector<KvPlace> places;

    const KvPlace* find(const KvKey& key, KvPart part) const {
        const auto at = std::ranges::find_if(
            places, [&](const KvPlace& p) { return p.key == key && p.part == part; });
        return at == places.end() ? nullptr : &*at;
    }
    bool is_leaf(const KvPlace& place) const {
        if (place.part == KvPart::kEdge) return true;
        return std::ranges::none_of(places, [&](const KvPlace& p) {
            return p.part == KvPart::kEdge ? p.key == place.key
                                           : p.page > 0 && p.parent == place.key;
        });
    }
    const KvPlace* oldest_leaf() const {
        const KvPlace* oldest = nullptr;
        for (const KvPlace& place : places) {
            if (is_leaf(place) && (oldest == nullptr || place.used < oldest->used)) oldest = &place;
        }
        return oldest;
    }
    void remove(const KvKey& key, KvPart part) {
        std::erase_if(places, [&](const KvPlace& p) {
            return p.key == key && (part == KvPart::kRows || p.part == part);
        });
        if (part == KvPart::kEdge) return;
        // Whoever has lost its page or its parent, until nobody has.
        while (std::erase_if(places, [&](const KvPlace& p) {
                   const KvKey& wanted = p.part == KvPart::kEdge ? p.key : p.parent;
                   const bool first = p.part == KvPart::kRows && p.page == 0;
                   return !first && find(wanted, KvPart::kRows) == nullptr;
               }) > 0) {
        }
    }
    uint64_t bytes() const {
        uint64_t sum = 0;
        for (const KvPlace& place : places) sum += place.bytes;
        return sum;
    }
};

void check_same(const KvTable& table, const NaiveTable& naive) {
    REQUIRE(table.count() == naive.places.size());
    REQUIRE(table.bytes() == naive.bytes());
    for (const KvPlace& place : naive.places) REQUIRE(table.has(place.key, place.part));
    const auto leaf = table.oldest_leaf();
    const KvPlace* expected = naive.oldest_leaf();
    REQUIRE(leaf.has_value() == (expected != nullptr));
    if (!leaf) return;
    REQUIRE(leaf->key == expected->key);
    REQUIRE(leaf->part == expected->part);
    REQUIRE(leaf->used == expected->used);
}

}  // namespace

TEST_CASE("a tree of pages does what a list does, whatever is added, used and removed") {
    Random random(5);
    KvTable table;
    NaiveTable naive;
    const KvKey model = key_of(1);
    uint64_t next_key = 2, used = 0;
    for (int step = 0; step < 4000; ++step) {
        const auto any = [&]() -> KvPlace {
            return naive.places[random.below(naive.places.size())];
        };
        const uint64_t what = naive.places.empty() ? 0 : random.below(10);
        if (what < 5) {
            KvPlace place{.key = key_of(next_key++),
                          .parent = model,
                          .model = model,
                          .part = KvPart::kRows,
                          .page = 0,
                          .used = ++used,
                          .bytes = 1 + random.below(100)};
            if (!naive.places.empty() && what > 0) {
                const KvPlace under = any();
                if (what == 1) {
                    place.part = KvPart::kEdge;
                    place.key = under.key;
                    place.parent = under.parent;
                    place.page = under.page;
                    std::erase_if(naive.places, [&](const KvPlace& p) {
                        return p.key == place.key && p.part == place.part;
                    });
                } else {
                    place.parent = under.key;
                    place.page = under.page + 1;
                }
            }
            REQUIRE(table.fits(place));
            table.add(place);
            naive.places.push_back(place);
        } else if (what < 8) {
            const KvPlace place = any();
            table.touch(place.key, place.part, ++used);
            for (KvPlace& p : naive.places) {
                if (p.key == place.key && p.part == place.part) p.used = used;
            }
        } else if (what == 8 || naive.places.size() < 60) {
            const auto leaf = table.oldest_leaf();
            const auto gone = table.remove(leaf->key, leaf->part);
            REQUIRE(gone.size() == 1);
            naive.remove(leaf->key, leaf->part);
        } else {
            const KvPlace place = any();
            const auto gone = table.remove(place.key, place.part);
            const size_t before = naive.places.size();
            naive.remove(place.key, place.part);
            REQUIRE(gone.size() == before - naive.places.size());
        }
        check_same(table, naive);
    }
    while (const auto leaf = table.oldest_leaf()) (void)table.remove(leaf->key, leaf->part);
    CHECK(table.count() == 0);
    CHECK(table.bytes() == 0);
}

TEST_CASE("what has no place in the tree is not let in") {
    KvTable table;
    const KvKey model = key_of(1), other = key_of(2);
    const KvPlace first{.key = key_of(3), .parent = model, .model = model, .bytes = 1};
    KvPlace second{.key = key_of(4), .parent = first.key, .model = model, .page = 1, .bytes = 1};
    KvPlace edge = first;
    edge.part = KvPart::kEdge;
    CHECK_FALSE(table.fits(second));
    CHECK_FALSE(table.fits(edge));
    CHECK(table.fits(first));
    table.add(first);
    CHECK(table.fits(edge));
    CHECK(table.fits(second));
    second.page = 2;
    CHECK_FALSE(table.fits(second));
    second.page = 1;
    second.model = other;
    CHECK_FALSE(table.fits(second));
    second.page = 0;
    CHECK_FALSE(table.fits(second));
    CHECK(table.remove(key_of(9), KvPart::kRows).empty());
    CHECK(table.remove(first.key, KvPart::kEdge).empty());
}

}  // namespace millrace::test
