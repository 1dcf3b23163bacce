// What belongs to CUDA's attention alone: the shapes of its launches and of its scratch, what its warps ask of memory at the
// size of a decode step, and that numbers of keys elsewhere change no bit of a row.

#include "kernels/cuda/attention.h"

#include <doctest/doctest.h>

#include "tests/cuda/staged_cuda_ops.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace cuda {

TEST_CASE("attention's launches cover all keys, heads and rows") {
    for (const int64_t keys : {0, 1, 15, 16, 17, 63, 64, 65, 640, 8320}) {
        for (const int64_t heads : {1, 16, 17, 64, 65, 128}) {
            CAPTURE(keys);
            CAPTURE(heads);
            const AttendConfig config = attend_config({3, heads, keys});
            const auto least = [](int64_t count, int64_t size) {
                return (count + size - 1) / size;
            };
            CHECK(config.scores.blocks.x == least(keys, kTileKeys));
            CHECK(config.scores.blocks.y == least(heads, kTileHeads));
            CHECK(config.values.blocks.x == least(keys, kSplitKeys) * 8);
            CHECK(config.values.blocks.y == least(heads, kValueHeads));
            CHECK(config.merge.blocks.x == heads);
            CHECK(config.scores.blocks.z == 3);
            CHECK(config.values.blocks.z == 3);
            CHECK(config.merge.blocks.y == 3);
        }
    }
    // A decode step of Flash: enough blocks for the processors of a large GPU.
    CHECK(attend_config({1, 64, 640}).scores.blocks.x *
              attend_config({1, 64, 640}).scores.blocks.y ==
          160);
}

TEST_CASE("attention's scratch: parts lie apart, and fewer rows when there is less") {
    const AttendProblem problem{5, 20, 100};
    const AttendScratch all = attend_scratch(problem, int64_t{1} << 40);
    CHECK(all.rows == 5);
    CHECK(all.lanes == 32);
    CHECK(all.tiles == 7);
    CHECK(all.splits == 2);
    CHECK(all.tile_most >= all.scores + 4 * 5 * 7 * kTileKeys * 32);
    CHECK(all.totals >= all.tile_most + 4 * 5 * 7 * 32);
    CHECK(all.most >= all.totals + 4 * 5 * 2 * 32);
    CHECK(all.sums >= all.most + 4 * 5 * 32);
    CHECK(all.bytes >= all.sums + 4 * 5 * 2 * 32 * kHeadDim);
    for (const int64_t at : {all.tile_most, all.totals, all.most, all.sums}) CHECK(at % 16 == 0);
    const int64_t one = attend_scratch_bytes(20, 100);
    CHECK(attend_scratch(problem, one).rows == 1);
    CHECK(attend_scratch(problem, one).bytes == one);
    CHECK(attend_scratch(problem, 3 * one + 1).rows == 3);
    CHECK(attend_scratch(problem, 3 * one + 1).bytes <= 3 * one);
}

}  // namespace cuda

namespace {

struct Keys {
    Keys(Inputs& in, Ops& ops, size_t count) : rows(count) {
        const auto values = in.bf16(static_cast<int64_t>(count) * kHeadDim);
        ops.pack_kv({values.data(), static_cast<int64_t>(count), kHeadDim}, rows);
        for (const KvRow& row : rows) pointers.push_back(&row);
    }
    [[nodiscard]] std::span<const KvRow* const> some(size_t first, size_t count) const {
        return std::span(pointers).subspan(first, count);
    }
    std::vector<KvRow> rows;
    std::vector<const KvRow*> pointers;
};

}  // namespace

TEST_CASE_FIXTURE(Properties, "a row attends with the same bits beside rows of many more keys") {
    constexpr int64_t kCols = 3 * kHeadDim;
    const Keys keys(in, *ops, 400);
    Rows<Bf16> q(2, kCols), both(2, kCols), alone(1, kCols);
    in.bf16(q);
    const auto sink = in.floats(3);
    const KeyList lists[2] = {{keys.some(3, 70), keys.some(200, 31)},
                              {keys.some(0, 128), keys.some(128, 272)}};
    const auto cuda = test::make_staged_cuda_ops(pool, {.seed = 1});
    cuda->attend(q.view, lists, sink, both.view);
    cuda->attend(q.at(0, 1), std::span(lists).first(1), sink, alone.view);
    CHECK(std::ranges::equal(alone.view.row(0), both.view.row(0)));
}

TEST_CASE_FIXTURE(Properties, "attention reads whole sectors and meets no bank conflicts") {
    // Vectors: no gap between rows.
    const Keys keys(in, *ops, 192);
    std::vector<Bf16> q = in.bf16(64 * kHeadDim), out(q.size());
    const auto sink = in.floats(64);
    const KeyList list{keys.some(0, 128), keys.some(128, 64)};
    const auto cuda = test::make_staged_cuda_ops(pool, {.seed = 0, .statistics = true});
    cuda->attend({q.data(), 1, 64 * kHeadDim}, std::span(&list, 1), sink,
                 {out.data(), 1, 64 * kHeadDim});
    cuda_sim::set_options({});
    int seen = 0;
    for (const cuda_sim::KernelReport& kernel : cuda_sim::kernels()) {
        if (kernel.name.find("attend_") == std::string::npos || kernel.global.accesses == 0)
            continue;
        seen += 1;
        MESSAGE(kernel.name, ": sectors ", kernel.global.mean(), ", bank conflicts ",
                kernel.shared.worst);
        // A key's scale and address take a sector each for a few bytes, and its 64 codes lie across three.
        CHECK(kernel.global.mean() < 1.5);
        CHECK(kernel.shared.worst <= 1);
    }
    CHECK(seen == 3);
}

}  // namespace millrace
