// The engine with a GPU: whole models over the CUDA ops in the simulator.

#include <doctest/doctest.h>

#include <filesystem>

#include "core/engine/sampler.h"
#include "core/engine/sequence_model.h"
#include "kernels/gpu.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

RuntimeOptions cuda_options() {
    RuntimeOptions options = test::tiny_options();
    options.ops = "cuda";
    options.gpu.misses = GpuMisses::kCopy;
    options.context_max = 256;
    options.prefill_chunk = 64;
    return options;
}

std::vector<TokenId> some_tokens(size_t count) {
    std::vector<TokenId> out;
    for (size_t i = 0; i < count; ++i) out.push_back({static_cast<int32_t>(i * 37 % 200)});
    return out;
}

std::string refusal(const cuda_sim::Card& card, const RuntimeOptions& options = cuda_options()) {
    cuda_sim::set_card(card);
    const auto runtime = Runtime::open(test::tiny_checkpoint("tiny-clamp"), options);
    cuda_sim::set_card({});
    REQUIRE(!runtime.ok());
    return runtime.error().message;
}

}  // namespace

TEST_CASE("a model on the GPU gives the same bits for any chunking and after going back") {
    const test::WatchedGpu gpu(1);
    const auto tokens = some_tokens(21);
    const auto runtime = test::open_runtime(test::tiny_checkpoint("tiny-clamp"), cuda_options());
    CHECK(runtime->plan().on_gpu);
    Session whole = test::new_session(*runtime);
    const auto logits = test::all_logits(*runtime, whole, tokens, {21});
    Session pieces = test::new_session(*runtime);
    CHECK(test::all_logits(*runtime, pieces, tokens, {1, 2, 8, 9, 1}) == logits);

    whole.roll_back(17);
    const auto last = test::all_logits(*runtime, whole, std::span(tokens).subspan(17), {3, 1});
    const auto vocabulary = static_cast<size_t>(runtime->config().vocabulary);
    CHECK(std::ranges::equal(last, std::span(logits).subspan(17 * vocabulary)));
}

TEST_CASE(
    "the second GPU computes for threads that never chose it, and nothing lies on the first") {
    const test::WatchedGpu gpu(1);
    cuda_sim::set_card({.count = 2});  // memory of one is none of the other's
    RuntimeOptions options = cuda_options();
    options.gpu.numbers = {1};
    const auto tokens = some_tokens(3);
    const auto runtime = test::open_runtime(test::tiny_checkpoint("tiny-clamp"), options);
    cuda_sim::change_thread();
    Session session = test::new_session(*runtime);
    const auto logits = test::all_logits(*runtime, session, tokens, {3});
    cuda_sim::change_thread();
    const auto first = test::open_runtime(test::tiny_checkpoint("tiny-clamp"), cuda_options());
    Session other = test::new_session(*first);
    CHECK(test::all_logits(*first, other, tokens, {3}) == logits);
}

TEST_CASE("what is missing for the GPU is said in one sentence") {
    const test::WatchedGpu gpu(1);
    CHECK(refusal({.driver = 0}) ==
          "there is no NVIDIA driver on this machine; install one for CUDA 13.0 or newer, or take "
          "--ops cpu");
    CHECK(refusal({.driver = 12040}) ==
          "the NVIDIA driver is for CUDA 12.4 and this program needs 13.0; update the driver, or "
          "take --ops cpu");
    CHECK(refusal({.count = 0}).starts_with("the NVIDIA driver shows no GPU ("));
    CHECK(refusal({.name = "Titan V", .major = 7}) ==
          "GPU 0, Titan V, has compute capability 7.0; 8.0 or newer is needed (Ampere of 2020); "
          "take --ops cpu");
    RuntimeOptions second = cuda_options();
    second.gpu.numbers = {1};
    CHECK(refusal({}, second) == "there is no GPU number 1; this machine has 1, counted from 0");
    const std::string taken = refusal({.memory_bytes = uint64_t{1} << 20});
    CAPTURE(taken);
    CHECK(taken.starts_with("896.00 KiB of the GPU's memory may be taken, and "));
    CHECK(taken.find("lower --context") != std::string::npos);
}

TEST_CASE("a GPU that falls off its bus fails the step in words, wherever it is, and no sooner") {
    const test::WatchedGpu gpu(1);
    const auto tokens = some_tokens(3);
    for (const GpuMisses misses : {GpuMisses::kCopy, GpuMisses::kCpu}) {
        RuntimeOptions options = cuda_options();
        options.gpu.misses = misses;
        int failed = 0;
        for (const int64_t calls : {0, 7, 30, 100'000}) {
            const auto runtime = test::open_runtime(test::tiny_checkpoint("tiny-clamp"), options);
            std::vector<float> logits(static_cast<size_t>(runtime->config().vocabulary));
            const MatrixView<float> row(logits.data(), 1, runtime->config().vocabulary);
            Session session = test::new_session(*runtime);
            cuda_sim::set_card({.calls_left = calls});
            const Status done = runtime->forward(session, tokens, LogitsWanted::kLast, row);
            cuda_sim::set_card({});
            CHECK(session.length() == (done.ok() ? 3 : 0));
            if (done.ok()) continue;
            ++failed;
            CHECK(done.error().message == "the GPU stopped working: the device is no longer there");
        }
        CHECK(failed == 3);
    }
}

TEST_CASE("a conversation goes on on the CPU when the GPU is gone, from the last whole token") {
    const test::WatchedGpu gpu(1);
    const auto tokens = some_tokens(12);
    const Path checkpoint = test::tiny_checkpoint("tiny-clamp");
    RuntimeOptions on_cpu = cuda_options();
    on_cpu.ops = "cpu";
    const auto cpu = test::open_runtime(checkpoint, on_cpu);
    Session session = test::new_session(*cpu);
    const auto expected = test::all_logits(*cpu, session, tokens, {12});
    const auto vocabulary = static_cast<size_t>(cpu->config().vocabulary);

    for (const int64_t calls : {int64_t{0}, int64_t{12}}) {
        auto model = make_sequence_model(test::open_runtime(checkpoint, cuda_options()), {});
        REQUIRE(model.ok());
        REQUIRE((*model)->append(std::span(tokens).first(7), {}).ok());
        CHECK_FALSE((*model)->lost_gpu());
        cuda_sim::set_card({.calls_left = calls});
        std::vector<float> logits(vocabulary);
        for (size_t t = 7; t < tokens.size(); ++t) {
            REQUIRE((*model)->append(std::span(tokens).subspan(t, 1), logits).ok());
            CHECK((*model)->lost_gpu());
            CHECK(std::ranges::equal(logits,
                                     std::span(expected).subspan(t * vocabulary, vocabulary)));
        }
        CHECK((*model)->keep(tokens).tokens == 11);
        cuda_sim::set_card({});
    }
}

TEST_CASE("an answer is the same tokens wherever they are chosen, and after the GPU is gone") {
    const test::WatchedGpu gpu(1);
    const Path checkpoint = test::tiny_checkpoint("tiny-clamp");
    const auto tokens = some_tokens(9);
    const auto vocabulary =
        static_cast<int64_t>(test::open_runtime(checkpoint, cuda_options())->config().vocabulary);
    for (const SamplingParams& params :
         {SamplingParams{.temperature = 0, .frequency_penalty = 0.5F},
          SamplingParams{.temperature = 0.9F, .top_k = 40, .top_p = 0.95F, .seed = 3},
          SamplingParams{.min_p = 0.01F, .seed = 4}}) {
        std::vector<std::vector<TokenId>> answers;
        for (const bool kept : {false, true}) {
            auto model = make_sequence_model(test::open_runtime(checkpoint, cuda_options()), {});
            REQUIRE(model.ok());
            Sampler sampler(params, vocabulary, tokens);
            std::vector<float> room(static_cast<size_t>(vocabulary), -1);
            std::vector<TokenId> next = tokens;
            answers.emplace_back();
            for (int i = 0; i < 5; ++i) {
                const Status done =
                    kept ? (*model)->append_to_choose(next, room) : (*model)->append(next, room);
                REQUIRE(done.ok());
                const Result<TokenId> token =
                    kept ? (*model)->choose(sampler, room) : sampler.sample(room);
                REQUIRE(token.ok());
                next = {*token};
                answers.back().push_back(*token);
            }
            // They never came to the host.
            if (kept) CHECK(std::ranges::count(room, -1.0F) == vocabulary);
        }
        CHECK(answers[0] == answers[1]);
    }

    // Between the step and the choice: the CPU computes the whole sequence and its sampler chooses.
    RuntimeOptions on_cpu = cuda_options();
    on_cpu.ops = "cpu";
    const auto cpu = test::open_runtime(checkpoint, on_cpu);
    Session session = test::new_session(*cpu);
    const auto logits = test::all_logits(*cpu, session, tokens, {9});
    Sampler expected({.seed = 8}, vocabulary, tokens), sampler({.seed = 8}, vocabulary, tokens);
    auto model = make_sequence_model(test::open_runtime(checkpoint, cuda_options()), {});
    REQUIRE(model.ok());
    std::vector<float> room(static_cast<size_t>(vocabulary));
    REQUIRE((*model)->append_to_choose(tokens, room).ok());
    cuda_sim::set_card({.calls_left = 0});
    const Result<TokenId> token = (*model)->choose(sampler, room);
    cuda_sim::set_card({});
    REQUIRE(token.ok());
    CHECK((*model)->lost_gpu());
    CHECK(*token == *expected.sample(std::span(logits).last(room.size())));
    REQUIRE((*model)->append_to_choose({&*token, 1}, room).ok());
    CHECK((*model)->choose(sampler, room).ok());
}

TEST_CASE("without GPU and without the model's files every further step fails in words") {
    const test::WatchedGpu gpu(1);
    const auto tokens = some_tokens(2);
    // A copy, to be taken away.
    const test::TempDirectory room;
    const Path copy = room.path() / "model";
    std::filesystem::copy(test::tiny_checkpoint("tiny-clamp").string(), copy.string(),
                          std::filesystem::copy_options::recursive);
    auto model = make_sequence_model(test::open_runtime(copy, cuda_options()), {});
    REQUIRE(model.ok());
    std::filesystem::remove_all(copy.string());
    cuda_sim::set_card({.calls_left = 0});
    for (int i = 0; i < 2; ++i) {
        const Status done = (*model)->append(tokens, {});
        REQUIRE(!done.ok());
        CHECK(done.error().message.starts_with("going on without the GPU: "));
    }
    (*model)->watch(nullptr);
    (*model)->observe(nullptr);
}

}  // namespace millrace
