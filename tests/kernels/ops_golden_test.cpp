// Every op against the official code's answers on hard inputs: ties, zeros, saturation, subnormals.

#include <doctest/doctest.h>

#include <cstring>

#include "kernels/cpu/kernel_table.h"
#include "kernels/ops.h"
#include "kernels/reference/canonical.h"
#include "kernels/reference/formulas.h"
#include "tests/kernels/cpu_fixture.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace millrace {
namespace {

using test::compare;
using test::Comparison;

struct Golden {
    test::GoldenTensors file{"model/ops.safetensors"};
    Pool pool{2};
    std::unique_ptr<Ops> ops = make_reference_ops(pool);
    Comparison total;

    template <class T>
    std::vector<T> get(const std::string& name) const {
        return file.values<T>(name);
    }
    template <class T>
    MatrixView<T> view(std::vector<T>& values, const std::string& name) const {
        const Shape& shape = file.get(name).shape;
        const int64_t rows = shape.rank > 1 ? shape.dims[0] : 1;
        return {values.data(), rows, shape.count() / rows};
    }
    template <class T>
    void equal(const std::vector<T>& computed, const std::string& name) {
        const std::vector<T> golden = get<T>(name);
        const Comparison c = compare<T>(std::span<const T>(computed), std::span<const T>(golden));
        CHECK_MESSAGE(c.unequal == 0, name, ": ", c.text());
        total += c;
    }
    // The reference, and the CPU ops of every ISA.
    template <class Test>
    void for_all(const Test& test) {
        test(*ops);
        for_every_isa(pool, test);
    }
    ~Golden() { MESSAGE("golden ops: ", total.text()); }
};

std::vector<Bf16> unpack(std::span<const KvRow> rows) {
    std::vector<Bf16> out;
    double values[kHeadDim];
    for (const KvRow& row : rows) {
        reference::decode_row(row, values);
        for (const double v : values) out.push_back(to_bf16(static_cast<float>(v)));
    }
    return out;
}

}  // namespace

TEST_CASE_FIXTURE(Golden, "number formats decode as the golden tables say") {
    std::vector<float> e4m3;
    std::vector<float> e8m0;
    for (int i = 0; i < 256; ++i) e4m3.push_back(e4m3_value(static_cast<uint8_t>(i)));
    for (int i = 0; i < 255; ++i) e8m0.push_back(e8m0_value(static_cast<uint8_t>(i)));
    const auto golden = get<float>("formats.e4m3");
    for (size_t i = 0; i < 256; ++i) {
        if (i % 128 == 127) {
            CHECK(std::isnan(e4m3[i]));
            e4m3[i] = golden[i];  // NaN has many spellings
        }
    }
    equal(e4m3, "formats.e4m3");
    equal(e8m0, "formats.e8m0");
    equal(std::vector<float>(kE2m1Values.begin(), kE2m1Values.end()), "formats.e2m1");
    for (int i = 0; i < 256; ++i) {
        if (i % 128 != 127) CHECK(e4m3_code(e4m3[static_cast<size_t>(i)]) == i);
    }
    for (uint8_t i = 0; i < 16; ++i) CHECK(e2m1_code(kE2m1Values[i]) == i);
}

TEST_CASE_FIXTURE(Golden, "aq128 and fq64") {
    auto in = get<Bf16>("aq128.in");
    const auto x = view(in, "aq128.in");
    auto golden = get<Bf16>("fq64.out");
    // fq64.out continues over all 512 columns; a KV row keeps the last 64 as they are.
    const auto expected = view(golden, "fq64.out");
    for (int64_t r = 0; r < x.rows; ++r) {
        std::copy_n(x.row(r).data() + kLatentDim, kRopeDim, expected.row(r).data() + kLatentDim);
    }
    for_all([&](Ops& o) {
        std::vector<uint8_t> codes(in.size());
        std::vector<uint8_t> scales(in.size() / 128);
        o.quantise(x, {view(codes, "aq128.codes"), view(scales, "aq128.scales")});
        equal(codes, "aq128.codes");
        equal(scales, "aq128.scales");
        std::vector<KvRow> rows(static_cast<size_t>(x.rows));
        o.pack_kv(x, rows);
        const auto unpacked = unpack(rows);
        const Comparison c = compare<Bf16>(unpacked, golden);
        CHECK_MESSAGE(c.unequal == 0, c.text());
        total += c;
    });
}

TEST_CASE_FIXTURE(Golden, "Hadamard and fq4") {
    auto in = get<Bf16>("hadamard.in");
    auto turned = get<Bf16>("hadamard.out");
    std::vector<Bf16> got(turned.size());
    reference::hadamard(view(in, "hadamard.in"), view(got, "hadamard.in"));
    equal(got, "hadamard.out");

    auto flat = get<Bf16>("fq4.in");
    std::vector<IndexRow> packed(static_cast<size_t>(view(flat, "fq4.in").rows));
    reference::pack_fq4(view(flat, "fq4.in"), packed);
    std::vector<Bf16> unpacked;
    double values[kIndexDim];
    for (const IndexRow& row : packed) {
        reference::decode_row(row, values);
        for (const double v : values) unpacked.push_back(to_bf16(static_cast<float>(v)));
    }
    equal(unpacked, "fq4.out");

    std::vector<IndexRow> both(static_cast<size_t>(view(in, "hadamard.in").rows));
    reference::pack_fq4(view(turned, "hadamard.out"), both);
    for_all([&](Ops& o) {
        std::vector<IndexRow> rows(both.size());
        o.pack_index(view(in, "hadamard.in"), rows);
        CHECK(std::memcmp(both.data(), rows.data(), rows.size() * sizeof(IndexRow)) == 0);
    });
    for (const Isa isa : available_isas()) {
        const GridKernels& grids = kernels_of(isa).grids;
        std::vector<Bf16> vector_turned(turned.size());
        for (size_t i = 0; i < turned.size(); i += kIndexDim)
            grids.hadamard(&in[i], &vector_turned[i]);
        equal(vector_turned, "hadamard.out");
        std::vector<IndexRow> vector_packed(packed.size());
        for (size_t i = 0; i < packed.size(); ++i)
            grids.pack_fq4(&flat[i * kIndexDim], &vector_packed[i]);
        CHECK(std::memcmp(packed.data(), vector_packed.data(), packed.size() * sizeof(IndexRow)) ==
              0);
    }
}

TEST_CASE_FIXTURE(Golden, "RoPE tables and rotation up to position 1,048,575") {
    const auto positions = get<int32_t>("rope.positions");
    const std::vector<std::pair<std::string, RopeTable>> tables = {
        {"plain", RopeTable::plain(10000)}, {"yarn", RopeTable::yarn(160000, 16, 32, 1, 65536)}};
    for (const auto& [name, table] : tables) {
        const std::string base = "rope." + name;
        equal(std::vector<float>(table.frequencies.begin(), table.frequencies.end()),
              base + ".freqs");
        for_all([&](Ops& o) {
            auto forward = get<Bf16>(base + ".in");
            o.rope(view(forward, base + ".in"), kRopeDim, positions, table, Rotation::kForward);
            equal(forward, base + ".out");
            auto inverse = get<Bf16>(base + ".in");
            o.rope(view(inverse, base + ".in"), kRopeDim, positions, table, Rotation::kInverse);
            equal(inverse, base + ".inverse");
        });
    }
}

TEST_CASE_FIXTURE(Golden, "norms") {
    for_all([&](Ops& o) {
        auto x = get<Bf16>("rms_norm.in");
        const auto weight = get<Bf16>("rms_norm.weight");
        o.rms_norm(view(x, "rms_norm.in"), weight, 1e-6F, view(x, "rms_norm.in"));
        equal(x, "rms_norm.out");
        auto q = get<Bf16>("head_norm.in");
        o.head_norm(view(q, "head_norm.in"), 1e-6F);
        equal(q, "head_norm.out");
    });
}

TEST_CASE_FIXTURE(Golden, "Sinkhorn") {
    const auto mixes = get<float>("sinkhorn.mixes");
    const auto base = get<float>("sinkhorn.base");
    const auto scale = get<float>("sinkhorn.scale");
    const HyperConnectionSite site{.fn = {}, .base = base, .scale = scale};
    const size_t n = mixes.size() / kMixes;
    std::vector<float> pre(4 * n);
    std::vector<float> post(4 * n);
    std::vector<float> comb(16 * n);
    for (size_t r = 0; r < n; ++r) {
        reference::split_mixes(&mixes[r * kMixes], site, &pre[4 * r], &post[4 * r], &comb[16 * r]);
    }
    equal(pre, "sinkhorn.pre");
    equal(post, "sinkhorn.post");
    equal(comb, "sinkhorn.comb");
}

TEST_CASE_FIXTURE(Golden, "attention with sink and absent keys") {
    auto q = get<Bf16>("attend.q");
    auto kv = get<Bf16>("attend.kv");
    const auto sink = get<float>("attend.sink");
    const auto ids = get<int32_t>("attend.ids");
    const size_t per_query = ids.size() / 3;
    const size_t n = q.size() / 3;
    std::vector<Bf16> out(q.size());
    std::vector<std::vector<int32_t>> present(3);
    for (size_t r = 0; r < 3; ++r) {
        std::vector<const Bf16*> keys;
        for (size_t i = 0; i < per_query; ++i) {
            const int32_t id = ids[r * per_query + i];
            if (id < 0) continue;
            present[r].push_back(id);
            keys.push_back(&kv[static_cast<size_t>(id) * kHeadDim]);
        }
        reference::attend_bf16({&q[r * n], n}, keys, sink, {&out[r * n], n});
    }
    equal(out, "attend.out");

    // The op reads compact rows: on keys that lie on the grid it is the same function, wherever the window ends.
    std::vector<KvRow> rows(kv.size() / kHeadDim);
    ops->pack_kv(view(kv, "attend.kv"), rows);
    const auto on_grid = unpack(rows);
    for (const size_t split : {size_t{0}, size_t{7}, size_t{60}}) {
        std::vector<std::vector<const KvRow*>> lists(3);
        std::vector<KeyList> keys;
        std::vector<Bf16> expected(q.size());
        for (size_t r = 0; r < 3; ++r) {
            std::vector<const Bf16*> plain;
            for (const int32_t id : present[r]) {
                lists[r].push_back(&rows[static_cast<size_t>(id)]);
                plain.push_back(&on_grid[static_cast<size_t>(id) * kHeadDim]);
            }
            reference::attend_bf16({&q[r * n], n}, plain, sink, {&expected[r * n], n});
            const std::span<const KvRow* const> all(lists[r]);
            const size_t in_window = std::min(split, all.size());
            keys.push_back({all.first(in_window), all.subspan(in_window)});
        }
        const auto cols = static_cast<int64_t>(n);
        ops->attend({q.data(), 3, cols}, keys, sink, {out.data(), 3, cols});
        CHECK(compare<Bf16>(out, expected).unequal == 0);
    }
}

TEST_CASE_FIXTURE(Golden, "router with ties") {
    const auto in = get<float>("sqrtsoftplus.in");
    std::vector<float> out;
    for (const float l : in) out.push_back(reference::sqrt_softplus(l));
    equal(out, "sqrtsoftplus.out");

    auto logits = get<float>("router.logits");
    const auto bias = get<float>("router.bias");
    for_all([&](Ops& o) {
        std::vector<int32_t> ids(get<int32_t>("router.ids").size());
        std::vector<float> weights(ids.size());
        o.route(view(logits, "router.logits"), bias, {},
                {.experts_per_token = 6, .route_scale = 1.5F}, view(ids, "router.ids"),
                view(weights, "router.weights"));
        equal(ids, "router.ids");
        equal(weights, "router.weights");
    });
}

TEST_CASE_FIXTURE(Golden, "SwiGLU with clamps") {
    auto gate = get<Bf16>("swiglu.gate");
    auto up = get<Bf16>("swiglu.up");
    const auto weight = get<float>("swiglu.weight");
    std::vector<Bf16> out(gate.size());
    const auto shape = view(gate, "swiglu.gate");
    for_all([&](Ops& o) {
        o.swiglu(shape, view(up, "swiglu.up"), weight, 10.0F, view(out, "swiglu.out"));
        equal(out, "swiglu.out");
        o.swiglu(shape, view(up, "swiglu.up"), {}, 10.0F, view(out, "swiglu.out"));
        equal(out, "swiglu.shared_out");
    });
}

}  // namespace millrace
