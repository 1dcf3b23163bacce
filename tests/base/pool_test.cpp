#include "core/base/pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <numeric>
#include <semaphore>
#include <set>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "core/base/machine.h"

namespace millrace {
namespace {

// Lets time pass without using the processor.
void wait_in_vain(std::chrono::milliseconds time) {
    std::binary_semaphore never(0);
    CHECK(!never.try_acquire_for(time));
}

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

// The thread sanitizer watches all of these: rounds in a row, rounds after the workers have gone to sleep, more threads
// than processors, and a pool that ends while its workers look for work or sleep.
TEST_CASE("thousands of rounds, with and without pauses between them") {
    const std::vector<int> cpus = allowed_cpus();
    for (const int threads : {1, 2, 3, 8}) {
        CAPTURE(threads);
        for (const Pinning pinning : {Pinning::kNo, Pinning::kYes}) {
            Pool pool(threads, pinning);
            std::vector<int64_t> rows(23);
            for (int64_t round = 1; round <= 2000; ++round) {
                const int64_t count = round % 23 + 1;
                pool.run(count, [&](int64_t i) { rows[static_cast<size_t>(i)] += round; });
                // Longer than anybody's patience: the next round finds them asleep.
                if (round % 200 == 0) wait_in_vain(std::chrono::milliseconds(1));
            }
            int64_t expected = 0, sum = 0;
            for (int64_t round = 1; round <= 2000; ++round) expected += round * (round % 23 + 1);
            for (const int64_t row : rows) sum += row;
            REQUIRE(sum == expected);
        }
        CHECK(allowed_cpus() == cpus);  // what was pinned is free again
    }
}

TEST_CASE("a pool ends at once, whether its workers sleep or look for work") {
    for (int i = 0; i < 20; ++i) {
        Pool awake(3), asleep(3);
        std::atomic<int> calls = 0;
        asleep.run(6, [&](int64_t) { ++calls; });
        wait_in_vain(std::chrono::milliseconds(1));
        awake.run(6, [&](int64_t) { ++calls; });
        CHECK(calls == 12);
    }
}

TEST_CASE("a caller that waits for a slow worker longer than its patience is woken") {
    Pool pool(2);
    const std::thread::id caller = std::this_thread::get_id();
    for (int round = 0; round < 5; ++round) {
        std::atomic<int> inside = 0;
        std::atomic<bool> worker_done = false;
        pool.run(2, [&](int64_t) {
            ++inside;
            while (inside.load() < 2) std::this_thread::yield();  // one piece each
            if (std::this_thread::get_id() == caller) return;
            wait_in_vain(std::chrono::milliseconds(2));
            worker_done = true;
        });
        CHECK(worker_done);
    }
}

TEST_CASE("calls with one thread number never overlap") {
    for (const int threads : {1, 2, 3, 8}) {
        Pool pool(threads);
        // Plain numbers: two calls at a time on one place would lose counts, and the thread sanitizer would say so.
        std::vector<int64_t> places(static_cast<size_t>(threads), 0);
        int64_t expected = 0;
        for (int64_t round = 0; round < 500; ++round) {
            pool.run_on(40, [&](int64_t i, int thread) {
                REQUIRE((thread >= 0 && thread < threads));
                places[static_cast<size_t>(thread)] += i;
            });
            expected += 40 * 39 / 2;
        }
        CHECK(std::accumulate(places.begin(), places.end(), int64_t{0}) == expected);
    }
}

TEST_CASE("workers go to sleep when nothing comes") {
    Pool pool(2);
    std::atomic<int> calls = 0;
    pool.run(64, [&](int64_t) { ++calls; });
    wait_in_vain(std::chrono::milliseconds(20));
    // The processor time of the whole process: a worker that still looked would take all it gets.
    const std::clock_t before = std::clock();
    wait_in_vain(std::chrono::milliseconds(500));
    const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    CHECK(seconds < 0.02);
    CHECK(calls == 64);
}

TEST_CASE("pinning gives every thread a CPU of its own, and the caller its freedom back") {
    const std::vector<int> before = allowed_cpus();
    if (before.size() < 2) return;
    {
        Pool pool(2, Pinning::kYes);
        std::vector<std::vector<int>> seen(2);
        std::atomic<int> inside = 0;
        pool.run_on(2, [&](int64_t, int thread) {
            ++inside;
            while (inside.load() < 2) std::this_thread::yield();
            seen[static_cast<size_t>(thread)] = allowed_cpus();
        });
        REQUIRE((seen[0].size() == 1 && seen[1].size() == 1));
        CHECK(seen[0] != seen[1]);
        CHECK(allowed_cpus() == seen[0]);
    }
    CHECK(allowed_cpus() == before);
    Pool crowded(static_cast<int>(before.size()) + 1, Pinning::kYes);
    crowded.run(8, [](int64_t) {});
    CHECK(allowed_cpus() == before);
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
