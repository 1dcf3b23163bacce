// The choice of a token where its logits lie (kernels/cuda/choice.cu) against the host's (core/engine/sampler.h).

#include "core/engine/sampler.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "kernels/cuda/choice.h"
#include "kernels/cuda/cuda_ops.h"
#include "tests/cuda/watched_gpu.h"

namespace millrace {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct Choices {
    explicit Choices(int64_t vocabulary)
        : gpu(*cuda::CudaOps::create({.stream = {}, .vocabulary_max = vocabulary})),
          memory(*gpu.allocate(static_cast<uint64_t>(vocabulary) * sizeof(float), HugePages::kNo)),
          room(static_cast<size_t>(vocabulary)) {}

    // What the GPU says of the logits, and whether that was its own decision.
    Result<TokenId> sample(Sampler& sampler, const std::vector<float>& logits) {
        const std::span at(memory.as<float>(), logits.size());
        REQUIRE(gpu.write(at.data(), logits.data(), at.size_bytes()).ok());
        std::ranges::fill(room, kUntouched);
        Result<TokenId> token = sampler.sample(gpu, at, room);
        decided = room[0] == kUntouched;
        return token;
    }
    // The same tokens as the host's sampler, one after another; how many the GPU decided.
    int check(const SamplingParams& params, const std::vector<std::vector<float>>& rows,
              std::span<const TokenId> prompt = {}, int64_t generated = 0) {
        const auto vocabulary = static_cast<int64_t>(room.size());
        REQUIRE(validate(params, vocabulary).ok());
        Sampler on_host(params, vocabulary, prompt, generated);
        Sampler on_gpu(params, vocabulary, prompt, generated);
        int count = 0;
        for (const std::vector<float>& logits : rows) {
            const Result<TokenId> want = on_host.sample(logits);
            const Result<TokenId> have = sample(on_gpu, logits);
            REQUIRE(want.ok());
            REQUIRE(have.ok());
            CHECK(have->value == want->value);
            count += decided ? 1 : 0;
        }
        return count;
    }

    static constexpr float kUntouched = 12345.5F;
    test::WatchedGpu watched{3};
    cuda::CudaOps gpu;
    OpsMemory memory;
    std::vector<float> room;
    bool decided = false;
};

// Bell-shaped; the same with few distinct values; one far above the rest; tokens that cannot be chosen.
enum class Kind { kBell, kTies, kOneAhead, kHoles };
constexpr Kind kKinds[] = {Kind::kBell, Kind::kTies, Kind::kOneAhead, Kind::kHoles};
std::vector<float> row(Random& random, size_t vocabulary, Kind kind) {
    std::vector<float> out;
    for (size_t i = 0; i < vocabulary; ++i) {
        double x = 0;
        for (int j = 0; j < 6; ++j) x += random.unit() - 0.5;
        out.push_back(static_cast<float>(kind == Kind::kTies ? std::round(x * 2) : x * 4));
        if (kind == Kind::kHoles && i % 3 == 1) out.back() = kMinusInfinity;
    }
    if (kind == Kind::kOneAhead) out.back() = 30;
    return out;
}
std::vector<std::vector<float>> rows(Random& random, size_t vocabulary, Kind kind, int count) {
    std::vector<std::vector<float>> out;
    for (int i = 0; i < count; ++i) out.push_back(row(random, vocabulary, kind));
    return out;
}

}  // namespace

TEST_CASE("tokens chosen on a GPU are the host's, whatever the parameters") {
    Random random(11);
    for (const size_t vocabulary : {1U, 7U, 256U, 700U, 1537U}) {
        Choices choices(static_cast<int64_t>(vocabulary));
        int decided = 0, all = 0;
        for (const Kind kind : kKinds) {
            for (const float temperature : {1.0F, 0.6F, 0.004F}) {
                for (const int32_t top_k : {0, 1, 20, 600}) {
                    for (const float top_p : {1.0F, 0.9F, 0.0F}) {
                        CAPTURE(vocabulary);
                        CAPTURE(static_cast<int>(kind));
                        CAPTURE(temperature);
                        CAPTURE(top_k);
                        CAPTURE(top_p);
                        const SamplingParams params{.temperature = temperature,
                                                    .top_k = top_k,
                                                    .top_p = top_p,
                                                    .min_p = random.below(3) == 0 ? 0.02F : 0,
                                                    .seed = random.next()};
                        decided += choices.check(params, rows(random, vocabulary, kind, 2));
                        all += 2;
                    }
                }
            }
        }
        CHECK(decided == all);
    }
}

TEST_CASE("greedy on a GPU takes the highest score, the lower id on a tie") {
    Random random(12);
    Choices choices(600);
    for (const Kind kind : kKinds) {
        CHECK(choices.check({.temperature = 0}, rows(random, 600, kind, 3)) == 3);
    }
    // Ties across blocks, and all tokens the same.
    std::vector<float> flat(600, -2);
    CHECK(choices.check({.temperature = 0}, {flat}) == 1);
    flat[599] = flat[300] = 5;
    CHECK(choices.check({.temperature = 0}, {flat}) == 1);
}

TEST_CASE("bias and penalties are applied on a GPU as on the host") {
    Random random(13);
    Choices choices(600);
    std::vector<TokenId> prompt;
    for (int i = 0; i < 40; ++i) prompt.push_back({static_cast<int32_t>(random.below(600))});
    for (const float temperature : {0.0F, 0.8F}) {
        for (const int which : {0, 1, 2, 3}) {
            SamplingParams params{.temperature = temperature, .seed = random.next()};
            if (which == 0 || which == 3) params.repetition_penalty = 1.3F;
            if (which == 1 || which == 3) params.presence_penalty = 2.5F;
            if (which == 2 || which == 3) params.frequency_penalty = 0.7F;
            if (which >= 1) {
                params.logit_bias = {{TokenId{0}, kMinusInfinity},
                                     {TokenId{599}, 9.0F},
                                     {TokenId{256}, 3.5F},
                                     {TokenId{599}, -0.1F},
                                     {prompt[3], 4.0F}};
            }
            CAPTURE(temperature);
            CAPTURE(which);
            // The same logits again and again: what was chosen comes back.
            const std::vector<std::vector<float>> same(8, row(random, 600, Kind::kBell));
            CHECK(choices.check(params, same, prompt, 6) == 8);
        }
    }
    // One token is left.
    SamplingParams params;
    for (int i = 0; i < 600; ++i) {
        if (i != 411) params.logit_bias.emplace_back(TokenId{i}, kMinusInfinity);
    }
    for (const int32_t top_k : {0, 2}) {
        params.top_k = top_k;
        CHECK(choices.check(params, rows(random, 600, Kind::kBell, 1)) == 1);
    }
}

TEST_CASE("weights that are subnormal or 0 are sorted and drawn as on the host") {
    Random random(14);
    Choices choices(300);
    // Exponents from 0 to −760: beyond −745 nothing is left, from −708 on numbers are subnormal.
    std::vector<float> logits(300, -760);
    for (size_t i = 0; i < 300; ++i)
        logits[i] = static_cast<float>(-760 + 2.6 * static_cast<double>(i % 290));
    logits[7] = 0;
    for (const int32_t top_k : {0, 20, 270, 299}) {
        for (const float top_p : {1.0F, 0.99F}) {
            CHECK(choices.check({.top_k = top_k, .top_p = top_p, .seed = random.next()},
                                {logits, logits}) == 2);
        }
    }
    const float big = std::numeric_limits<float>::max();
    logits.assign(300, -big);
    logits[258] = big;
    CHECK(choices.check({.temperature = 1e-40F, .top_k = 3, .repetition_penalty = 100}, {logits}) ==
          1);
}

// The best token weighs 1 and all others together 1, as nearly as doubles can say: whether the best alone reaches half of
// the mass hangs on the last bit of the sum. Logit and bias together have twice the bits of a float.
TEST_CASE("a set that just reaches top-p is the host's: sums have one order") {
    Random random(16);
    constexpr size_t kVocabulary = 700;
    Choices choices(kVocabulary);
    int of_one = 0;
    for (int round = 0; round < 100; ++round) {
        std::vector<double> weights(kVocabulary);
        double rest = 0;
        for (double& weight : weights) rest += weight = 0.1 + random.unit();
        const size_t best = random.below(kVocabulary / 2);
        const size_t second = kVocabulary / 2 + random.below(kVocabulary / 2);
        rest -= weights[best] + weights[second];
        SamplingParams params{.top_p = 0.5F, .seed = random.next()};
        std::vector<float> logits(kVocabulary);
        for (size_t i = 0; i < kVocabulary; ++i) {
            const double weight = i == best ? 1 : i == second ? 0.6 : 0.4 * weights[i] / rest;
            const double score = std::log(weight);
            logits[i] = static_cast<float>(score);
            const auto bias = static_cast<float>(score - static_cast<double>(logits[i]));
            params.logit_bias.emplace_back(TokenId{static_cast<int32_t>(i)}, bias);
        }
        CHECK(choices.check(params, {logits, logits, logits, logits}) == 4);
        Sampler sampler(params, kVocabulary, {});
        bool one = true;
        for (int i = 0; i < 20; ++i)
            one = one && sampler.sample(logits)->value == static_cast<int32_t>(best);
        of_one += one ? 1 : 0;
    }
    CHECK(of_one > 20);
    CHECK(of_one < 80);
}

TEST_CASE("what a GPU does not decide the host does, from the same place of the random numbers") {
    Random random(15);
    Choices choices(4000);
    const std::vector<float> flat(4000, 1.5F);
    // More tokens share the first bin than are sorted.
    CHECK(choices.check({.top_p = 0.9F, .seed = 5}, {flat, flat}) == 0);
    CHECK(choices.check({.top_k = 40, .seed = 5}, {flat}) == 0);
    CHECK(choices.check({.seed = 5}, {flat, flat}) == 2);
    CHECK(choices.check({.top_k = cuda::kTopKMax + 1, .seed = 5},
                        {row(random, 4000, Kind::kBell)}) == 0);
    // Those that are sorted have less than top-p asks for.
    CHECK(choices.check({.temperature = 9, .top_p = 0.95F, .seed = 7},
                        rows(random, 4000, Kind::kBell, 6)) == 0);
    // Decided and not in turn.
    CHECK(choices.check({.top_p = 0.9F, .seed = 6}, {row(random, 4000, Kind::kOneAhead), flat,
                                                     row(random, 4000, Kind::kOneAhead), flat}) ==
          2);
}

TEST_CASE("logits that are none and banned vocabularies are the host's errors") {
    Choices choices(300);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        for (const float temperature : {0.0F, 0.7F}) {
            std::vector<float> logits(300, 1);
            logits[299] = bad;
            Sampler sampler({.temperature = temperature, .top_k = 2}, 300, {});
            const Result<TokenId> token = choices.sample(sampler, logits);
            REQUIRE(!token.ok());
            CHECK(token.error().code == ErrorCode::kCorrupt);
            CHECK(token.error().message.find("token 299") != std::string::npos);
        }
    }
    Sampler sampler({}, 300, {});
    const Result<TokenId> token = choices.sample(sampler, std::vector<float>(300, kMinusInfinity));
    REQUIRE(!token.ok());
    CHECK(token.error().code == ErrorCode::kInvalid);
}

TEST_CASE("the scratch of a choice is what its parts need") {
    CHECK(cuda::choice_scratch(0).bytes == 0);
    const cuda::ChoiceScratch scratch = cuda::choice_scratch(129280);
    CHECK(scratch.block_best >= 129280 * 8);
    CHECK(scratch.bytes < 3 << 19);
    CHECK(cuda::choice_config(129280).blocks.x == 505);
    CHECK(cuda::CudaOps::bytes_of({.stream = {}, .vocabulary_max = 129280}) ==
          static_cast<uint64_t>(scratch.bytes));
}

}  // namespace millrace
