// The lists that a GPU makes in its own memory (kernels/cuda/lists.cu) against those of the host (kernels/ops.cpp).

#include <doctest/doctest.h>

#include "core/base/random.h"
#include "kernels/cuda/cuda_ops.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/kernels/cpu_fixture.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

// Both make lists of the same places; what lies there nobody looks at.
struct Lists : Properties {
    Ops& host = *ops;
    test::WatchedGpu watched{3};
    cuda::CudaOps gpu = *cuda::CudaOps::create({});

    template <class T>
    std::span<T> on_gpu(size_t count) {
        memory_.push_back(*gpu.allocate(count * sizeof(T), HugePages::kNo));
        return {memory_.back().as<T>(), count};
    }
    template <class T>
    std::vector<T> read(std::span<const T> values) {
        std::vector<T> out(values.size());
        REQUIRE(gpu.read(out.data(), values.data(), values.size_bytes()).ok());
        return out;
    }

    // One number in the GPU's memory.
    const int32_t* position_on_gpu(int64_t position) {
        const auto place = on_gpu<int32_t>(1);
        gpu.count(place, position, 0, 1);
        return place.data();
    }

    // Rows from position `first` on; what is launched has room for `spare` more positions.
    void check_keys(KeySources sources, int64_t first, int64_t rows, int64_t spare,
                    MatrixView<const int32_t> picks) {
        const auto n = static_cast<size_t>(rows);
        sources.limit = first + rows + spare;
        const size_t room = static_cast<size_t>(
            std::min(sources.limit, sources.window) + rows +
            (picks.rows > 0 ? rows * picks.cols
                            : (sources.ratio > 0 ? sources.limit / sources.ratio : 0)));
        std::vector<const KvRow*> pointers(room);
        std::vector<KeyList> lists(n);
        sources.picks = picks;
        const auto position = static_cast<int32_t>(first);
        sources.first = &position;
        const KeyLists expected = host.list_keys(sources, pointers, lists);

        sources.first = position_on_gpu(first);
        if (picks.rows > 0) {
            const auto place = on_gpu<int32_t>(static_cast<size_t>(rows * picks.cols));
            REQUIRE(gpu.write(place.data(), picks.data, place.size_bytes()).ok());
            sources.picks = {place.data(), rows, picks.cols};
        }
        const auto gpu_rows = on_gpu<const KvRow*>(room);
        const auto gpu_lists = on_gpu<KeyList>(n);
        const KeyLists computed = gpu.list_keys(sources, gpu_rows, gpu_lists);
        CHECK(computed.longest >= expected.longest);
        if (spare == 0 && picks.rows == 0) CHECK(computed.longest <= expected.longest + 1);
        const auto seen = read(std::span<const KeyList>(gpu_lists));
        for (size_t r = 0; r < n; ++r) {
            CAPTURE(r);
            CHECK(read(seen[r].window) ==
                  std::vector<const KvRow*>(lists[r].window.begin(), lists[r].window.end()));
            CHECK(read(seen[r].entries) ==
                  std::vector<const KvRow*>(lists[r].entries.begin(), lists[r].entries.end()));
        }
    }

private:
    std::vector<OpsMemory> memory_;
};

}  // namespace

TEST_CASE_FIXTURE(Lists, "keys: windows that begin, go round the ring and end in the chunk") {
    const std::vector<KvRow> ring(20), chunk(140), entries(300);
    for (const int64_t first : {0, 1, 7, 15, 16, 33, 150}) {
        for (const int64_t rows : {1, 5, 140}) {
            for (const int ratio : {0, 4, 128}) {
                CAPTURE(first);
                CAPTURE(rows);
                CAPTURE(ratio);
                KeySources sources{.ring = ring.data(),
                                   .capacity = 20,
                                   .chunk = chunk.data(),
                                   .window = 16,
                                   .entries = ratio == 0 ? nullptr : entries.data(),
                                   .picks = {},
                                   .ratio = ratio};
                check_keys(sources, first, rows, 0, {});
                check_keys(sources, first, rows, 300, {});
                sources.whole_chunk = true;
                if (ratio == 0) check_keys(sources, first, rows, 0, {});
            }
        }
    }
}

TEST_CASE_FIXTURE(Lists, "keys: the entries that are picked, up to the first absent one") {
    const std::vector<KvRow> ring(40), chunk(9), entries(300);
    for (const int64_t first : {0, 10, 1000}) {
        std::vector<int32_t> picks;
        for (int64_t r = 0; r < 9; ++r) {
            // Fewer than there are entries, too.
            const int64_t seen = std::min<int64_t>((first + r + 1) / 4, 150) - r % 3;
            for (int64_t i = 0; i < 150; ++i)
                picks.push_back(i < seen ? static_cast<int32_t>(in.random.below(250)) : -1);
        }
        for (const int64_t spare : {0, 100}) {
            check_keys({.ring = ring.data(),
                        .capacity = 40,
                        .chunk = chunk.data(),
                        .window = 32,
                        .entries = entries.data(),
                        .picks = {},
                        .ratio = 4},
                       first, 9, spare, {picks.data(), 9, 150});
        }
    }
}

TEST_CASE_FIXTURE(Lists, "contributors: nobody before the first token, the ring, the chunk") {
    const std::vector<float> ring(3 * 140), chunk(3 * 300);
    for (const int ratio : {4, 128}) {
        for (const int64_t first : {0, 3, 126, 129}) {
            const int overlap = ratio == 4 ? 2 : 1;
            const auto position = static_cast<int32_t>(first);
            PoolSources from{.ring = ring.data(),
                             .capacity = 140,
                             .chunk = chunk.data(),
                             .first = &position,
                             .row_width = 3,
                             .ratio = ratio,
                             .overlap = overlap};
            const auto count = static_cast<size_t>((first + 300) / ratio - first / ratio);
            const size_t each = static_cast<size_t>(overlap * ratio);
            std::vector<const float*> rows(count * each);
            std::vector<PoolSource> sources(count);
            std::vector<int32_t> positions(count);
            host.list_contributors(from, rows, sources, positions);
            const auto gpu_rows = on_gpu<const float*>(rows.size());
            const auto gpu_sources = on_gpu<PoolSource>(count);
            const auto gpu_positions = on_gpu<int32_t>(count);
            from.first = position_on_gpu(first);
            gpu.list_contributors(from, gpu_rows, gpu_sources, gpu_positions);
            CHECK(read(std::span<const int32_t>(gpu_positions)) == positions);
            for (size_t e = 0; e < count; ++e)
                CHECK(positions[e] == (first / ratio + static_cast<int64_t>(e)) * ratio);
            CHECK(read(std::span<const float* const>(gpu_rows)) == rows);
            const auto seen = read(std::span<const PoolSource>(gpu_sources));
            for (size_t e = 0; e < count; ++e) CHECK(seen[e].rows == gpu_rows.data() + e * each);
        }
    }
}

TEST_CASE_FIXTURE(Lists, "records go to their places round a ring, of too many the last ones") {
    constexpr int64_t kCapacity = 7, kWords = 150;  // more words than a block has threads
    for (const int divisor : {1, 4}) {
        for (const int64_t first : {0, 3, 6, 45}) {
            for (const int64_t count : {0, 1, 2, 7, 10}) {
                CAPTURE(divisor);
                CAPTURE(first);
                CAPTURE(count);
                const auto records = on_gpu<int32_t>(static_cast<size_t>(count * kWords));
                const auto ring = on_gpu<int32_t>(kCapacity * kWords);
                gpu.count(records, 1000, 1, 1);
                gpu.count(ring, 0, 0, 1);
                std::vector<int32_t> expected(kCapacity * kWords);
                for (int64_t r = 0; r < count; ++r) {
                    for (int64_t w = 0; w < kWords; ++w) {
                        const int64_t place = (first / divisor + r) % kCapacity;
                        expected[static_cast<size_t>(place * kWords + w)] =
                            static_cast<int32_t>(1000 + r * kWords + w);
                    }
                }
                const auto bytes = [](std::span<int32_t> words) {
                    return reinterpret_cast<std::byte*>(words.data());
                };
                gpu.store({bytes(records), count, kWords * 4}, {bytes(ring), kCapacity, kWords * 4},
                          position_on_gpu(first), divisor);
                CHECK(read(std::span<const int32_t>(ring)) == expected);

                std::vector<int32_t> from = read(std::span<const int32_t>(records));
                std::vector<int32_t> to(kCapacity * kWords);
                const auto position = static_cast<int32_t>(first);
                host.store({bytes(from), count, kWords * 4}, {bytes(to), kCapacity, kWords * 4},
                           &position, divisor);
                CHECK(to == expected);
            }
        }
    }
}

TEST_CASE_FIXTURE(Lists, "counting, in steps and whole parts") {
    for (const size_t size : {0, 1, 300}) {
        std::vector<int32_t> expected(size);
        host.count(expected, 1001, 3, 4);
        const auto out = on_gpu<int32_t>(size);
        gpu.count(out, 1001, 3, 4);
        CHECK(read(std::span<const int32_t>(out)) == expected);
    }
}

TEST_CASE_FIXTURE(Lists, "copies within the GPU's memory") {
    const auto from = on_gpu<int32_t>(5), to = on_gpu<int32_t>(5);
    gpu.count(from, 7, 1, 1);
    gpu.copy(to.data() + 1, from.data(), 4 * sizeof(int32_t));
    CHECK(read(std::span<const int32_t>(to.subspan(1))) == std::vector<int32_t>{7, 8, 9, 10});
}

TEST_CASE("memory of the second GPU is reached from threads that never chose it") {
    const test::WatchedGpu watched(0);
    cuda_sim::set_card({.count = 2});
    auto gpu = *cuda::CudaOps::create({.stream = {.handle = nullptr, .device = 1}});
    cuda_sim::change_thread();
    const auto memory = *gpu.allocate(16, HugePages::kNo);
    auto* const at = memory.as<int32_t>();
    const int32_t given = 7;
    int32_t seen = 0;
    cuda_sim::change_thread();
    REQUIRE(gpu.write(at, &given, sizeof(given)).ok());
    cuda_sim::change_thread();
    gpu.copy(at + 1, at, sizeof(given));
    cuda_sim::change_thread();
    REQUIRE(gpu.read(&seen, at + 1, sizeof(seen)).ok());
    CHECK(seen == given);
}

}  // namespace millrace
