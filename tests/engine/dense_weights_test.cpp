// Dense weights are copied into strips where there is memory for it, stay mapped where there is not, and multiply to the
// same bits either way.

#include "core/engine/dense_weights.h"

#include <doctest/doctest.h>

#include <vector>

#include "core/base/random.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

Checkpoint opened() {
    auto checkpoint = Checkpoint::open(test::demo_checkpoint());
    REQUIRE(checkpoint.ok());
    return *std::move(checkpoint);
}

// Three rows times the weight.
std::vector<Bf16> product(Ops& ops, const LinearWeight& weight) {
    constexpr int64_t kRows = 3;
    Random random(5);
    std::vector<Bf16> x(static_cast<size_t>(kRows * weight.cols));
    for (Bf16& value : x) value = to_bf16(static_cast<float>(random.unit() - 0.5));
    std::vector<uint8_t> codes(x.size());
    std::vector<uint8_t> scales(static_cast<size_t>(kRows * ((weight.cols + 127) / 128)));
    const Fp8Rows quantised{{codes.data(), kRows, weight.cols},
                            {scales.data(), kRows, (weight.cols + 127) / 128}};
    const MatrixView<const Bf16> rows(x.data(), kRows, weight.cols);
    ops.quantise(rows, quantised);
    std::vector<Bf16> y(static_cast<size_t>(kRows * weight.rows));
    ops.linear({rows, quantised}, weight, {y.data(), kRows, weight.rows});
    return y;
}

}  // namespace

TEST_CASE("weights are arranged where memory allows it and stay mapped where it does not") {
    Pool pool(1);
    const auto ops = make_cpu_ops(pool, {});
    Checkpoint arranged = opened(), mapped = opened();
    const auto plenty = arrange_dense_weights(arranged, *ops, uint64_t{1} << 40);
    REQUIRE(plenty.ok());
    CHECK(plenty->bytes().size() > 0);
    const auto unknown = [&] {
        Checkpoint other = opened();
        return arrange_dense_weights(other, *ops, 0)->bytes().size();
    };
    CHECK(unknown() == plenty->bytes().size());
    const auto scarce = arrange_dense_weights(mapped, *ops, 4096);
    REQUIRE(scarce.ok());
    CHECK(scarce->bytes().empty());

    for (size_t layer = 0; layer < mapped.weights().layers.size(); ++layer) {
        CAPTURE(layer);
        const AttentionWeights& a = arranged.weights().layers[layer].attention;
        const AttentionWeights& m = mapped.weights().layers[layer].attention;
        CHECK(m.wq_b.layout == WeightLayout::kRows);
        CHECK(a.wq_b.layout == WeightLayout::kStrips);
        CHECK(product(*ops, a.wq_b) == product(*ops, m.wq_b));
        CHECK(product(*ops, a.wo_b) == product(*ops, m.wo_b));
        CHECK(product(*ops, a.wkv) == product(*ops, m.wkv));
    }
    CHECK(mapped.weights().embed.layout == WeightLayout::kRows);
    CHECK(arranged.weights().embed.layout == WeightLayout::kRows);
}

TEST_CASE("arranging tells how far it is and ends when nobody wants it") {
    Pool pool(1);
    const auto ops = make_cpu_ops(pool, {});
    Checkpoint checkpoint = opened(), left = opened();
    uint64_t told = 0, total = 0, calls = 0;
    const auto whole = arrange_dense_weights(checkpoint, *ops, 0, [&](uint64_t done, uint64_t all) {
        CHECK(done >= told);
        CHECK(done < all);
        told = done;
        total = all;
        return ++calls > 0;
    });
    REQUIRE(whole.ok());
    CHECK(calls > 10);
    CHECK(total == whole->bytes().size());
    CHECK(told > total / 2);

    const uint64_t half = calls / 2;
    calls = 0;
    const auto none =
        arrange_dense_weights(left, *ops, 0, [&](uint64_t, uint64_t) { return ++calls < half; });
    REQUIRE_FALSE(none.ok());
    CHECK(none.error().code == ErrorCode::kCancelled);
    CHECK(calls == half);
}

TEST_CASE("the reference has nothing to arrange") {
    Pool pool(1);
    const auto ops = make_reference_ops(pool);
    Checkpoint checkpoint = opened();
    const auto none = arrange_dense_weights(checkpoint, *ops, 0);
    REQUIRE(none.ok());
    CHECK(none->bytes().empty());
}

TEST_CASE("what is multiplied is placed in the ops' memory, the embedding's table is not") {
    Pool pool(1);
    const auto ops = make_cpu_ops(pool, {});
    Checkpoint placed = opened(), mapped = opened();
    const LinearWeight table = placed.weights().embed;
    const LinearWeight head = placed.weights().head;
    const uint64_t bytes = placed_dense_bytes(placed, {});
    const auto memory = place_dense_weights(placed, *ops, {});
    REQUIRE(memory.ok());
    CHECK(memory->bytes.size() >= bytes);  // whole pages
    CHECK(placed.weights().embed.codes == table.codes);
    CHECK(placed.weights().head.codes != head.codes);
    const auto& wq_b = placed.weights().layers[0].attention.wq_b;
    CHECK(product(*ops, wq_b) == product(*ops, mapped.weights().layers[0].attention.wq_b));
}

}  // namespace millrace
