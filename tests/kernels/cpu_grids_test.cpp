// The FP8 and FP4 grids of every ISA: the reference's codes and scales, bit for bit, on every bf16 value there is.

#include <doctest/doctest.h>

#include "kernels/cpu/kernel_table.h"
#include "tests/kernels/cpu_fixture.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

// Groups of all kinds, `cols` wide: every bit pattern in orders that mix magnitudes more and less; ties and what lies beside
// them, at every scale; zeros; infinities and NaN among ordinary values.
std::vector<Bf16> hard_values(Random& random) {
    std::vector<Bf16> out;
    for (const uint32_t stride : {1U, 3U, 257U, 40503U}) {
        for (uint32_t i = 0; i < 65536; ++i) out.push_back({static_cast<uint16_t>(i * stride)});
    }
    for (int exponent = -133; exponent <= 120; ++exponent) {
        for (int i = 0; i < 128; ++i) {
            // Multiples of half a step of e4m3, a step of e2m1 and a quarter of it, up to 7.5 powers of two below the top.
            const int steps = static_cast<int>(random.below(241)) - 120;
            const int lower = static_cast<int>(random.below(4)) * (i % 3 == 0 ? 3 : 0);
            out.push_back(to_bf16(std::ldexp(static_cast<float>(steps), exponent - lower)));
        }
    }
    for (int i = 0; i < 4 * 512; ++i) {
        const uint16_t special[] = {0x7F80, 0xFF80, 0x7FC0, 0xFFC0, 0x0000, 0x8000, 0x7F81, 0x0001};
        const auto kind = random.below(64);
        out.push_back(kind < 8 ? Bf16{special[kind]}
                               : to_bf16(static_cast<float>(random.below(1000)) - 500));
    }
    out.insert(out.end(), 512, Bf16{0x8000});
    out.insert(out.end(), 512, Bf16{0xFFFF});
    out.resize(out.size() / 512 * 512);
    return out;
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace

TEST_CASE_FIXTURE(Properties, "aq128, fq64 and fq4 are the reference's bit for bit") {
    std::vector<Bf16> values = hard_values(in.random);
    const auto rows = static_cast<int64_t>(values.size() / 512);
    const MatrixView<const Bf16> x(values.data(), rows, 512);
    struct Answer {
        explicit Answer(size_t n) : codes(n * 512), scales(n * 4), kv(n), fq4(n * 4) {}
        std::vector<uint8_t> codes, scales;
        std::vector<KvRow> kv;
        std::vector<IndexRow> fq4;
    };
    const auto grids = [&](Ops& o, Answer& answer) {
        o.quantise(x, {{answer.codes.data(), rows, 512}, {answer.scales.data(), rows, 4}});
        o.pack_kv(x, answer.kv);
    };
    Answer expected(static_cast<size_t>(rows));
    grids(*ops, expected);
    reference::pack_fq4(x, expected.fq4);
    for_every_isa(pool, [&](Ops& cpu) {
        Answer computed(static_cast<size_t>(rows));
        grids(cpu, computed);
        CHECK(computed.codes == expected.codes);
        CHECK(computed.scales == expected.scales);
        CHECK(same_bytes(computed.kv, expected.kv));
    });
    for (const Isa isa : available_isas()) {
        const std::string name(isa_name(isa));
        CAPTURE(name);
        std::vector<IndexRow> computed(expected.fq4.size());
        for (size_t i = 0; i < computed.size(); ++i)
            kernels_of(isa).grids.pack_fq4(values.data() + i * kIndexDim, &computed[i]);
        CHECK(same_bytes(computed, expected.fq4));
    }
}

TEST_CASE_FIXTURE(Properties, "aq128 of strided rows touches nothing else") {
    Rows<Bf16> x(5, 384);
    in.bf16(x, 100);
    const Quantised expected(*ops, x.view);
    for_every_isa(pool, [&](Ops& cpu) {
        Rows<uint8_t> codes(5, 384, 0x55), scales(5, 3, 0x55);
        cpu.quantise(x.view, {codes.view, scales.view});
        for (int64_t r = 0; r < 5; ++r) {
            CHECK(std::ranges::equal(codes.view.row(r), expected.codes.view.row(r)));
            CHECK(std::ranges::equal(scales.view.row(r), expected.scales.view.row(r)));
        }
        CHECK(codes.gaps_are(0x55));
        CHECK(scales.gaps_are(0x55));
    });
}

TEST_CASE_FIXTURE(Properties, "Hadamard and fq4 of short numbers are the reference's bit for bit") {
    // Multiples of 2⁻⁶ up to 2: sums of 128 are exact in fp32, and the products with 128^−½ are rounded from so near that
    // no bf16 rounding of these inputs falls to the other side.
    Rows<Bf16> x(33, 3 * kIndexDim);
    in.bf16(x);
    std::vector<IndexRow> expected(99), computed(99);
    ops->pack_index(x.view, expected);
    for_every_isa(pool, [&](Ops& cpu) {
        cpu.pack_index(x.view, computed);
        CHECK(same_bytes(computed, expected));
    });
}

TEST_CASE_FIXTURE(Properties, "Hadamard of any numbers is the reference's up to one rounding") {
    Rows<Bf16> x(33, kIndexDim), expected(33, kIndexDim), computed(33, kIndexDim);
    for (int64_t r = 0; r < 33; ++r) {
        for (Bf16& v : x.view.row(r))
            v = to_bf16(std::ldexp(in.real(), -static_cast<int>(in.random.below(30))));
    }
    reference::hadamard(x.view, expected.view);
    for (const Isa isa : available_isas()) {
        const std::string name(isa_name(isa));
        CAPTURE(name);
        for (int64_t r = 0; r < 33; ++r)
            kernels_of(isa).grids.hadamard(x.view.row(r).data(), computed.view.row(r).data());
        // Seven sums one after the other, of at most 256 in all, times 128^−½.
        CHECK(near(computed, expected, 1, 7 * 256 * 0.09F * 0x1p-24F));
    }
}

}  // namespace millrace
