// Memory is planned at start: once every shape has been seen, a step allocates nothing. It replaces operator new, which a
// sanitizer does as well, so builds with one leave this file out.

#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "core/base/clock.h"
#include "core/engine/sequence_model.h"
#include "core/engine/step_recorder.h"
#include "tests/kernels/cpu_fixture.h"
#include "tests/support/tiny_model.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0};

void* counted(size_t bytes) {
    if (counting.load(std::memory_order_relaxed))
        allocations.fetch_add(1, std::memory_order_relaxed);
    void* at = std::malloc(bytes == 0 ? 1 : bytes);
    if (at == nullptr) throw std::bad_alloc();
    return at;
}

}  // namespace

void* operator new(size_t bytes) { return counted(bytes); }
void* operator new[](size_t bytes) { return counted(bytes); }
void operator delete(void* at) noexcept { std::free(at); }
void operator delete[](void* at) noexcept { std::free(at); }
void operator delete(void* at, size_t) noexcept { std::free(at); }
void operator delete[](void* at, size_t) noexcept { std::free(at); }

namespace millrace {

namespace {

// A prompt of half the tokens in one chunk, then the others one by one, twice: the second time counts.
void check_steps(RuntimeOptions options, size_t count) {
    options.ram_budget_bytes = 512 * 1024;
    const auto runtime = test::open_runtime(test::demo_checkpoint(), options);
    CHECK(runtime->plan().expert_slots < runtime->plan().experts_total);
    Session session = test::new_session(*runtime);
    std::vector<TokenId> tokens;
    for (int32_t i = 0; i < static_cast<int32_t>(count); ++i) tokens.push_back({(i * 37) % 4000});
    std::vector<float> logits(static_cast<size_t>(runtime->config().vocabulary));
    const MatrixView<float> row(logits.data(), 1, runtime->config().vocabulary);
    const auto decode = [&](size_t first, size_t rest) {
        for (size_t i = first; i < first + rest; ++i) {
            REQUIRE(
                runtime->forward(session, std::span(tokens).subspan(i, 1), LogitsWanted::kLast, row)
                    .ok());
        }
    };
    const auto run = [&] {
        REQUIRE(
            runtime->forward(session, std::span(tokens).first(count / 2), LogitsWanted::kLast, row)
                .ok());
        decode(count / 2, count - count / 2);
    };
    run();
    session.reset();
    allocations = 0;
    counting = true;
    run();
    counting = false;
    CHECK(allocations.load() == 0);
}

}  // namespace

TEST_CASE("a step allocates nothing, on any thread, also when experts stream") {
    check_steps(test::tiny_options(), 400);
}

TEST_CASE("neither does a step of the cpu ops, with any instruction set and either arithmetic") {
    RuntimeOptions options = test::tiny_options();
    options.ops = "cpu";
    for (const Isa isa : available_isas()) {
        const std::string name(isa_name(isa));
        CAPTURE(name);
        options.cpu.isa = isa;
        check_steps(options, 150);
    }
    options.cpu.activations = Activations::kInt8;
    check_steps(options, 150);
}

TEST_CASE("neither does a step that is recorded, watched and taken back") {
    struct Watch final : StepWatch {
        bool cancelled() const override { return asked++ == stop_at; }
        void reached(const StepPlace&) override { ++places; }
        int stop_at = -1;
        mutable int asked = 0;
        int places = 0;
    };
    RuntimeOptions options = test::tiny_options();
    options.ops = "cpu";
    options.ram_budget_bytes = 512 * 1024;
    auto model = make_sequence_model(test::open_runtime(test::demo_checkpoint(), options), {});
    REQUIRE(model.ok());
    LiveFeed feed(**model);
    SystemClock clock;
    StepRecorder recorder(feed, **model, clock);
    Watch watch;
    (*model)->observe(&recorder);
    (*model)->watch(&watch);
    const std::vector<TokenId> tokens(200, TokenId{7});
    std::vector<float> logits(static_cast<size_t>((*model)->config().vocabulary));
    const auto step = [&](int64_t position, size_t count, bool finishes) {
        recorder.begin_step({position, static_cast<int64_t>(count), count == 1});
        const bool ok = (*model)->append(std::span(tokens).first(count), logits).ok();
        recorder.end_step(ok);
        REQUIRE(ok == finishes);
        recorder.prompt_done(position);
        recorder.generated(position);
    };
    const auto run = [&] {
        recorder.begin_request(400);
        step(0, 100, true);
        for (int64_t i = 100; i < 150; ++i) step(i, 1, true);
        step(150, 200, true);
        recorder.end_request();
    };
    run();
    (*model)->reset();
    allocations = 0;
    counting = true;
    run();
    counting = false;
    CHECK(allocations.load() == 0);
    CHECK(watch.places > 100);
    // Putting a chunk back takes no memory either.
    watch.stop_at = watch.asked + 10;
    step(350, 200, false);
    watch.stop_at = watch.asked + 10;
    allocations = 0;
    counting = true;
    const Status stopped = (*model)->append(tokens, {});
    counting = false;
    CHECK(stopped.error().code == ErrorCode::kCancelled);
    CHECK(allocations.load() == 0);
}

TEST_CASE("the counter counts") {
    counting = true;
    const auto value = std::make_unique<int>(3);
    counting = false;
    CHECK(allocations.load() > 0);
    CHECK(*value == 3);
}

}  // namespace millrace
