// Parts of a step that are recorded and replayed (kernels/cuda/graph.cu, core/engine/step_recordings.h): the same bits as
// without, and nothing launched besides.

#include <doctest/doctest.h>

#include "core/engine/draft.h"
#include "core/engine/kv_cache.h"
#include "core/engine/kv_fill.h"
#include "kernels/cuda/cuda_ops.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/support/cuda_sim/graph.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

// Nothing can be recorded as long as it lives.
struct NoGraphs {
    NoGraphs() { cuda_sim::set_graphs_max(0); }
    ~NoGraphs() { cuda_sim::set_graphs_max(INT64_MAX); }
    NoGraphs(const NoGraphs&) = delete;
    NoGraphs& operator=(const NoGraphs&) = delete;
};

struct Model {
    // Misses are copied: then no bit depends on what lies on the GPU.
    explicit Model(const char* name, int32_t rollback = 64, uint64_t gpu_budget_bytes = 0) {
        RuntimeOptions options = test::tiny_options();
        options.ops = "cuda";
        options.gpu.misses = GpuMisses::kCopy;
        options.gpu.budget_bytes = gpu_budget_bytes;
        options.context_max = 256;
        options.prefill_chunk = 64;
        options.rollback_tokens = rollback;
        runtime = test::open_runtime(test::tiny_checkpoint(name), options);
        for (int32_t i = 0; i < 200; ++i) tokens.push_back({i * 37 % 200});
    }
    // One with made-up tokens.
    [[nodiscard]] Session session(int64_t length) const {
        Session out = test::new_session(*runtime);
        REQUIRE(fill_session(out, runtime->config(), length, 5).ok());
        return out;
    }
    // Whether the logits are those of `all` from token `first` of them on.
    [[nodiscard]] bool is_part(const std::vector<float>& logits, const std::vector<float>& all,
                               size_t first) const {
        const size_t at = first * static_cast<size_t>(runtime->config().vocabulary);
        return std::ranges::equal(logits, std::span(all).subspan(at, logits.size()));
    }
    // Logits of the tokens behind those that the session has, up to `end`, one after another or all at once.
    [[nodiscard]] std::vector<float> go_on(Session& session, size_t end, int64_t piece) {
        const auto begin = static_cast<size_t>(session.length());
        return test::all_logits(*runtime, session, std::span(tokens).subspan(begin, end - begin),
                                {piece});
    }
    [[nodiscard]] int32_t layers() const { return runtime->config().layer_count(); }

    std::unique_ptr<Runtime> runtime;
    std::vector<TokenId> tokens;
};

// Of all whose names hold this.
int64_t launches_of_kernels(std::string_view name = "") {
    int64_t sum = 0;
    for (const cuda_sim::KernelReport& kernel : cuda_sim::kernels()) {
        if (kernel.name.find(name) != std::string::npos) sum += kernel.launches;
    }
    return sum;
}

struct Recorder {
    test::WatchedGpu watched{2};
    cuda::OwnStream stream = *cuda::OwnStream::create(0);
    cuda::CudaOps ops = *cuda::CudaOps::create({.stream = stream.get()});
    OpsMemory memory = *ops.allocate(256, HugePages::kNo);
    int32_t* const numbers = memory.as<int32_t>();

    [[nodiscard]] std::vector<int32_t> read(size_t count) {
        std::vector<int32_t> out(count);
        REQUIRE(ops.read(out.data(), numbers, count * sizeof(int32_t)).ok());
        return out;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Recorder, "a recording computes nothing, its replays on what lies there then") {
    std::span<int32_t> ring(numbers, 4), record(numbers + 4, 1), position(numbers + 5, 1);
    ops.count(ring, 0, 0, 1);
    ops.count(record, 7, 0, 1);
    ops.count(position, 2, 0, 1);
    REQUIRE(ops.begin_recording());
    ops.store({reinterpret_cast<std::byte*>(record.data()), 1, 4},
              {reinterpret_cast<std::byte*>(ring.data()), 4, 4}, position.data(), 1);
    ops.copy(numbers + 6, record.data(), 4);
    const auto recording = ops.end_recording();
    REQUIRE(recording != nullptr);
    CHECK(read(4) == std::vector<int32_t>{0, 0, 0, 0});
    ops.replay(*recording);
    CHECK(read(7) == std::vector<int32_t>{0, 0, 7, 0, 7, 2, 7});
    ops.count(record, 9, 0, 1);
    ops.count(position, 5, 0, 1);
    ops.replay(*recording);
    CHECK(read(7) == std::vector<int32_t>{0, 9, 7, 0, 9, 5, 9});
}

TEST_CASE_FIXTURE(Recorder,
                  "what cannot be recorded is not, and what failed before is still told") {
    auto on_default = *cuda::CudaOps::create({});
    CHECK_FALSE(on_default.begin_recording());

    REQUIRE(ops.begin_recording());
    ops.count({numbers, 2}, 1, 1, 1);
    int32_t seen = 0;
    CHECK_FALSE(ops.read(&seen, numbers, sizeof(seen)).ok());
    CHECK(ops.end_recording() == nullptr);
    ops.count({numbers, 2}, 5, 1, 1);
    CHECK(read(2) == std::vector<int32_t>{5, 6});

    ops.copy(numbers, nullptr, 4);
    CHECK_FALSE(ops.begin_recording());
    CHECK_FALSE(ops.read(&seen, numbers, sizeof(seen)).ok());
    {
        const NoGraphs none;
        REQUIRE(ops.begin_recording());
        CHECK(ops.end_recording() == nullptr);
    }
    CHECK(read(2) == std::vector<int32_t>{5, 6});
    CHECK(cuda_sim::graphs().alive == 0);
}

TEST_CASE("a token after the other gives the bits of a chunk, past a block of 128 and all rings") {
    const test::WatchedGpu gpu(1);
    Model model("tiny-clamp", 4);  // the rings of the window and of blocks of 128 end at 132
    Session chunk = model.session(126), single = model.session(126);
    const auto expected = model.go_on(chunk, 134, 8);
    const int64_t before = cuda_sim::graphs().launches;
    CHECK(model.is_part(model.go_on(single, 130, 1), expected, 0));
    single.roll_back(127);  // to other sizes of launches
    CHECK(model.is_part(model.go_on(single, 134, 1), expected, 1));
    CHECK(cuda_sim::graphs().launches - before == int64_t{11} * 2 * model.layers());
}

TEST_CASE("the first tokens of a sequence, and what was recorded before going back") {
    const test::WatchedGpu gpu(3);
    Model model("tiny-clamp");
    Session chunk = test::new_session(*model.runtime), single = test::new_session(*model.runtime);
    const auto expected = model.go_on(chunk, 5, 5);
    CHECK(model.go_on(single, 5, 1) == expected);
    single.roll_back(2);
    CHECK(model.is_part(model.go_on(single, 5, 1), expected, 2));
}

TEST_CASE("two sequences in turn have recordings of their own") {
    const test::WatchedGpu gpu(1);
    Model model("tiny-clamp");
    Session one = model.session(6), other = model.session(7), chunk = model.session(6);
    const auto expected = model.go_on(chunk, 9, 3);
    for (size_t i = 0; i < 3; ++i) {
        static_cast<void>(model.go_on(other, 8 + i, 1));
        CHECK(model.is_part(model.go_on(one, 7 + i, 1), expected, i));
    }
}

TEST_CASE("what is replayed is not launched besides, and recorded once") {
    const test::WatchedGpu gpu(0);
    Model model("tiny-clamp");
    Session session = model.session(124);
    for (int i = 0; i < 3; ++i) {  // until all experts are there
        static_cast<void>(model.go_on(session, 126, 1));
        session.roll_back(124);
    }
    static_cast<void>(model.go_on(session, 125, 1));
    CHECK(cuda_sim::graphs().alive == 2 * model.layers());
    const auto graphs = cuda_sim::graphs();
    const int64_t launches = launches_of_kernels(), keys = launches_of_kernels("keys_kernel");
    static_cast<void>(model.go_on(session, 126, 1));
    // What is replayed ends with copies for the host; one more where it computes experts.
    const int64_t copies = model.layers();
    const int64_t replayed = cuda_sim::graphs().calls - graphs.calls - copies;
    const int64_t launched = launches_of_kernels() - launches - replayed;
    MESSAGE(replayed, " kernels replayed, ", launched, " launched");
    CHECK(cuda_sim::graphs().launches - graphs.launches == 2 * model.layers());
    CHECK(cuda_sim::graphs().alive == graphs.alive);
    CHECK(launches_of_kernels("keys_kernel") - keys == model.layers());
    // Entries of tables, and a step's ends.
    CHECK(launched <= 2 * model.layers() + 8);
    CHECK(replayed >= 32 * model.layers());
    // With entries that are complete, then other sizes of launches: what was recorded before is gone.
    static_cast<void>(model.go_on(session, 128, 1));
    CHECK(cuda_sim::graphs().alive > graphs.alive);
    static_cast<void>(model.go_on(session, 129, 1));
    CHECK(cuda_sim::graphs().alive == 2 * model.layers());
}

TEST_CASE("with all experts there a layer is two graphs, the place to wait for, and the wait") {
    const test::WatchedGpu gpu(0);
    Model model("tiny-clamp");
    Session session = model.session(40);
    const auto expected = model.go_on(session, 42, 1);
    for (int i = 0; i < 2; ++i) {  // what was copied at last has landed
        session.roll_back(40);
        CHECK(model.go_on(session, 42, 1) == expected);
    }
    session.roll_back(41);
    std::vector<float> logits(expected.size() / 2);
    // Its number and ids that tables fix are written, logits read.
    cuda_sim::set_card({.calls_left = 5 * model.layers() + 8});
    const Status done =
        model.runtime->forward(session, std::span(model.tokens).subspan(41, 1), LogitsWanted::kLast,
                               {logits.data(), 1, std::ssize(logits)});
    cuda_sim::set_card({});
    CHECK(done.ok());
    CHECK(model.is_part(logits, expected, 1));
}

TEST_CASE("experts that come and go between replays: the bits of a chunk") {
    uint64_t budget = 0;
    {
        const test::WatchedGpu gpu(1);
        const MemoryPlan plan = Model("tiny-clamp").runtime->plan();
        const uint64_t slot = plan.gpu_expert_bytes / static_cast<uint64_t>(plan.gpu_slots);
        budget = plan.gpu_bytes() - plan.gpu_expert_bytes + 5 * slot + slot / 2;
    }
    for (const uint64_t seed : {uint64_t{0}, uint64_t{3}}) {
        const test::WatchedGpu gpu(seed);
        Model model("tiny-clamp", 64, budget);
        Session chunk = model.session(20), single = model.session(20);
        const auto expected = model.go_on(chunk, 32, 12);
        const uint64_t dropped = model.runtime->gpu_stats()->dropped;
        const int64_t before = cuda_sim::graphs().launches;
        CHECK(model.go_on(single, 32, 1) == expected);
        CHECK(model.runtime->gpu_stats()->dropped > dropped);
        CHECK(cuda_sim::graphs().launches - before == int64_t{12} * 2 * model.layers());
    }
}

TEST_CASE("where the host's memory cannot be pinned its copies are no part of what is replayed") {
    const test::WatchedGpu gpu(1);
    std::vector<float> expected;
    {
        Model model("tiny-clamp");
        Session session = model.session(10);
        expected = model.go_on(session, 13, 1);
    }
    cuda_sim::set_card({.pinned_bytes = 0});
    Model model("tiny-clamp");
    Session session = model.session(10);
    const int64_t before = cuda_sim::graphs().launches;
    CHECK(model.go_on(session, 13, 1) == expected);
    CHECK(cuda_sim::graphs().launches - before == int64_t{3} * 2 * model.layers());
}

TEST_CASE("without memory for recordings a step is launched as ever") {
    const test::WatchedGpu gpu(1);
    Model model("tiny-clamp");
    Session with = model.session(2), without = model.session(2), some = model.session(2);
    const auto expected = model.go_on(with, 4, 1);
    {
        const NoGraphs none;
        const int64_t before = cuda_sim::graphs().launches;
        CHECK(model.go_on(without, 4, 1) == expected);
        CHECK(cuda_sim::graphs().launches == before);
    }
    cuda_sim::set_graphs_max(cuda_sim::graphs().alive + 1);
    CHECK(model.go_on(some, 4, 1) == expected);
    cuda_sim::set_graphs_max(INT64_MAX);
}

TEST_CASE("drafts between tokens that are replayed") {
    const test::WatchedGpu gpu(1);
    Model model("tiny-clamp");
    const ModelConfig& config = model.runtime->config();
    auto drafter = *MtpDrafter::create(model.runtime->step());
    const LayerId block{config.layer_count()};
    const auto drafted = [&] {
        Session session = test::new_session(*model.runtime);
        std::vector<float> out, logits(static_cast<size_t>(config.vocabulary));
        for (size_t i = 0; i < 2; ++i) {
            const auto own = model.go_on(session, i + 1, 1);
            out.insert(out.end(), own.begin(), own.end());
            REQUIRE(drafter
                        ->logits(0, model.runtime->step().streams(),
                                 std::span(model.tokens).subspan(i + 1, 1), static_cast<int64_t>(i),
                                 session.kv().layer(block), {logits.data(), 1, config.vocabulary})
                        .ok());
            out.insert(out.end(), logits.begin(), logits.end());
        }
        return out;
    };
    const auto replayed = drafted();
    const NoGraphs none;
    CHECK(drafted() == replayed);
}

TEST_CASE("a GPU that is lost while it records or replays fails the step in words") {
    const test::WatchedGpu gpu(1);
    Model model("tiny-clamp");
    Session whole = model.session(4);
    const auto expected = model.go_on(whole, 5, 1);
    const auto token = std::span(model.tokens).subspan(4, 1);
    std::vector<float> logits(expected.size());
    const MatrixView<float> row(logits.data(), 1, std::ssize(logits));
    int failed = 0;
    const std::vector<int64_t> recording{1, 2, 3, 4, 5, 11}, replaying{1, 2, 9};
    for (const bool recorded : {false, true}) {
        for (const int64_t calls : recorded ? replaying : recording) {
            CAPTURE(calls);
            Session session = model.session(4);
            if (recorded) {
                static_cast<void>(model.go_on(session, 5, 1));
                session.roll_back(4);
            }
            cuda_sim::set_card({.calls_left = calls});
            const Status done = model.runtime->forward(session, token, LogitsWanted::kLast, row);
            cuda_sim::set_card({});
            REQUIRE(!done.ok());
            ++failed;
            CHECK(done.error().message == "the GPU stopped working: the device is no longer there");
            CHECK(session.length() == 4);
        }
    }
    CHECK(failed == 9);
    CHECK(model.runtime->forward(whole, token, LogitsWanted::kLast, row).ok());
}

}  // namespace millrace
