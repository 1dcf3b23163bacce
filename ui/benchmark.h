#pragma once
// Measures the open model with ordinary questions of growing length: how fast it reads and writes at each length of the
// context, and, when it is opened anew first, how fast with nothing in memory. The text is drawn from a seed, so that no
// run finds what an earlier one left behind.
// Threads: the window's; `tick` moves it on.

#include <cstdint>
#include <string>
#include <vector>

#include "ui/desk.h"
#include "ui/workshop.h"

namespace millrace {

struct BenchmarkPlan {
    std::vector<int64_t> contexts;  // tokens, rising
    bool cold = false;              // open the model anew first, and measure that too
    int64_t tokens = 32;            // written at each
};

class Benchmark {
public:
    // What is possible with this model: lengths that it has room for.
    [[nodiscard]] static std::vector<int64_t> contexts_for(int64_t context_max, int64_t longest);

    void start(Desk& desk, const BenchmarkPlan& plan, uint64_t seed);
    void stop(Desk& desk);
    // Once a frame. When a run has come to its end it is given to `workshop`, if there is one.
    void tick(Desk& desk, Workshop* workshop);

    [[nodiscard]] bool running() const { return phase_ != Phase::kIdle; }
    [[nodiscard]] std::string text() const;                     // "Point 2 of 5: 2 048 tokens"
    [[nodiscard]] double share() const;                         // of the points that are done
    [[nodiscard]] const BenchRun& run() const { return run_; }  // this one, or the last
    [[nodiscard]] const std::string& problem() const { return problem_; }

private:
    enum class Phase : uint8_t { kIdle, kOpening, kReady, kAsking };
    struct Point {
        int64_t context = 0;
        bool cold = false;
    };
    void ask(Desk& desk);
    void take(const Desk& desk, const ModelReport& report);
    void end(std::string problem);

    Phase phase_ = Phase::kIdle;
    std::vector<Point> points_;
    size_t next_ = 0;
    int64_t tokens_ = 0;
    uint64_t seed_ = 0;
    uint64_t steps_from_ = 0;  // of the feed
    int64_t words_asked_ = 0;
    double tokens_a_word_ = 1;
    bool stopping_ = false, done_ = false;
    BenchRun run_;
    std::string problem_;
};

// About `words` words in sentences, drawn from the seed.
[[nodiscard]] std::string filler_text(int64_t words, uint64_t seed);

}  // namespace millrace
