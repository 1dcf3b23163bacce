#include "ui/branches.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

using namespace millrace;

namespace {

StoredMessage message(int64_t id, int64_t parent, Author author = Author::kUser) {
    StoredMessage m;
    m.id = MessageId{id};
    m.parent = MessageId{parent};
    m.author = author;
    return m;
}

std::vector<int64_t> shown(const Branches& branches) {
    std::vector<int64_t> ids;
    for (const MessageId id : branches.shown()) ids.push_back(static_cast<int64_t>(id));
    return ids;
}

}  // namespace

TEST_CASE("versions are siblings of one author, in the order in which they came") {
    Branches branches;
    branches.append(message(1, 0));
    branches.append(message(2, 1, Author::kAssistant));
    branches.append(message(3, 1, Author::kAssistant));
    branches.append(message(4, 0));
    branches.append(message(5, 3));
    CHECK(branches.version_of(MessageId{2}).number == 1);
    CHECK(branches.version_of(MessageId{3}).number == 2);
    CHECK(branches.version_of(MessageId{3}).before == MessageId{2});
    CHECK(branches.version_of(MessageId{3}).after == MessageId::kNone);
    CHECK(branches.version_of(MessageId{1}).count == 2);
    CHECK(branches.newest_leaf(MessageId{1}) == MessageId{5});
    CHECK(shown(branches) == std::vector<int64_t>{1, 3, 5});
}

TEST_CASE("removing takes all that follows, and shows the nearest version or the parent") {
    Branches branches;
    for (const auto& m : {message(1, 0), message(2, 1, Author::kAssistant),
                          message(3, 1, Author::kAssistant), message(4, 3)})
        branches.append(m);
    branches.remove(MessageId{3});
    CHECK(branches.size() == 2);
    CHECK(shown(branches) == std::vector<int64_t>{1, 2});
    branches.remove(MessageId{2});
    CHECK(shown(branches) == std::vector<int64_t>{1});
    branches.remove(MessageId{1});
    CHECK(branches.leaf() == MessageId::kNone);
    CHECK(shown(branches).empty());
}

TEST_CASE("any tree: the branch that is shown is the walk along the parents") {
    uint64_t state = 12345;
    const auto random = [&](uint64_t below) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        return (state >> 33) % below;
    };
    for (int round = 0; round < 50; ++round) {
        Branches branches;
        std::map<int64_t, int64_t> parents;
        for (int64_t id = 1; id <= 40; ++id) {
            const auto parent = static_cast<int64_t>(random(static_cast<uint64_t>(id)));
            branches.append(message(id, parent));
            parents[id] = parent;
        }
        for (int64_t id = 1; id <= 40; ++id) {
            branches.show(MessageId{id});
            std::vector<int64_t> walk;
            for (int64_t at = id; at != 0; at = parents[at]) walk.insert(walk.begin(), at);
            CHECK(shown(branches) == walk);
            const MessageId leaf = branches.newest_leaf(MessageId{id});
            branches.show(leaf);
            const std::vector<int64_t> below = shown(branches);
            CHECK(std::find(below.begin(), below.end(), id) != below.end());
        }
    }
}
