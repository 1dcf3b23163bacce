#include "ui/branch_map.h"

#include <doctest/doctest.h>

#include <set>

#include "core/base/random.h"
#include "core/base/strings.h"

using namespace millrace;

namespace {

StoredMessage message(int64_t id, int64_t parent, Author author) {
    StoredMessage m;
    m.id = MessageId{id};
    m.parent = MessageId{parent};
    m.author = author;
    m.content = cat("message ", id);
    return m;
}

// "1 | .2 | *3" of rows: dots for the indent, a star for what is shown.
std::string drawn(const BranchMap& map) {
    std::string text;
    for (const BranchRow& row : map.rows()) {
        if (!text.empty()) text += " | ";
        text += std::string(static_cast<size_t>(row.indent), '.');
        text += cat(row.shown ? "*" : "", static_cast<int64_t>(row.id));
    }
    return text;
}

constexpr auto kUser = Author::kUser;
constexpr auto kAssistant = Author::kAssistant;

}  // namespace

TEST_CASE("what is shown runs straight down, other versions stand before it with what followed") {
    Branches branches;
    branches.append(message(1, 0, kUser));
    branches.append(message(2, 1, kAssistant));
    branches.append(message(3, 2, kUser));
    branches.append(message(4, 1, kAssistant));
    branches.append(message(5, 4, kUser));
    branches.append(message(6, 3, kAssistant));
    branches.append(message(7, 3, kAssistant));
    branches.show(MessageId{5});
    const BranchMap map(branches);
    CHECK(drawn(map) == "*1 | .2 | .3 | ..6 | .7 | *4 | *5");
    CHECK(map.branches() == 3);
    CHECK(map.rows()[1].number == 1);
    CHECK(map.rows()[1].count == 2);
    CHECK(map.rows()[5].number == 2);
    CHECK(map.version_beside(1, 1) == 5);
    CHECK(map.version_beside(5, -1) == 1);
    CHECK(map.version_beside(5, 1) == 5);
    CHECK(map.row_of(MessageId{7}) == 4);
    CHECK(map.row_of(MessageId{99}) == 7);
    branches.show(MessageId{6});
    CHECK(drawn(BranchMap(branches)) == "*1 | .4 | .5 | *2 | *3 | .7 | *6");
    CHECK(drawn(BranchMap(Branches())) == "");
}

TEST_CASE("any tree, deep or bushy: each message has one row, below its parent's and right of it") {
    Random random{3};
    for (const uint64_t back : {uint64_t{1}, uint64_t{2}, uint64_t{10}, uint64_t{3000}}) {
        Branches branches;
        for (int64_t id = 1; id <= 3000; ++id) {
            const auto above = static_cast<int64_t>(1 + random.below(back));
            branches.append(
                message(id, std::max<int64_t>(0, id - above), id % 2 == 0 ? kUser : kAssistant));
        }
        branches.show(MessageId{static_cast<int64_t>(1 + random.below(3000))});
        const BranchMap map(branches);
        REQUIRE(map.rows().size() == 3000);
        std::set<int64_t> seen;
        size_t shown = 0, bad = 0;
        for (size_t i = 0; i < map.rows().size(); ++i) {
            const BranchRow& row = map.rows()[i];
            seen.insert(static_cast<int64_t>(row.id));
            shown += row.shown ? 1 : 0;
            if (row.shown && row.indent != 0) ++bad;
            const Branches::Version version = branches.version_of(row.id);
            if (version.number != row.number || version.count != row.count) ++bad;
            const StoredMessage* stored = branches.find(row.id);
            if (map.row_of(row.id) != i) ++bad;
            if (stored->parent == MessageId::kNone) continue;
            const size_t parent = map.row_of(stored->parent);
            if (parent >= i || map.rows()[parent].indent > row.indent) ++bad;
        }
        CHECK(seen.size() == 3000);
        CHECK(bad == 0);
        CHECK(shown == branches.shown().size());
    }
}

TEST_CASE("the newest end below a message, in any tree") {
    Random random{4};
    Branches branches;
    for (int64_t id = 1; id <= 400; ++id) {
        branches.append(
            message(id, static_cast<int64_t>(random.below(static_cast<uint64_t>(id))), kUser));
    }
    for (int64_t id = 1; id <= 400; ++id) {
        MessageId leaf{id};
        while (true) {
            MessageId newest = MessageId::kNone;
            for (const StoredMessage& m : branches.all()) {
                if (m.parent == leaf) newest = m.id;
            }
            if (newest == MessageId::kNone) break;
            leaf = newest;
        }
        CHECK(branches.newest_leaf(MessageId{id}) == leaf);
    }
}

TEST_CASE("the first words of a message are one line") {
    StoredMessage m = message(1, 0, kAssistant);
    m.content = "\n\n  Two\n\tlines  here \n";
    CHECK(first_words(m) == "Two lines here");
    m.content = std::string(157, 'x') + "水车";
    CHECK(first_words(m) == std::string(157, 'x') + "水");
    m.content = "  \n";
    CHECK(first_words(m) == "(empty)");
    m.reasoning = "hm";
    CHECK(first_words(m) == "(only thinking so far)");
}
