#include "core/engine/sampler.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

using namespace millrace;

namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

std::vector<float> logs(std::initializer_list<double> probabilities) {
    std::vector<float> out;
    for (const double p : probabilities) out.push_back(static_cast<float>(std::log(p)));
    return out;
}

Sampler sampler(const SamplingParams& params, const std::vector<float>& logits,
                const std::vector<TokenId>& prompt = {}) {
    const auto vocabulary = static_cast<int64_t>(logits.size());
    REQUIRE(validate(params, vocabulary).ok());
    return {params, vocabulary, prompt};
}

struct Token {
    double weight;
    int32_t id;
};

// In the order of kernels/choice.h, of tokens in order of ids: sums of blocks, and what they add up to.
std::vector<double> block_sums(const std::vector<Token>& tokens) {
    std::vector<double> sums;
    for (int32_t first = 0; first <= tokens.back().id; first += kChoiceBlock) {
        double lanes[kChoiceLanes] = {};
        for (const Token& token : tokens) {
            if (token.id < first || token.id >= first + kChoiceBlock) continue;
            lanes[token.id % kChoiceLanes] += token.weight;
        }
        sums.push_back(0);
        for (const double lane : lanes) sums.back() += lane;
    }
    return sums;
}
double mass_of(const std::vector<Token>& tokens) {
    double mass = 0;
    for (const double sum : block_sums(tokens)) mass += sum;
    return mass;
}

// The token that passes the point: of all in order of ids the block first, then the token in it.
int32_t passes(double point, const std::vector<Token>& tokens, const std::vector<double>& sums) {
    int32_t block = 0;
    double reached = 0;
    while (static_cast<size_t>(block) + 1 < sums.size() &&
           reached + sums[static_cast<size_t>(block)] <= point) {
        reached += sums[static_cast<size_t>(block++)];
    }
    for (const Token& token : tokens) {
        if (token.id < block * kChoiceBlock) continue;
        reached += token.weight;
        if (reached > point) return token.id;
    }
    return -1;
}

// The rule as request.h states it: weigh all, sort all, cut, draw from the worst kept to the best (from all in order of
// ids where neither top-k nor top-p cuts).
std::vector<int32_t> plain_draws(const SamplingParams& params, const std::vector<float>& logits,
                                 int count) {
    const double highest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
    const auto limit = static_cast<size_t>(params.top_k > 0 ? params.top_k : 1 << 30);
    std::vector<Token> tokens;
    for (size_t i = 0; i < logits.size(); ++i) {
        if (std::isinf(logits[i])) continue;
        const double x =
            (static_cast<double>(logits[i]) - highest) / static_cast<double>(params.temperature);
        tokens.push_back({portable_exp(x), static_cast<int32_t>(i)});
    }
    const bool cut = limit < tokens.size();
    const bool sorted = cut || params.top_p < 1;
    double mass = mass_of(tokens);
    if (sorted) {
        std::sort(tokens.begin(), tokens.end(), [](const Token& a, const Token& b) {
            return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
        });
        if (cut) {
            tokens.resize(limit);
            mass = 0;
            for (const Token& token : tokens) mass += token.weight;
        }
        double reached = 0;
        size_t kept = 0;
        const double enough = static_cast<double>(params.top_p) * mass;
        while (kept < tokens.size() && (kept == 0 || params.top_p >= 1 || reached < enough)) {
            reached += tokens[kept++].weight;
        }
        tokens.resize(kept);
        std::reverse(tokens.begin(), tokens.end());
    }
    std::erase_if(tokens, [&](const Token& token) {
        return token.weight < static_cast<double>(params.min_p);
    });
    const std::vector<double> sums = sorted ? std::vector<double>() : block_sums(tokens);
    mass = 0;
    for (const Token& token : tokens) mass += token.weight;
    if (!sorted) mass = mass_of(tokens);
    Random random(params.seed);
    std::vector<int32_t> out;
    for (int i = 0; i < count; ++i) {
        const double point = random.unit() * mass;
        if (!sorted) {
            out.push_back(passes(point, tokens, sums));
            continue;
        }
        double reached = 0;
        size_t at = 0;
        while ((reached += tokens[at].weight) <= point) ++at;
        out.push_back(tokens[at].id);
    }
    return out;
}

// What 2000 draws can give.
std::set<int32_t> support(const SamplingParams& params, const std::vector<float>& logits) {
    Sampler s = sampler(params, logits);
    std::set<int32_t> out;
    for (int i = 0; i < 2000; ++i) {
        const Result<TokenId> token = s.sample(logits);
        REQUIRE(token.ok());
        out.insert(token->value);
    }
    return out;
}

std::vector<int32_t> draws(const SamplingParams& params, const std::vector<float>& logits,
                           int count, const std::vector<TokenId>& prompt = {}) {
    Sampler s = sampler(params, logits, prompt);
    std::vector<int32_t> out;
    for (int i = 0; i < count; ++i) out.push_back((*s.sample(logits)).value);
    return out;
}

}  // namespace

TEST_CASE("portable_exp is within 2 units in the last place of the library's") {
    Random random(7);
    for (int i = 0; i < 200000; ++i) {
        const double x = -random.unit() * (i % 2 == 0 ? 1 : 700);
        const double want = std::exp(x);
        CHECK(std::abs(portable_exp(x) - want) <= 2 * 0x1p-52 * want);
    }
    CHECK(portable_exp(0) == 1);
    CHECK(portable_exp(-0.0) == 1);
    CHECK(portable_exp(-1e300) == 0);
    CHECK(portable_exp(-std::numeric_limits<double>::infinity()) == 0);
    CHECK(portable_exp(-745.1) > 0);
    CHECK(portable_exp(-745.1) < 1e-300);
}

TEST_CASE("portable_exp of many numbers has the bits of one at a time") {
    Random random(8);
    for (const double range : {1.0, 40.0, 690.0, 800.0}) {
        std::vector<double> x(20003);
        for (size_t i = 0; i < x.size(); ++i) {
            // Every third on or beside a multiple of ln 2 / 2, where the nearest power of two changes.
            const double half = std::floor(random.unit() * range * 2.9) * 0x1.62e42fefa39efp-2;
            x[i] =
                i % 3 == 0 ? -half * (1 + (random.unit() - 0.5) * 0x1p-51) : -random.unit() * range;
        }
        x[5] = -std::numeric_limits<double>::infinity();
        x[6] = 0;
        std::vector<double> many = x;
        portable_exp(many);
        int different = 0;
        for (size_t i = 0; i < x.size(); ++i) different += many[i] != portable_exp(x[i]);
        CHECK(different == 0);
    }
}

TEST_CASE("draws are those of sorting everything") {
    Random random(3);
    for (const int vocabulary : {1, 7, 300, 5003}) {
        // Bell-shaped; the same with few distinct values; one far above the rest; tokens that cannot be chosen.
        for (const int kind : {0, 1, 2, 3}) {
            std::vector<float> logits;
            for (int i = 0; i < vocabulary; ++i) {
                double x = 0;
                for (int j = 0; j < 6; ++j) x += random.unit() - 0.5;
                logits.push_back(static_cast<float>(kind == 1 ? std::round(x * 2) : x * 4));
                if (kind == 3 && i % 3 == 1) logits.back() = kMinusInfinity;
            }
            if (kind == 2) logits.back() = 30;
            for (const float temperature : {1.0F, 0.6F, 4.0F, 0.004F}) {
                for (const int32_t top_k : {0, 1, 20, 200, 4000}) {
                    for (const float top_p : {1.0F, 0.95F, 0.5F, 0.0F, 0.9999999F}) {
                        const SamplingParams params{.temperature = temperature,
                                                    .top_k = top_k,
                                                    .top_p = top_p,
                                                    .min_p = random.below(4) == 0 ? 0.02F : 0,
                                                    .seed = random.next()};
                        CAPTURE(vocabulary);
                        CAPTURE(kind);
                        CAPTURE(temperature);
                        CAPTURE(top_k);
                        CAPTURE(top_p);
                        CHECK(draws(params, logits, 5) == plain_draws(params, logits, 5));
                    }
                }
            }
        }
    }
}

TEST_CASE("temperature 0 takes the highest logit, the lower id on a tie") {
    CHECK(draws({.temperature = 0}, {1, 3, 3, -2}, 3) == std::vector<int32_t>{1, 1, 1});
    CHECK(draws({.temperature = 0}, {-5, kMinusInfinity, -4}, 1) == std::vector<int32_t>{2});
    // The knobs that cut do not move the maximum.
    CHECK(draws({.temperature = 0, .top_k = 1, .top_p = 0, .min_p = 1}, {0, 1, 9}, 1) ==
          std::vector<int32_t>{2});
}

TEST_CASE("top-k keeps exactly k, lower ids first among equals") {
    const std::vector<float> logits = logs({0.1, 0.3, 0.1, 0.4, 0.1});
    CHECK(support({.top_k = 0}, logits) == std::set<int32_t>{0, 1, 2, 3, 4});
    CHECK(support({.top_k = 1}, logits) == std::set<int32_t>{3});
    CHECK(support({.top_k = 2}, logits) == std::set<int32_t>{1, 3});
    CHECK(support({.top_k = 3}, logits) == std::set<int32_t>{0, 1, 3});
    CHECK(support({.top_k = 4}, logits) == std::set<int32_t>{0, 1, 2, 3});
    CHECK(support({.top_k = 1000}, logits) == std::set<int32_t>{0, 1, 2, 3, 4});
}

TEST_CASE("top-p keeps the smallest set that reaches p, at least one") {
    const std::vector<float> logits = logs({0.05, 0.5, 0.15, 0.3});
    CHECK(support({.top_p = 1}, logits) == std::set<int32_t>{0, 1, 2, 3});
    CHECK(support({.top_p = 0.96F}, logits) == std::set<int32_t>{0, 1, 2, 3});
    CHECK(support({.top_p = 0.94F}, logits) == std::set<int32_t>{1, 2, 3});
    CHECK(support({.top_p = 0.79F}, logits) == std::set<int32_t>{1, 3});
    CHECK(support({.top_p = 0.49F}, logits) == std::set<int32_t>{1});
    CHECK(support({.top_p = 0}, logits) == std::set<int32_t>{1});
    // Equal probabilities: the lower ids make up the set.
    CHECK(support({.top_p = 0.49F}, {0, 0, 0, 0}) == std::set<int32_t>{0, 1});
}

TEST_CASE("min-p is relative to the most probable token") {
    const std::vector<float> logits = logs({0.02, 0.5, 0.18, 0.3});
    CHECK(support({.min_p = 0.03F}, logits) == std::set<int32_t>{0, 1, 2, 3});
    CHECK(support({.min_p = 0.05F}, logits) == std::set<int32_t>{1, 2, 3});
    CHECK(support({.min_p = 0.5F}, logits) == std::set<int32_t>{1, 3});
    CHECK(support({.min_p = 1}, logits) == std::set<int32_t>{1});
    CHECK(support({.min_p = 1}, {2, 1, 2}) == std::set<int32_t>{0, 2});
}

TEST_CASE("the knobs apply in order, each on what is left") {
    const std::vector<float> logits = logs({0.4, 0.3, 0.2, 0.1});
    // top-k leaves 4/7 and 3/7: the first alone reaches 0.55 of the rest, but not of the whole.
    CHECK(support({.top_k = 2, .top_p = 0.55F}, logits) == std::set<int32_t>{0});
    CHECK(support({.top_p = 0.55F}, logits) == std::set<int32_t>{0, 1});
    CHECK(support({.top_k = 3, .min_p = 0.7F}, logits) == std::set<int32_t>{0, 1});
    // min-p last: top-p 0.75 needs three tokens of the whole distribution, then min-p drops the third.
    CHECK(support({.top_p = 0.75F}, logits) == std::set<int32_t>{0, 1, 2});
    CHECK(support({.top_p = 0.75F, .min_p = 0.6F}, logits) == std::set<int32_t>{0, 1});
    // Temperature first: at 4 the same top-p needs more tokens.
    CHECK(support({.temperature = 4, .top_p = 0.75F}, logits) == std::set<int32_t>{0, 1, 2});
    CHECK(support({.temperature = 0.25F, .top_p = 0.7F}, logits) == std::set<int32_t>{0});
}

TEST_CASE("repetition penalty pulls towards zero what prompt or answer hold") {
    const auto greedy = [](float penalty) {
        return SamplingParams{.temperature = 0, .repetition_penalty = penalty};
    };
    const std::vector<TokenId> prompt = {{0}, {0}};
    CHECK(draws(greedy(1), {3, 2, 1}, 2, prompt) == std::vector<int32_t>{0, 0});
    // 3/2 < 2: token 1 is first; then it is seen too: 1.5, 1, 1 gives token 0.
    CHECK(draws(greedy(2), {3, 2, 1}, 3, prompt) == std::vector<int32_t>{1, 0, 0});
    // Negative logits are multiplied: −1·4 < −3.
    CHECK(draws(greedy(4), {-1, -3}, 1, prompt) == std::vector<int32_t>{1});
}

TEST_CASE("presence counts once, frequency counts every time, the prompt not at all") {
    const std::vector<TokenId> prompt = {{0}, {0}, {0}};
    CHECK(draws({.temperature = 0, .presence_penalty = 1.5F}, {3, 2, 0}, 5, prompt) ==
          std::vector<int32_t>{0, 1, 0, 0, 0});
    // 3 → 2.5 → 2 → 1.5; at the tie with 2 the lower id wins.
    CHECK(draws({.temperature = 0, .frequency_penalty = 0.5F}, {3, 2, 0}, 6, prompt) ==
          std::vector<int32_t>{0, 0, 0, 1, 0, 1});
}

TEST_CASE("logit bias adds up and bans") {
    SamplingParams params{.temperature = 0};
    params.logit_bias = {{TokenId{0}, 1.0F}, {TokenId{0}, 1.5F}};
    CHECK(draws(params, {0, 2}, 1) == std::vector<int32_t>{0});
    params.temperature = 1;
    params.logit_bias = {{TokenId{1}, kMinusInfinity}};
    CHECK(support(params, {0, 50, 0}) == std::set<int32_t>{0, 2});
    params.logit_bias = {{TokenId{0}, kMinusInfinity}, {TokenId{1}, kMinusInfinity}};
    for (const float temperature : {0.0F, 1.0F}) {
        params.temperature = temperature;
        Sampler s = sampler(params, {1, 2});
        const Result<TokenId> token = s.sample(std::vector<float>{1, 2});
        REQUIRE(!token.ok());
        CHECK(token.error().code == ErrorCode::kInvalid);
    }
}

TEST_CASE("NaN and infinite logits are an error, whatever the knobs") {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        for (const float temperature : {0.0F, 0.7F}) {
            const std::vector<float> logits = {0, bad, 1};
            Sampler s = sampler({.temperature = temperature, .top_k = 2}, logits);
            const Result<TokenId> token = s.sample(logits);
            REQUIRE(!token.ok());
            CHECK(token.error().code == ErrorCode::kCorrupt);
            CHECK(token.error().message.find("token 1") != std::string::npos);
        }
    }
    // Huge but finite logits and the coldest temperature: no overflow, the highest wins.
    const float big = std::numeric_limits<float>::max();
    CHECK(support({.temperature = 1e-40F, .repetition_penalty = 100}, {big, -big, 0}) ==
          std::set<int32_t>{0});
}

TEST_CASE("draws follow the distribution (chi-square)") {
    const std::vector<double> p = {0.02, 0.08, 0.4, 0.2, 0.1, 0.2};
    std::vector<float> logits;
    for (const double x : p) logits.push_back(static_cast<float>(std::log(x) + 3));
    for (const bool sorted_path : {false, true}) {
        SamplingParams params{.seed = 12345};
        if (sorted_path) params.top_p = 0.9999F;
        constexpr int kDraws = 60000;
        std::vector<int> seen(p.size());
        for (const int32_t token : draws(params, logits, kDraws))
            ++seen[static_cast<size_t>(token)];
        double chi_square = 0;
        for (size_t i = 0; i < p.size(); ++i) {
            const double want = kDraws * p[i];
            chi_square += (seen[i] - want) * (seen[i] - want) / want;
        }
        CHECK(chi_square < 25);  // 5 degrees of freedom: exceeded once in 7000 seeds
    }
    // Temperature 2 flattens to the square roots: 4 : 1 becomes 2 : 1.
    int first = 0;
    for (const int32_t token : draws({.temperature = 2}, logs({0.8, 0.2}), 60000))
        first += token == 0;
    CHECK(std::abs(first - 40000) < 600);  // more than 5 standard deviations
}

TEST_CASE("same seed, same tokens, also against a recorded sequence") {
    std::vector<float> logits;
    Random random(99);
    for (int i = 0; i < 1000; ++i) logits.push_back(static_cast<float>(random.unit() * 8));
    for (const SamplingParams& knobs :
         {SamplingParams{}, SamplingParams{.top_k = 40}, SamplingParams{.top_p = 0.9F},
          SamplingParams{.min_p = 0.05F, .frequency_penalty = 0.3F}}) {
        SamplingParams one = knobs, other = knobs;
        one.seed = 1;
        other.seed = 2;
        CHECK(draws(one, logits, 50) == draws(one, logits, 50));
        CHECK(draws(one, logits, 50) != draws(other, logits, 50));
    }
    // Computed by another program (Python's doubles and exponential) from the same rule.
    CHECK(draws({.seed = 42}, logits, 8) ==
          std::vector<int32_t>{749, 162, 276, 325, 41, 873, 208, 797});
    CHECK(draws({.temperature = 0.8F, .top_k = 50, .top_p = 0.95F, .seed = 42}, logits, 8) ==
          std::vector<int32_t>{41, 799, 335, 525, 867, 865, 365, 898});
}

TEST_CASE("sampling parameters out of range are named") {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    const auto refused = [](SamplingParams params, std::string_view field) {
        const Status status = validate(params, 10);
        REQUIRE(!status.ok());
        CHECK(status.error().code == ErrorCode::kInvalid);
        CHECK(status.error().message.find(field) != std::string::npos);
    };
    CHECK(validate({}, 10).ok());
    refused({.temperature = -0.1F}, "temperature");
    refused({.temperature = kNan}, "temperature");
    refused({.temperature = std::numeric_limits<float>::infinity()}, "temperature");
    refused({.top_k = -1}, "top_k");
    refused({.top_p = 1.01F}, "top_p");
    refused({.top_p = kNan}, "top_p");
    refused({.min_p = -1}, "min_p");
    refused({.repetition_penalty = 0}, "repetition_penalty");
    refused({.presence_penalty = 1e9F}, "presence_penalty");
    refused({.frequency_penalty = kNan}, "frequency_penalty");
    refused({.logit_bias = {{TokenId{10}, 1}}}, "token 10");
    refused({.logit_bias = {{TokenId{-1}, 1}}}, "token -1");
    refused({.logit_bias = {{TokenId{3}, kNan}}}, "token 3");
    refused({.logit_bias = {{TokenId{3}, std::numeric_limits<float>::infinity()}}}, "token 3");
}
