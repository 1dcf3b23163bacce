// A model whose layers are split over several GPUs gives the bits of one: whole models over the CUDA ops in the simulator.

#include <algorithm>

#include "core/engine/draft.h"
#include "core/engine/kv_pages.h"
#include "tests/cuda/several_gpus_fixture.h"
#include "tests/support/cuda_sim/graph.h"

namespace millrace::test {
namespace {

const std::vector<std::vector<int>> kLists = {{1, 0}, {2, 0, 1}};

// What is computed behind 130 made-up tokens: a chunk longer than can be taken back, then one by one.
std::vector<float> go_on(Runtime& runtime, Session& session) {
    return all_logits(runtime, session, some_tokens(23), {20, 1});
}

}  // namespace

TEST_CASE("several GPUs give the bits of one: chunks, token by token, after going back") {
    const auto tokens = some_tokens(12);
    std::vector<float> expected, later;
    {
        const WatchedGpu gpu(1);
        const auto one = open_on({0});
        CHECK(one->plan().gpus.size() == 1);
        Session session = new_session(*one);
        expected = all_logits(*one, session, tokens, {12});
        Session filled = filled_session(*one, 130);
        later = go_on(*one, filled);
    }
    for (const auto& gpus : kLists) {
        const WatchedGpu gpu(gpus.size() == 2 ? 0 : 2);
        cuda_sim::set_card({.count = 3});
        const auto runtime = open_on(gpus);
        CAPTURE(gpus.size());
        Session whole = new_session(*runtime);
        CHECK(all_logits(*runtime, whole, tokens, {12}) == expected);
        const int64_t replayed = cuda_sim::graphs().launches;
        Session pieces = new_session(*runtime);
        CHECK(all_logits(*runtime, pieces, tokens, {1, 2, 5, 1, 1, 2}) == expected);
        CHECK(cuda_sim::graphs().launches - replayed >= 3 * runtime->config().layer_count());
        whole.roll_back(9);
        const auto last = all_logits(*runtime, whole, std::span(tokens).subspan(9), {2, 1});
        CHECK(std::ranges::equal(last, std::span(expected).last(last.size())));
        Session filled = filled_session(*runtime, 130);
        CHECK(go_on(*runtime, filled) == later);
    }
}

TEST_CASE("a step that is stopped on any of the GPUs leaves the session as it was") {
    const auto tokens = some_tokens(20);
    std::vector<float> expected;
    {
        const WatchedGpu gpu(1);
        const auto one = open_on({0});
        Session session = filled_session(*one, 130);
        expected = go_on(*one, session);
    }
    const WatchedGpu gpu(2);
    cuda_sim::set_card({.count = 3});
    const auto runtime = open_on({0, 1, 2});
    int stopped = 0;
    // When all experts are there it is asked once for every layer, each on a GPU of its own.
    for (const int64_t stop_at : {5, 2, 1}) {
        Session session = filled_session(*runtime, 130);
        StopAt watch(stop_at);
        runtime->step().watch(&watch);
        const Status done = runtime->forward(session, tokens, LogitsWanted::kNone, {});
        runtime->step().watch(nullptr);
        if (done.ok()) continue;
        ++stopped;
        CHECK(done.error().code == ErrorCode::kCancelled);
        CHECK(session.length() == 130);
        CHECK(go_on(*runtime, session) == expected);
    }
    CHECK(stopped == 3);
}

TEST_CASE("pages of a session go from one GPU to several and back with the bits that they have") {
    std::vector<std::byte> rows, edge;
    std::vector<TokenId> held;
    std::vector<float> expected;
    const auto take_in = [&](Runtime& runtime) {
        const KvPages pages(runtime.config(), 0);
        Session session = new_session(runtime);
        REQUIRE(pages.import_rows(session.kv(), 0, rows).ok());
        REQUIRE(pages.import_edge(session.kv(), 0, edge).ok());
        session.take_over(held);
        return session;
    };
    {
        const WatchedGpu gpu(1);
        const auto one = open_on({0});
        const KvPages pages(one->config(), 0);
        rows.resize(pages.rows_bytes());
        edge.resize(pages.edge_bytes());
        Session session = filled_session(*one, 128);
        REQUIRE(pages.export_rows(session.kv(), 0, rows).ok());
        REQUIRE(pages.export_edge(session.kv(), 0, edge).ok());
        held.assign(session.tokens().begin(), session.tokens().end());
        expected = go_on(*one, session);
    }
    const WatchedGpu gpu(1);
    cuda_sim::set_card({.count = 3});
    const auto several = open_on({0, 1, 2});
    Session session = take_in(*several);
    CHECK(go_on(*several, session) == expected);
    // What several write is what one wrote.
    const KvPages pages(several->config(), 0);
    Session other = filled_session(*several, 128);
    std::vector<std::byte> again(rows.size());
    REQUIRE(pages.export_rows(other.kv(), 0, again).ok());
    CHECK(again == rows);
    again.resize(edge.size());
    REQUIRE(pages.export_edge(other.kv(), 0, again).ok());
    CHECK(again == edge);
}

TEST_CASE("drafts of a classic block on several GPUs") {
    const auto tokens = some_tokens(4);
    const auto drafted = [&](const std::vector<int>& gpus) {
        const auto runtime = open_on(gpus);
        const ModelConfig& config = runtime->config();
        auto drafter = *MtpDrafter::create(runtime->step());
        const LayerId block{config.layer_count()};
        Session session = new_session(*runtime);
        std::vector<float> out, logits(static_cast<size_t>(config.vocabulary));
        for (size_t i = 0; i < 3; ++i) {
            const auto own = all_logits(*runtime, session, std::span(tokens).subspan(i, 1), {1});
            out.insert(out.end(), own.begin(), own.end());
            REQUIRE(drafter
                        ->logits(0, runtime->step().streams(), std::span(tokens).subspan(i + 1, 1),
                                 static_cast<int64_t>(i), session.kv().layer(block),
                                 {logits.data(), 1, config.vocabulary})
                        .ok());
            out.insert(out.end(), logits.begin(), logits.end());
        }
        return out;
    };
    const WatchedGpu gpu(2);
    cuda_sim::set_card({.count = 3});
    const auto expected = drafted({0});
    for (const auto& gpus : kLists) CHECK(drafted(gpus) == expected);
}

TEST_CASE("what the layers of all GPUs leave for drafts of a block comes together on the last") {
    const auto tokens = some_tokens(7);
    const auto drafted = [&](const std::vector<int>& gpus) {
        const auto runtime = open_on(gpus, "tiny-0731");
        const ModelConfig& config = runtime->config();
        Step& step = runtime->step();
        auto drafter = *DsparkDrafter::create(step);
        Session session = new_session(*runtime);
        std::vector<float> out;
        for (const auto& [first, count] : {std::pair<size_t, size_t>{0, 6}, {6, 1}}) {
            REQUIRE(runtime
                        ->forward(session, std::span(tokens).subspan(first, count),
                                  LogitsWanted::kNone, {})
                        .ok());
            const MatrixView<const Bf16> hidden = step.main_hidden();
            std::vector<Bf16> seen(static_cast<size_t>(hidden.rows * hidden.cols));
            REQUIRE(
                step.context().ops.read(seen.data(), hidden.data, seen.size() * sizeof(Bf16)).ok());
            for (const Bf16 x : seen) out.push_back(to_float(x));
            drafter->commit(hidden, static_cast<int64_t>(first), session.kv());
        }
        const int64_t block = config.dspark.block_size;
        std::vector<float> logits(static_cast<size_t>(block * config.vocabulary));
        const auto draft =
            drafter->draft(6, TokenId{3}, session.kv(), {logits.data(), block, config.vocabulary});
        REQUIRE(draft.ok());
        out.insert(out.end(), logits.begin(), logits.end());
        out.insert(out.end(), draft->confidence.begin(), draft->confidence.end());
        return out;
    };
    const WatchedGpu gpu(1);
    cuda_sim::set_card({.count = 4});
    const auto expected = drafted({0});
    CHECK(drafted({1, 0}) == expected);
    CHECK(drafted({0, 3, 1, 2}) == expected);
}

}  // namespace millrace::test
