#include "core/base/pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "core/base/clock.h"

namespace millrace {
namespace {

TEST_CASE("every index is called exactly once, for every number of threads and rows") {
    for (const int threads : {1, 2, 3, 8}) {
        Pool pool(threads);
        CHECK(pool.threads() == threads);
        for (const int64_t count : {-1, 0, 1, 2, 7, 64, 1000}) {
            std::vector<int> calls(static_cast<size_t>(std::max<int64_t>(count, 0)), 0);
            pool.run(count, [&](int64_t i) { ++calls[static_cast<size_t>(i)]; });
            for (const int n : calls) REQUIRE(n == 1);
        }
    }
}

// Plain writes that the caller reads afterwards: the thread sanitizer sees whether the join orders them.
TEST_CASE("what the rows wrote is visible after run, thousands of times in a row") {
    Pool pool(4);
    std::vector<int64_t> rows(17);
    int64_t expected = 0;
    for (int64_t round = 0; round < 3000; ++round) {
        pool.run(static_cast<int64_t>(rows.size()),
                 [&](int64_t i) { rows[static_cast<size_t>(i)] += i + round; });
        for (int64_t i = 0; i < 17; ++i) expected += i + round;
        REQUIRE(std::accumulate(rows.begin(), rows.end(), int64_t{0}) == expected);
    }
}

TEST_CASE("a pool can be made and dropped at once, used or not") {
    for (int i = 0; i < 50; ++i) {
        Pool idle(3);
        Pool used(3);
        std::atomic<int> calls = 0;
        used.run(5, [&](int64_t) { ++calls; });
        CHECK(calls == 5);
    }
}

TEST_CASE("rows really run on several threads") {
    Pool pool(2);
    std::atomic<int> inside = 0;
    // Each row waits for the other, which one thread alone could never satisfy.
    pool.run(2, [&](int64_t) {
        ++inside;
        while (inside.load() < 2) std::this_thread::yield();
    });
    CHECK(inside == 2);
}

TEST_CASE("one thread means the caller's") {
    Pool pool(1);
    std::set<std::thread::id> ids;
    pool.run(10, [&](int64_t) { ids.insert(std::this_thread::get_id()); });
    CHECK(ids == std::set<std::thread::id>{std::this_thread::get_id()});
}

TEST_CASE("the system's clock never goes back") {
    SystemClock clock;
    int64_t before = clock.now_ns();
    for (int i = 0; i < 1000; ++i) {
        const int64_t now = clock.now_ns();
        REQUIRE(now >= before);
        before = now;
    }
}

}  // namespace
}  // namespace millrace
