// What belongs to CUDA's indexer alone: the shapes of its launches, selection in several stages, and what its warps ask of
// memory.

#include "kernels/cuda/indexer.h"

#include <doctest/doctest.h>

#include <map>

#include "tests/cuda/staged_cuda_ops.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

// One head, entries of few kinds: scores are exact in fp32 and many are equal.
struct Question {
    Question(Inputs& in, int64_t rows, int64_t heads, int32_t count)
        : weights(rows, heads, to_bf16(1.0F)) {
        for (int64_t i = 0; i < rows * heads; ++i) q.push_back(row_of(in));
        std::vector<IndexRow> kinds;
        for (int i = 0; i < 700; ++i) kinds.push_back(row_of(in));
        for (int32_t i = 0; i < count; ++i) entries.push_back(kinds[in.random.below(kinds.size())]);
        for (int64_t r = 0; r < rows; ++r) visible.push_back(count - static_cast<int32_t>(r) * 11);
    }
    static IndexRow row_of(Inputs& in) {
        IndexRow row;
        for (uint8_t& code : row.codes) code = static_cast<uint8_t>(in.random.below(256));
        row.scales.fill(127);
        return row;
    }
    [[nodiscard]] std::vector<int32_t> ask(Ops& ops, int64_t k) const {
        const int64_t rows = weights.view.rows;
        std::vector<int32_t> picks(static_cast<size_t>(rows * k));
        ops.index_topk(q, weights.view, entries, visible, {picks.data(), rows, k});
        return picks;
    }

    std::vector<IndexRow> q;
    Rows<Bf16> weights;
    std::vector<IndexRow> entries;
    std::vector<int32_t> visible;
};

std::map<std::string, cuda_sim::KernelReport> kernel_reports() {
    std::map<std::string, cuda_sim::KernelReport> out;
    for (const cuda_sim::KernelReport& kernel : cuda_sim::kernels()) out[kernel.name] = kernel;
    return out;
}

}  // namespace

namespace cuda {

TEST_CASE("the indexer's launches cover all entries, its stages end") {
    for (const int64_t entries : {0, 1, 127, 128, 129, 8191, 8192, 8193, 262144, 4000000}) {
        for (const int64_t rows : {1, 7, 600}) {
            for (const int64_t picks : {1, 512, 1024, 2048}) {
                CAPTURE(entries);
                CAPTURE(picks);
                const IndexProblem problem{rows, entries, picks};
                const ScoreConfig score = score_config(problem);
                CHECK(int64_t{score.launch.blocks.x} * score.rounds * kScoreEntries >= entries);
                CHECK((score.launch.blocks.x - int64_t{1}) * score.rounds * kScoreEntries <=
                      entries);
                CHECK(score.launch.blocks.y == rows);
                SelectStage stage = first_stage(problem);
                CHECK(stage.positions == entries);
                int stages = 0;
                for (;; stage = next_stage(stage, problem)) {
                    stages += 1;
                    REQUIRE(stages < 9);
                    const int64_t room = int64_t{stage.launch.threads} * kSelectKeys;
                    CHECK(stage.launch.blocks.x * room >= stage.positions);
                    CHECK(stage.launch.blocks.y == rows);
                    if (!stage.last()) continue;
                    // The network has two picks a thread.
                    CHECK(2 * stage.launch.threads >= std::min(picks, stage.positions));
                    break;
                }
                if (entries <= 8192) CHECK(stages == 1);
                if (entries == 262144 && picks == 512) CHECK(stages == 3);
            }
        }
    }
    CHECK(score_config({1, 262144, 512}).rounds == 4);
    CHECK(score_config({3, 44000, 512}).rounds == 2);
    CHECK(score_config({2, 44000, 512}).rounds == 1);
    // What a decode step of 8192 tokens has: a small block.
    CHECK(first_stage({1, 2048, 512}).launch.threads == kFewThreads);
    CHECK(first_stage({1, 2049, 512}).launch.threads == kSelectThreads);
    CHECK(first_stage({1, 2048, 513}).launch.threads == kSelectThreads);
}

TEST_CASE("the indexer's scratch: parts lie apart, and fewer rows when there is less") {
    const IndexProblem problem{40, 100000, 1024};
    const IndexScratch all = index_scratch(problem, int64_t{1} << 40);
    CHECK(all.rows == 40);
    CHECK(all.key_stride >= problem.entries);
    CHECK(all.candidate_keys[0] >= 2 * 40 * all.key_stride);
    CHECK(all.candidate_stride[0] == 13 * 1024);
    CHECK(all.candidate_indices[0] >= all.candidate_keys[0] + 2 * 40 * all.candidate_stride[0]);
    CHECK(all.candidate_stride[1] == 2 * 1024);
    CHECK(all.candidate_keys[1] >= all.candidate_indices[0] + 4 * 40 * all.candidate_stride[0]);
    CHECK(all.bytes >= all.candidate_indices[1] + 4 * 40 * all.candidate_stride[1]);
    const int64_t one = index_scratch_bytes(problem.entries, problem.picks);
    CHECK(index_scratch(problem, one).rows == 1);
    CHECK(index_scratch(problem, one).bytes == one);
    CHECK(index_scratch(problem, 5 * one + 1).rows == 5);
    CHECK(index_scratch(problem, 5 * one + 1).bytes <= 5 * one);
}

}  // namespace cuda

TEST_CASE_FIXTURE(Properties, "index_topk in several stages picks what the reference picks") {
    // 9000: two blocks and the last. 44000 with 2048 picks: six, two, one; candidates of blocks that see nothing; and scores
    // of two rounds a block.
    struct Size {
        int32_t entries;
        int64_t picks;
    };
    for (const Size size : {Size{9000, 1024}, Size{44000, 2048}}) {
        Question question(in, 3, 1, size.entries);
        question.visible[1] = 8100;
        question.visible[2] = 193;
        const std::vector<int32_t> expected = question.ask(*ops, size.picks);
        for (const uint64_t seed : {0U, 1U, 2U})
            CHECK(question.ask(*test::make_staged_cuda_ops(pool, {.seed = seed}), size.picks) ==
                  expected);
    }
}

TEST_CASE_FIXTURE(Properties, "the indexer reads whole sectors and meets no bank conflicts") {
    const auto cuda = test::make_staged_cuda_ops(pool, {.seed = 0, .statistics = true});
    static_cast<void>(Question(in, 1, 64, 2000).ask(*cuda, 512));
    static_cast<void>(Question(in, 1, 64, 9000).ask(*cuda, 1024));
    cuda_sim::set_options({});
    int seen = 0;
    for (const auto& [name, kernel] : kernel_reports()) {
        if (name.find("index_score") == std::string::npos &&
            name.find("index_select") == std::string::npos)
            continue;
        seen += 1;
        MESSAGE(name, ": sectors ", kernel.global.mean(), ", bank conflicts ", kernel.shared.worst);
        CHECK(kernel.global.mean() < 1.5);
        CHECK(kernel.shared.worst <= 1);
    }
    CHECK(seen == 3);
}

}  // namespace millrace
