// The whole model on the cpu ops, for every instruction set of this machine: company changes nothing. Prefill = decode in
// any chunks, one thread = several, streamed = resident, and a session taken back leaves no trace, all bit for bit.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/base/random.h"
#include "core/base/strings.h"
#include "tests/kernels/cpu_fixture.h"
#include "tests/support/compare.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/synthetic.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

// Past the window (128), past one entry of a heavy layer, and no multiple of anything.
constexpr int64_t kTokens = 161;

RuntimeOptions cpu_options(Isa isa) {
    RuntimeOptions options = test::tiny_options();
    options.ops = "cpu";
    options.cpu.isa = isa;
    options.context_max = kTokens + 31;
    options.prefill_chunk = 192;
    return options;
}

std::vector<TokenId> some_tokens(int64_t vocabulary) {
    Random random{77};
    std::vector<TokenId> tokens;
    for (int64_t i = 0; i < kTokens; ++i) {
        tokens.push_back({static_cast<int32_t>(random.below(static_cast<uint64_t>(vocabulary)))});
    }
    return tokens;
}

// A checkpoint, an instruction set, and the logits of all tokens in one chunk on two threads, all experts in memory.
class Company {
public:
    Company(Path checkpoint, Isa isa) : checkpoint_(std::move(checkpoint)), isa_(isa) {
        const auto runtime = test::open_runtime(checkpoint_, cpu_options(isa));
        tokens_ = some_tokens(runtime->config().vocabulary);
        vocabulary_ = static_cast<size_t>(runtime->config().vocabulary);
        slots_min_ = runtime->config().experts_per_token + 1;
        slot_bytes_ = runtime->expert_stats().slot_bytes;
        expected_ = logits(*runtime, {kTokens});
        const bool finite =
            std::ranges::all_of(expected_, [](float x) { return std::isfinite(x); });
        CHECK(finite);
    }

    // Token by token on one thread; in chunks on pinned threads; in chunks on more threads than CPUs, perhaps, with so few
    // slots that every layer evicts.
    void check_schedules() {
        RuntimeOptions options = cpu_options(isa_);
        options.threads = 1;
        check(logits(*test::open_runtime(checkpoint_, options), {1}), "token by token");

        options = cpu_options(isa_);
        options.pinning = Pinning::kYes;
        check(logits(*test::open_runtime(checkpoint_, options), {64, 7, 3, 1, 29}), "in chunks");

        options = cpu_options(isa_);
        options.threads = 3;
        options.ram_budget_bytes = static_cast<uint64_t>(slots_min_) * slot_bytes_;
        const auto runtime = test::open_runtime(checkpoint_, options);
        check(logits(*runtime, {130, 5, 26}), cat("with ", slots_min_, " slots"));
        CHECK(runtime->expert_stats().evictions > 0);
    }
    // Drafts of several lengths at many places, made in one piece or one by one, and forgotten.
    void check_rollback() {
        RuntimeOptions options = cpu_options(isa_);
        options.rollback_tokens = 8;
        const auto runtime = test::open_runtime(checkpoint_, options);
        Session session = test::new_session(*runtime);
        Random random{5};
        std::vector<float> got;
        while (session.length() < kTokens) {
            const int64_t length = session.length();
            const auto drafted = static_cast<size_t>(1 + random.below(8));
            std::vector<TokenId> draft;
            for (size_t i = 0; i < drafted; ++i) {
                draft.push_back({static_cast<int32_t>(random.below(vocabulary_))});
            }
            (void)test::all_logits(*runtime, session, draft, {random.below(2) == 0 ? 1 : 8});
            session.roll_back(length);
            const auto n =
                std::min<int64_t>(static_cast<int64_t>(1 + random.below(12)), kTokens - length);
            const auto part =
                std::span(tokens_).subspan(static_cast<size_t>(length), static_cast<size_t>(n));
            const auto more = test::all_logits(*runtime, session, part, {n});
            got.insert(got.end(), more.begin(), more.end());
        }
        check(got, "drafts forgotten");
    }
    // Another function by rounding, the same one by meaning.
    void check_close_to_reference() {
        const auto runtime = test::open_runtime(checkpoint_);
        const auto reference = logits(*runtime, {kTokens});
        int64_t same_best = 0;
        for (size_t r = 0; r < static_cast<size_t>(kTokens); ++r) {
            const auto best = [&](const std::vector<float>& all) {
                const auto row = std::span(all).subspan(r * vocabulary_, vocabulary_);
                return std::ranges::max_element(row) - row.begin();
            };
            same_best += best(reference) == best(expected_) ? 1 : 0;
        }
        MESSAGE(isa_name(isa_), ": the same best token at ", same_best, " of ", kTokens,
                " positions");
        CHECK(same_best * 10 >= kTokens * 9);
    }

private:
    std::vector<float> logits(Runtime& runtime, const std::vector<int64_t>& pieces) const {
        Session session = test::new_session(runtime);
        return test::all_logits(runtime, session, tokens_, pieces);
    }
    void check(const std::vector<float>& computed, const std::string& how) const {
        const auto c = test::compare<float>(computed, expected_);
        CHECK_MESSAGE(c.unequal + c.one_ulp == 0, how, ": ", c.text());
    }

    Path checkpoint_;
    Isa isa_;
    std::vector<TokenId> tokens_;
    std::vector<float> expected_;
    size_t vocabulary_ = 0;
    int32_t slots_min_ = 0;
    uint64_t slot_bytes_ = 0;
};

// The portable loops are slow: they see the smallest models only.
std::vector<Isa> vector_isas() {
    std::vector<Isa> isas = available_isas();
    std::erase(isas, Isa::kScalar);
    return isas;
}

void check_all(const Path& checkpoint, const std::vector<Isa>& isas) {
    for (const Isa isa : isas) {
        const std::string name(isa_name(isa));
        CAPTURE(name);
        Company company(checkpoint, isa);
        company.check_schedules();
        company.check_rollback();
    }
}

}  // namespace

TEST_CASE("company changes nothing: every kind of layer and a draft block, all instruction sets") {
    const Json config = test::small_config();
    const test::TempDirectory directory;
    test::write_checkpoint(directory.path(), config, test::synthetic_tensors(config), 1);
    check_all(directory.path(), available_isas());
}
TEST_CASE("company changes nothing: tiny-flash") {
    check_all(test::tiny_checkpoint("tiny-flash"), vector_isas());
}
TEST_CASE("company changes nothing: tiny-pro, with 3 groups, 6 heads, 12 experts, 3 a token") {
    check_all(test::tiny_checkpoint("tiny-pro"), vector_isas());
}
TEST_CASE("company changes nothing: tiny-base, FP8 experts with F32 scales") {
    check_all(test::tiny_checkpoint("tiny-base"), vector_isas());
}
TEST_CASE("company changes nothing: tiny-clamp, whose experts reach the clamp") {
    check_all(test::tiny_checkpoint("tiny-clamp"), vector_isas());
}

TEST_CASE("company changes nothing: the demo model, and it says what the reference says") {
    for (const Isa isa : vector_isas()) {
        const std::string name(isa_name(isa));
        CAPTURE(name);
        Company company(test::demo_checkpoint(), isa);
        company.check_schedules();
        company.check_close_to_reference();
    }
}

TEST_CASE("an instruction set that this processor lacks, and ops that nobody knows, are refused") {
    RuntimeOptions options = test::tiny_options();
    options.ops = "abacus";
    auto runtime = Runtime::open(test::demo_checkpoint(), options);
    REQUIRE(!runtime.ok());
    CHECK(runtime.error().code == ErrorCode::kUnsupported);
    CHECK(runtime.error().message.find("cpu, reference") != std::string::npos);
    if (isa_available(Isa::kAvx512Bf16)) return;
    options = cpu_options(Isa::kAvx512Bf16);
    runtime = Runtime::open(test::demo_checkpoint(), options);
    REQUIRE(!runtime.ok());
    CHECK(runtime.error().message.find("avx512bf16") != std::string::npos);
}

}  // namespace millrace
