// The line at the foot of an answer says only what is known.

#include "ui/answer_facts.h"

#include <doctest/doctest.h>

namespace millrace {
namespace {

AnswerStats stats() {
    AnswerStats stats;
    stats.generated_tokens = 41;
    stats.decode_ns = 10'000'000'000;
    stats.expert_hits = 81;
    stats.expert_misses = 19;
    stats.drive_bytes = 9'200'000'000;
    stats.drive_busy_ns = 10'000'000'000;
    return stats;
}

AnswerFacts remembered(const AnswerStats& stats, double thought_s) {
    StoredMessage message;
    message.facts = facts_json(stats, 7, thought_s);
    CHECK(seed_of(message, 0) == 7);
    return facts_of(message);
}

}  // namespace

TEST_CASE("an answer's numbers are remembered and told in one line") {
    const AnswerFacts facts = remembered(stats(), 2.5);
    CHECK(facts.thought_s == 2.5);
    CHECK(facts.drive_rate() == 920'000'000);
    CHECK(foot_of(facts, {.measured = 1e9}) ==
          "4.1 tok/s · drive 92 % of its limit · 81 % from memory");
    CHECK(foot_of(facts, {.best = 1.84e9, .answers = 2}) ==
          "4.1 tok/s · drive 50 % of its limit · 81 % from memory");
}

TEST_CASE("a GPU that stopped working is told") {
    AnswerStats alone = stats();
    alone.lost_gpu = true;
    CHECK(foot_of(remembered(alone, -1), {.measured = 1e9})
              .ends_with(" · 81 % from memory · the GPU stopped working, the CPU goes on"));
}

TEST_CASE("the first answer is no limit of its own") {
    const AnswerFacts facts = remembered(stats(), -1);
    CHECK(foot_of(facts, {.best = 9.2e8, .answers = 1}) ==
          "4.1 tok/s · drive 920 MB/s · 81 % from memory");
    // A measured limit that the drive has beaten since is none any more.
    CHECK(foot_of(facts, {.measured = 4.6e8, .best = 9.2e8, .answers = 1}) ==
          "4.1 tok/s · drive 100 % of its limit · 81 % from memory");
}

TEST_CASE("what is not known is not told") {
    AnswerStats nothing_read = stats();
    nothing_read.drive_bytes = 0;
    nothing_read.drive_busy_ns = 0;
    CHECK(foot_of(remembered(nothing_read, -1), {.measured = 1e9}) ==
          "4.1 tok/s · 81 % from memory");
    CHECK(foot_of(remembered({}, -1), {}).empty());
    StoredMessage foreign;
    foreign.facts = "{\"seed\": \"x\", \"tokens\": []";
    CHECK(seed_of(foreign, 5) == 5);
    CHECK(foot_of(facts_of(foreign), {}).empty());
}

}  // namespace millrace
