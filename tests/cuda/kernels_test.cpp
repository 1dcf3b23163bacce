// What belongs to CUDA's kernels alone: that every one of them is run, what their warps ask of memory, the functions they
// are made of, and inputs that no test of the other ops has.

#include <doctest/doctest.h>

#include <filesystem>
#include <list>
#include <set>

#include "core/base/file.h"
#include "kernels/cuda/config.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/arithmetic.cuh"
#include "kernels/cuda/device/codes.cuh"
#include "kernels/cuda/expert_slots.h"
#include "tests/cuda/staged_cuda_ops.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

// Every op once, on `rows` rows whose beginnings lie `gap` elements apart beyond a multiple of 16 bytes.
struct AllOps {
    AllOps(Ops& o, Inputs& i, int64_t n, int64_t g) : ops(o), in(i), rows(n), gap(g) {}

    template <class T>
    MatrixView<T> matrix(int64_t cols, T fill = {}) {
        auto& block =
            memory.emplace_back(static_cast<size_t>(rows * (cols + gap) + gap) * sizeof(T) + 16);
        const size_t off = (16 - reinterpret_cast<uintptr_t>(block.data()) % 16) % 16;
        auto* data = reinterpret_cast<T*>(block.data() + off) + gap;
        std::fill_n(data, rows * (cols + gap) - gap, fill);
        return {data, rows, cols, cols + gap};
    }
    MatrixView<Bf16> bf16(int64_t cols) {
        const auto m = matrix<Bf16>(cols);
        for (int64_t r = 0; r < rows; ++r)
            for (Bf16& v : m.row(r)) v = to_bf16(in.real());
        return m;
    }
    LinearWeight weight(WeightFormat format, int64_t outputs, int64_t cols) {
        const bool plain_numbers = format == WeightFormat::kBf16 || format == WeightFormat::kF32;
        const auto scales = plain_numbers ? ScaleFormat::kNone : ScaleFormat::kE8m0;
        const LinearWeight plain = in.weight(format, scales, outputs, cols, bytes.emplace_back());
        LinearWeight out = plain;
        // On a multiple of 16 and `gap` bytes.
        const auto count = static_cast<size_t>(weight_codes_bytes(plain));
        auto& copy = memory.emplace_back(count + 32);
        auto* at = copy.data() + (16 - reinterpret_cast<uintptr_t>(copy.data()) % 16) % 16 + gap;
        std::memcpy(at, plain.codes, count);
        out.codes = at;
        return out;
    }

    void run() {
        constexpr int64_t d = 1024;
        const auto x = bf16(d), y = bf16(d);
        const auto streams = bf16(4 * d);
        const std::vector<TokenId> tokens(static_cast<size_t>(rows), TokenId{3});
        ops.embed(weight(WeightFormat::kBf16, 5, d), tokens, streams);
        add_bytes(results, streams);
        const auto fn = in.floats(24 * 4 * d + 1), base = in.floats(24), scale = in.floats(3);
        const std::span all_fn = std::span(fn).subspan(0, static_cast<size_t>(24 * 4 * d));
        const auto post = matrix<float>(4), comb = matrix<float>(16);
        ops.hc_reduce(streams, {.fn = all_fn, .base = base, .scale = scale}, x, post, comb);
        for (const auto& m : {post, comb}) add_bytes(results, m);
        add_bytes(results, x);
        ops.hc_expand(x, post, comb, streams);
        add_bytes(results, streams);
        ops.hc_head(streams,
                    {.fn = all_fn.first(static_cast<size_t>(4 * 4 * d)),
                     .base = std::span(base).first(4),
                     .scale = std::span(scale).first(1)},
                    y);
        add_bytes(results, y);
        const auto norm = in.bf16(d);
        ops.rms_norm(x, norm, 1e-6F, x);
        add_bytes(results, x);
        const Fp8Rows codes{matrix<uint8_t>(d), matrix<uint8_t>(d / 128)};
        ops.norm_quantise(x, norm, 1e-6F, y, codes);
        for (const auto& m : {codes.codes, codes.scales}) add_bytes(results, m);
        const auto heads = bf16(2 * kHeadDim);
        ops.head_norm(heads, 1e-6F);
        const std::vector<int32_t> positions(static_cast<size_t>(rows), 77);
        ops.rope(heads, kHeadDim, positions, RopeTable::plain(10000), Rotation::kForward);
        add_bytes(results, heads);
        ops.stream_mean(streams, x);
        ops.add(x, streams, 4, streams);
        ops.swiglu(x, y, {}, 10, y);
        for (const auto& m : {x, streams, y}) add_bytes(results, m);
        std::vector<int32_t> places;
        for (int64_t r = 0; r < rows; ++r) places.push_back(static_cast<int32_t>(rows - 1 - r));
        ops.place_rows(x, places, {streams.data, rows, d, streams.stride});
        add_bytes(results, streams);
        const auto weights = bf16(64);
        ops.index_weights(weights);
        add_bytes(results, weights);
        run_packing(heads);
        run_products(x, positions);
        run_mixture(y);
        run_experts();
        run_lists();
        run_slots();
        run_attention();
        run_indexer();
    }
    void run_packing(MatrixView<const Bf16> heads) {
        std::vector<KvRow> kv(static_cast<size_t>(rows));
        ops.pack_kv({heads.data, rows, kHeadDim, heads.stride}, kv);
        std::vector<IndexRow> index(static_cast<size_t>(rows * 8));
        ops.pack_index(heads, index);
        add_bytes(results, std::span<const KvRow>(kv));
        add_bytes(results, std::span<const IndexRow>(index));
    }
    void run_products(MatrixView<const Bf16> x, std::span<const int32_t> positions) {
        const LinearInput input{x, {matrix<uint8_t>(x.cols), matrix<uint8_t>(x.cols / 128)}};
        ops.quantise(x, input.quantised);
        using enum WeightFormat;
        for (const WeightFormat format : {kFp8, kFp4, kQ3s, kQ2s, kQ2v, kBf16, kF32}) {
            const LinearWeight w = weight(format, 12, x.cols);
            const auto narrow = matrix<Bf16>(12), plain = matrix<Bf16>(12);
            const auto wide = matrix<float>(12);
            ops.linear(input, w, narrow);
            ops.linear_bf16(x, w, 1, plain);
            ops.linear_f32(x, w, wide);
            std::string& to = format == kF32 ? results : tile_results;
            for (const auto& m : {narrow, plain}) add_bytes(to, m);
            add_bytes(to, wide);
        }
        const LinearWeight half = weight(WeightFormat::kBf16, 4, x.cols);
        const auto ape = in.floats(4 * 4);
        const auto contributed = matrix<float>(8);
        ops.compressor_rows(x, half, half, ape, 4, positions, contributed);
        add_bytes(tile_results, contributed);
        const auto pooled = in.floats(8 * 4 * 128);
        std::vector<const float*> contributors;
        for (int i = 0; i < 8; ++i) contributors.push_back(&pooled[static_cast<size_t>(i * 512)]);
        const std::vector<PoolSource> sources(static_cast<size_t>(rows), {contributors.data()});
        const auto entries = matrix<Bf16>(128);
        ops.compressor_pool(sources, 4, entries);
        add_bytes(results, entries);
    }
    // They are made in the GPU's memory, so without the way there and back of the other ops.
    static void run_lists() {
        auto gpu = *cuda::CudaOps::create({});
        const auto memory = *gpu.allocate(4096, HugePages::kNo);
        const std::span<int32_t> numbers(memory.as<int32_t>(), 8);
        gpu.count(numbers, 0, 1, 1);
        const int32_t* const first = numbers.data();
        gpu.list_keys({.capacity = 1, .first = first, .limit = 2, .window = 4, .picks = {}},
                      {memory.as<const KvRow*>() + 8, 16}, {memory.as<KeyList>() + 16, 2});
        gpu.list_contributors({.capacity = 1, .first = first, .ratio = 4},
                              {memory.as<const float*>() + 256, 8},
                              {memory.as<PoolSource>() + 300, 2}, numbers.subspan(4, 2));
        gpu.store({memory.as<std::byte>(), 2, 4}, {memory.as<std::byte>() + 64, 2, 4}, first, 1);
    }
    // An expert in strips, one part behind another, into a slot, and its entry.
    void run_slots() {
        ExpertWeights expert;
        for (LinearWeight* w : {&expert.w1, &expert.w2, &expert.w3}) {
            *w = {.format = WeightFormat::kFp4,
                  .scale_format = ScaleFormat::kE8m0,
                  .layout = WeightLayout::kStrips,
                  .rows = 256,
                  .cols = 1024};
        }
        const auto bytes_of = [](const LinearWeight& w) {
            return weight_codes_bytes(w) + weight_scales_bytes(w);
        };
        auto& record = memory.emplace_back(static_cast<size_t>(3 * bytes_of(expert.w1)) + 32);
        const auto begin = reinterpret_cast<uintptr_t>(record.data());
        std::byte* at = record.data() + (16 - begin % 16) % 16 + gap;
        for (int64_t i = 0; i < 3 * bytes_of(expert.w1); ++i)
            at[i] = static_cast<std::byte>(in.random.below(256));
        for (LinearWeight* w : {&expert.w1, &expert.w2, &expert.w3}) {
            w->codes = at;
            w->scales = at + weight_codes_bytes(*w);
            at += bytes_of(*w);
        }
        const uint64_t slot_bytes = cuda::place_expert(expert, nullptr).bytes;
        auto room = *cuda::DeviceMemory::allocate(cuda::room_bytes(slot_bytes));
        const auto slot = *cuda::DeviceMemory::allocate(slot_bytes + sizeof(ExpertWeights));
        const auto placed = cuda::place_expert(expert, slot.as<std::byte>());
        const cuda::RoomCopies copies = cuda::copies_of(expert);
        for (const cuda::RoomCopy& copy : copies.all())
            REQUIRE(room.upload({copy.from, copy.bytes}, copy.offset, {}).ok());
        cuda::fill_slot(cuda::slot_task(expert, placed.weights, copies, room.as<std::byte>()), {});
        cuda::write_entry(reinterpret_cast<ExpertWeights*>(slot.as<std::byte>() + slot_bytes),
                          placed.weights, {});
        std::vector<std::byte> all(slot_bytes);
        REQUIRE(slot.download(all, 0, {}).ok());
        add_bytes(results, std::span<const std::byte>(all));
    }
    // Two splits of keys; heads of a whole tile and of a part of one.
    void run_attention() {
        const auto q = bf16(20 * kHeadDim);
        std::vector<KvRow> keys(70);
        const auto values = in.bf16(static_cast<int64_t>(keys.size()) * kHeadDim);
        ops.pack_kv({values.data(), static_cast<int64_t>(keys.size()), kHeadDim}, keys);
        std::vector<const KvRow*> pointers;
        for (const KvRow& key : keys) pointers.push_back(&key);
        const std::span<const KvRow* const> all(pointers);
        const std::vector<KeyList> lists(static_cast<size_t>(rows), {all.first(7), all.subspan(7)});
        ops.attend(q, lists, in.floats(20), matrix<Bf16>(20 * kHeadDim));
    }
    // More entries than one block selects from.
    void run_indexer() {
        std::vector<IndexRow> entries(8200), q(static_cast<size_t>(rows));
        for (IndexRow& entry : entries) {
            for (uint8_t& code : entry.codes) code = static_cast<uint8_t>(in.random.below(256));
            entry.scales.fill(127);
        }
        std::ranges::copy_n(entries.begin(), rows, q.begin());
        const std::vector<int32_t> visible(static_cast<size_t>(rows), 8200);
        ops.index_topk(q, bf16(1), entries, visible, matrix<int32_t>(512));
    }
    void run_mixture(MatrixView<const Bf16> shared) {
        const auto logits = matrix<float>(256);
        for (int64_t r = 0; r < rows; ++r)
            for (float& v : logits.row(r)) v = in.real();
        const auto ids = matrix<int32_t>(6);
        const auto bias = in.floats(256);
        ops.route(logits, bias, {}, {6, 1.5F}, ids, matrix<float>(6));
        const int64_t tokens = rows;
        rows = 6 * tokens;
        const auto outputs = bf16(shared.cols);
        rows = tokens;
        const auto combined = matrix<Bf16>(shared.cols);
        ops.combine(outputs, ids, shared, combined);
        add_bytes(results, combined);
    }

    // A pair by itself, and several tiles of rows: lists of their own, so once is enough.
    void run_experts() {
        if (rows != 1) return;
        const auto x = bf16(256);
        const LinearInput input{x, {matrix<uint8_t>(256), matrix<uint8_t>(2)}};
        ops.quantise(x, input.quantised);
        const int64_t tokens = rows;
        using enum WeightFormat;
        for (const WeightFormat format : {kFp8, kFp4, kQ3s, kQ2s, kQ2v}) {
            const auto matrix_of = [&](int64_t outputs, int64_t cols) {
                return in.weight(format, ScaleFormat::kE8m0, outputs, cols, bytes.emplace_back());
            };
            // Whole stages: of parts of one the simulator would take stores apart for one (the others' zeros).
            const ExpertWeights weights{matrix_of(256, 256), matrix_of(256, 256),
                                        matrix_of(256, 256)};
            for (const int64_t count : {1, 13}) {
                std::vector<int32_t> list(static_cast<size_t>(count));
                for (size_t i = 0; i < list.size(); ++i)
                    list[i] = static_cast<int32_t>(static_cast<int64_t>(i) % tokens);
                rows = count;
                const auto out = matrix<Bf16>(256);
                rows = tokens;
                ops.expert(input, list, weights, {}, 10, out);
                add_bytes(results, out);
            }
        }
    }

    Ops& ops;
    Inputs& in;
    int64_t rows, gap;
    std::string results;  // bytes of everything that was computed
    std::string
        tile_results;  // of what tensor cores compute from vectors, and nothing else from bytes
    std::list<std::vector<std::byte>> memory;
    std::list<Bytes> bytes;
};

bool of_the_product(const cuda_sim::KernelReport& kernel) {
    return kernel.name.find("cuda::") != std::string::npos &&
           kernel.name.find("cuda_sim::") == std::string::npos;
}

void run_all(Properties& p, const cuda_sim::Options& options, std::initializer_list<int64_t> rows,
             std::initializer_list<int64_t> gaps) {
    const auto ops = test::make_staged_cuda_ops(p.pool, options);
    for (const int64_t n : rows) {
        for (const int64_t gap : gaps) AllOps(*ops, p.in, n, gap).run();
    }
    cuda_sim::set_options({});
}

// A token of several blocks' logits, cut by top-k.
void run_choice(Properties& p, const cuda_sim::Options& options) {
    cuda_sim::set_options(options);
    constexpr int64_t kVocabulary = 2000;
    auto gpu = *cuda::CudaOps::create({.stream = {}, .vocabulary_max = kVocabulary});
    const std::vector<float> logits = p.in.floats(kVocabulary);
    const OpsMemory memory = *gpu.allocate(logits.size() * sizeof(float), HugePages::kNo);
    const std::span<float> there(memory.as<float>(), logits.size());
    REQUIRE(gpu.write(there.data(), logits.data(), there.size_bytes()).ok());
    const auto token = gpu.choose(there, {.adjustments = {}, .penalties = {}, .top_k = 40});
    REQUIRE(token.ok());
    CHECK(token->has_value());
    cuda_sim::set_options({});
}

}  // namespace

TEST_CASE_FIXTURE(Properties, "every kernel that a launcher can choose is run") {
    run_all(*this, {.seed = 3}, {1, 3}, {0, 1});
    run_choice(*this, {.seed = 3});
    // And products of more rows than one block of few takes.
    const auto cuda = test::make_staged_cuda_ops(pool, {.seed = 3});
    AllOps many(*cuda, in, cuda::kFewRowsMax + 1, 0);
    many.run_products(many.bf16(128), std::vector<int32_t>(cuda::kFewRowsMax + 1, 77));
    std::set<std::string> registered;
    for (const cuda_sim::KernelReport& kernel : cuda_sim::kernels()) {
        if (!of_the_product(kernel)) continue;
        registered.insert(kernel.name);
        CHECK_MESSAGE(kernel.launches > 0, kernel.name);
    }
    CHECK(registered.size() > 40);
    // And every kernel of the sources has a launcher.
    const Path folder = Path(MILLRACE_SOURCE_DIR) / "kernels/cuda";
    int found = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".cu") continue;
        const std::string text = *read_text_file(entry.path(), 1 << 20);
        for (size_t at = text.find("__global__"); at != std::string::npos;
             at = text.find("__global__", at + 1)) {
            const size_t end = text.find("_kernel(", at) + 7;
            const size_t begin = text.rfind(' ', end) + 1;
            const std::string name = "::" + text.substr(begin, end - begin);
            found += 1;
            CHECK_MESSAGE(std::ranges::any_of(
                              registered,
                              [&](const std::string& kernel) {
                                  const size_t i = kernel.find(name);
                                  return i != std::string::npos &&
                                         (i + name.size() == kernel.size() ||
                                          std::string_view("< ").find(kernel[i + name.size()]) !=
                                              std::string_view::npos);
                              }),
                          name);
        }
    }
    CHECK(found >= 18);
}

// The tests shared with the CPU's ops lay rows at odd addresses; what they say of those holds for vectors, too.
TEST_CASE_FIXTURE(Properties, "vectors and bytes give the same bits, rows alone and together") {
    const auto cuda = test::make_staged_cuda_ops(pool, {.seed = 4});
    for (const int64_t rows : {1, 3, 5}) {
        CAPTURE(rows);
        std::string expected, expected_of_tiles;
        for (const int64_t gap : {1, 0, rows == 3 ? 16 : 8}) {
            CAPTURE(gap);
            Inputs same;
            AllOps all(*cuda, same, rows, gap);
            all.run();
            if (expected.empty()) expected = all.results;
            CHECK(all.results.size() > 10000);
            CHECK((all.results == expected));
            if (gap == 0) expected_of_tiles = all.tile_results;
            if (gap == 16) CHECK((all.tile_results == expected_of_tiles));
        }
    }
}

TEST_CASE_FIXTURE(Properties, "warps read whole sectors and meet no bank conflicts") {
    run_all(*this, {.seed = 0, .statistics = true}, {1}, {0});
    run_choice(*this, {.seed = 0, .statistics = true});
    for (const cuda_sim::KernelReport& kernel : cuda_sim::kernels()) {
        if (!of_the_product(kernel) || kernel.global.accesses == 0) continue;
        const std::string line = kernel.name + ": sectors " + std::to_string(kernel.global.mean()) +
                                 ", bank conflicts " + std::to_string(kernel.shared.worst);
        MESSAGE(line);
        // A number of one thread, a scale, the nibbles of an index row: those take a sector each for a few bytes, which
        // shows where a row is short.
        const bool packs = kernel.name.find("pack_index") != std::string::npos;
        CHECK_MESSAGE(kernel.global.mean() < (packs ? 2.5 : 1.5), line);
        // The router's threads look up the experts of their choice; neighbours that are sorted are two apart.
        const bool routes = kernel.name.find("route") != std::string::npos;
        const bool sorts = kernel.name.find("draw") != std::string::npos;
        CHECK_MESSAGE(kernel.shared.worst <= (routes ? 6 : sorts ? 2 : 1), line);
    }
}

TEST_CASE("the exponential is within two units, sigmoids are between 0 and 1") {
    int64_t worst = 0;
    for (double x = -103.9; x < 88.7; x += 0.00313) {
        const auto v = static_cast<float>(x);
        const auto want = static_cast<float>(std::exp(static_cast<double>(v)));
        const int64_t off =
            int64_t{std::bit_cast<int32_t>(cuda::exponential(v))} - std::bit_cast<int32_t>(want);
        worst = std::max<int64_t>(worst, std::abs(off));
    }
    CHECK(worst <= 2);
    CHECK(cuda::exponential(89) == HUGE_VALF);
    CHECK(cuda::exponential(-105) == 0);
    CHECK(std::isnan(cuda::exponential(NAN)));
    CHECK(cuda::exponential(0) == 1);
    CHECK(cuda::sigmoid(-200) == 0);
    CHECK(cuda::sigmoid(200) == 1);
}

TEST_CASE("angles up to two million are rounded as the library's double functions round them") {
    Random random(5);
    int64_t unequal = 0;
    for (int i = 0; i < 300000; ++i) {
        const float x = std::ldexp(static_cast<float>(random.below(1 << 24)),
                                   -3 - static_cast<int>(random.below(30)));
        const cuda::Angle angle = cuda::angle_of(x);
        const auto wide = static_cast<double>(x);
        unequal += angle.cosine != static_cast<float>(std::cos(wide)) ? 1 : 0;
        unequal += angle.sine != static_cast<float>(std::sin(wide)) ? 1 : 0;
    }
    CHECK(unequal == 0);
}

TEST_CASE("every code decodes to its value, NaN included") {
    for (uint32_t code = 0; code < 256; ++code) {
        const uint4 words{code * 0x01010101u, 0, 0, code << 24};
        float values[16];
        cuda::decode_e4m3(words, values);
        const float want = e4m3_value(static_cast<uint8_t>(code));
        CHECK(std::isnan(values[0]) == std::isnan(want));
        if (!std::isnan(want)) {
            for (const int i : {0, 1, 2, 3, 15})
                CHECK(std::bit_cast<uint32_t>(values[i]) == std::bit_cast<uint32_t>(want));
        }
        float pair[16];
        cuda::decode_part<WeightFormat::kFp4>({code, 0, code << 24, 0}, 0, pair);
        CHECK(pair[0] == kE2m1Values[code & 15]);
        CHECK(pair[1] == kE2m1Values[code >> 4]);
        cuda::decode_part<WeightFormat::kFp4>({0, 0, code << 24, 0}, 1, pair);
        CHECK(pair[6] == kE2m1Values[code & 15]);
        CHECK(pair[7] == kE2m1Values[code >> 4]);
    }
}

TEST_CASE("a head's factor is rounded to bf16 as from double") {
    // Every bf16 mean of two neighbouring powers of two: the others are these, times a power of four.
    for (uint32_t bits = 0x3F80; bits < 0x4080; ++bits) {
        const float mean = std::bit_cast<float>(bits << 16);
        const auto want = static_cast<float>(1.0 / std::sqrt(static_cast<double>(mean)));
        CHECK(to_bf16(1.0F / std::sqrt(mean)) == to_bf16(want));
    }
}

TEST_CASE_FIXTURE(Properties, "sums that are rounded are rounded alike in any company") {
    // Long numbers of many sizes: every addition rounds, so that any other order or fusion shows.
    constexpr int64_t kCols = 1152, kOutputs = 9, kMany = 6;
    std::vector<Bf16> values(static_cast<size_t>(kMany * kCols));
    const MatrixView<Bf16> x(values.data(), kMany,
                             kCols);  // no gaps: vectors, and four rows in one pass
    const auto any = [&] {
        const auto mantissa = static_cast<float>(128 + in.random.below(128));
        const float value = std::ldexp(mantissa, -static_cast<int>(in.random.below(12)));
        return in.random.below(2) == 0 ? value : -value;
    };
    for (Bf16& v : values) v = to_bf16(any());
    std::vector<uint8_t> codes(values.size()), scales(values.size() / 128);
    const LinearInput input{x, {{codes.data(), kMany, kCols}, {scales.data(), kMany, kCols / 128}}};
    ops->quantise(x, input.quantised);
    for (const WeightKind& kind : kKinds) {
        Bytes bytes;
        LinearWeight w = in.weight(kind.format, kind.scales, kOutputs, kCols, bytes);
        std::vector<float> floats(static_cast<size_t>(kOutputs * kCols));
        if (kind.format == WeightFormat::kF32) {
            for (float& v : floats) v = any() * 1.0001F;
            w.codes = reinterpret_cast<const std::byte*>(floats.data());
        }
        for (size_t i = 0; kind.scales == ScaleFormat::kF32 && i + 4 <= bytes.scales.size();
             i += 4) {
            const float scale = any() * 1.0001F;
            std::memcpy(&bytes.scales[i], &scale, 4);
        }
        for_every_isa(pool, [&](Ops& cuda) {
            Rows<float> many(kMany, kOutputs), alone(kMany, kOutputs);
            Rows<Bf16> narrow(kMany, kOutputs), narrow_alone(kMany, kOutputs);
            cuda.linear_f32(x, w, many.view);
            cuda.linear(input, w, narrow.view);
            for (int64_t r = 0; r < kMany; ++r) {
                cuda.linear_f32(x.slice_rows(r, 1), w, alone.at(r, 1));
                const Fp8Rows one{input.quantised.codes.slice_rows(r, 1),
                                  input.quantised.scales.slice_rows(r, 1)};
                cuda.linear({x.slice_rows(r, 1), one}, w, narrow_alone.at(r, 1));
            }
            CHECK(many.values == alone.values);
            CHECK(narrow.values == narrow_alone.values);
        });
    }
}

TEST_CASE_FIXTURE(Properties, "NaN in weights and inputs reaches the sums it belongs to") {
    Rows<Bf16> x(2, 256);
    in.bf16(x);
    x.view.row(1)[130] = Bf16{0x7FC0};
    const Quantised q(*ops, x.view);
    Bytes bytes;
    const LinearWeight w = in.weight(WeightFormat::kFp8, ScaleFormat::kE8m0, 9, 256, bytes);
    bytes.codes[4 * 256 + 77] = std::byte{0xFF};
    Rows<Bf16> expected(2, 9), y(2, 9);
    ops->linear(q.input, w, expected.view);
    for_every_isa(pool, [&](Ops& cuda) {
        cuda.linear(q.input, w, y.view);
        for (int64_t r = 0; r < 2; ++r) {
            for (size_t o = 0; o < 9; ++o) {
                const bool nan = r == 1 || o == 4;
                CHECK(std::isnan(to_float(expected.view.row(r)[o])) == nan);
                CHECK(std::isnan(to_float(y.view.row(r)[o])) == nan);
            }
        }
    });
}

TEST_CASE_FIXTURE(Properties, "a norm that quantises is the norm, then aq128, bit for bit") {
    // A group alone, three of them in two warps, and more than one pass of the block.
    for (const int64_t cols : {128, 384, 2176, 4096}) {
        CAPTURE(cols);
        Rows<Bf16> x(3, cols);
        in.bf16(x, 3);
        x.view.row(1)[5] = Bf16{0x7FC0};
        x.view.row(2)[7] = to_bf16(1e5F);  // others fall below the floor of their groups
        const std::vector<Bf16> weight = in.bf16(cols);
        for_every_isa(pool, [&](Ops& cuda) {
            Rows<Bf16> expected(3, cols), computed(3, cols, Bf16{0x7FC1});
            cuda.rms_norm(x.view, weight, 1e-6F, expected.view);
            const Quantised wanted(cuda, expected.view);
            Rows<uint8_t> codes(3, cols, 77), scales(3, cols / 128, 77);
            cuda.norm_quantise(x.view, weight, 1e-6F, computed.view, {codes.view, scales.view});
            for (int64_t r = 0; r < 3; ++r) {
                CHECK(std::memcmp(computed.view.row(r).data(), expected.view.row(r).data(),
                                  static_cast<size_t>(2 * cols)) == 0);
                CHECK(std::ranges::equal(codes.view.row(r), wanted.codes.view.row(r)));
                CHECK(std::ranges::equal(scales.view.row(r), wanted.scales.view.row(r)));
            }
            CHECK(codes.gaps_are(77));
            CHECK(scales.gaps_are(77));
        });
    }
}

TEST_CASE_FIXTURE(Properties, "packed rows keep the bits of what is rotated") {
    Rows<Bf16> x(2, kHeadDim);
    in.bf16(x);
    x.view.row(1)[500] = Bf16{0x7F81};  // a signalling NaN
    std::vector<KvRow> expected(2), computed(2);
    ops->pack_kv(x.view, expected);
    for_every_isa(pool, [&](Ops& cuda) {
        cuda.pack_kv(x.view, computed);
        CHECK(std::memcmp(computed.data(), expected.data(), 2 * sizeof(KvRow)) == 0);
    });
}

TEST_CASE_FIXTURE(Properties, "a router's row of NaN still names each expert once") {
    Rows<float> logits(2, 40), weights(2, 6);
    Rows<int32_t> ids(2, 6);
    for (float& v : logits.view.row(0)) v = NAN;
    for (float& v : logits.view.row(1)) v = in.real();
    const auto bias = in.floats(40);
    for_every_isa(pool, [&](Ops& cuda) {
        cuda.route(logits.view, bias, {}, {6, 1}, ids.view, weights.view);
        for (int32_t j = 0; j < 6; ++j) CHECK(ids.view.row(0)[static_cast<size_t>(j)] == j);
    });
}

}  // namespace millrace
