#include "offload/replay.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "offload/expert_policy.h"

namespace millrace {
namespace {

using Expert = int32_t;  // layer · experts + id

// The steps of a trace as distinct experts, ascending.
class Demands {
public:
    explicit Demands(const RouterTrace& trace) : experts_(trace.shape().experts) {
        std::vector<uint16_t> ids;
        for (const TraceStep& step : trace.steps()) {
            const auto all = trace.ids(step);
            ids.assign(all.begin(), all.end());
            std::ranges::sort(ids);
            ids.erase(std::ranges::unique(ids).begin(), ids.end());
            starts_.push_back(wanted_.size());
            for (const uint16_t id : ids) wanted_.push_back(step.layer.value * experts_ + id);
        }
        starts_.push_back(wanted_.size());
    }

    [[nodiscard]] size_t steps() const { return starts_.size() - 1; }
    [[nodiscard]] std::span<const Expert> of(size_t step) const {
        return std::span(wanted_).subspan(starts_[step], starts_[step + 1] - starts_[step]);
    }
    [[nodiscard]] size_t start(size_t step) const { return starts_[step]; }
    [[nodiscard]] size_t size() const { return wanted_.size(); }
    [[nodiscard]] Expert at(size_t i) const { return wanted_[i]; }

private:
    int32_t experts_;
    std::vector<Expert> wanted_;
    std::vector<size_t> starts_;
};

// A policy that gives every expert a worth that changes only when it is used; the lowest goes.
template <class Worth>
class Sorted {
public:
    Sorted(size_t experts, Worth worth) : worths_(experts), worth_(std::move(worth)) {}

    void begin(size_t step) { worth_.begin(step); }
    void use(Expert expert, size_t demand, bool resident) {
        double& worth = worths_[static_cast<size_t>(expert)];
        if (resident) order_.erase({worth, expert});
        worth = worth_.after_use(expert, worth, demand);
        if (resident) order_.emplace(worth, expert);
    }
    void insert(Expert expert) { order_.emplace(worths_[static_cast<size_t>(expert)], expert); }
    template <class Pinned>
    [[nodiscard]] Expert evict(const Pinned& pinned) {
        const auto it =
            std::ranges::find_if(order_, [&](const auto& entry) { return !pinned(entry.second); });
        ENSURE(it != order_.end());
        const Expert expert = it->second;
        order_.erase(it);
        return expert;
    }

private:
    std::vector<double> worths_;
    Worth worth_;
    std::set<std::pair<double, Expert>> order_;
};

struct Recency {
    void begin(size_t) {}
    [[nodiscard]] double after_use(Expert, double, size_t demand) const {
        return static_cast<double>(demand);
    }
};

struct Frequency {
    void begin(size_t) {}
    // Of equally frequent ones the older goes.
    [[nodiscard]] double after_use(Expert, double worth, size_t demand) const {
        return std::floor(worth) + 1 + static_cast<double>(demand) * 0x1p-40;
    }
};

// Logarithms of counts, with every use worth more than the one before instead of all counts shrinking.
class DecayedFrequency {
public:
    DecayedFrequency(const RouterTrace& trace, double half_life)
        : trace_(trace), half_(half_life) {}
    void begin(size_t step) {
        const TraceStep& s = trace_.steps()[step];
        if (s.layer.value == 0) tokens_ += s.rows;
    }
    [[nodiscard]] double after_use(Expert, double worth, size_t) const {
        const double use = 1 + static_cast<double>(tokens_) / half_;
        return worth == 0 ? use
                          : std::max(worth, use) + std::log2(1 + std::exp2(-std::abs(worth - use)));
    }

private:
    const RouterTrace& trace_;
    double half_;
    int64_t tokens_ = 0;
};

// The next use of every demand, found from the end.
class Future {
public:
    Future(const Demands& demands, size_t experts) : next_(demands.size()) {
        std::vector<size_t> later(experts, std::numeric_limits<uint32_t>::max());
        for (size_t i = demands.size(); i > 0; --i) {
            const auto expert = static_cast<size_t>(demands.at(i - 1));
            next_[i - 1] = later[expert];
            later[expert] = i - 1;
        }
    }
    void begin(size_t) {}
    [[nodiscard]] double after_use(Expert, double, size_t demand) const {
        return -static_cast<double>(next_[demand]);
    }

private:
    std::vector<size_t> next_;
};

// What the engine does with ours.
class Ours {
public:
    explicit Ours(const RouterTrace& trace)
        : trace_(trace),
          experts_(trace.shape().experts),
          policy_(trace.shape().layers, trace.shape().experts),
          fixed_ranks_(static_cast<size_t>(experts_)) {}

    void begin(size_t step) {
        const TraceStep& s = trace_.steps()[step];
        const int32_t k = trace_.shape().experts_per_token;
        const MatrixView<const uint8_t> ranks = trace_.ranks(s);
        if (ranks.rows > 0) return policy_.observe(s.layer, ranks, k);
        // A layer that looks its experts up.
        const auto ids = trace_.ids(s);
        const auto row = static_cast<size_t>(k);
        for (size_t first = 0; first < ids.size(); first += row) {
            std::ranges::fill(fixed_ranks_, uint8_t{255});
            for (size_t i = 0; i < row; ++i) {
                fixed_ranks_[ids[first + i]] = static_cast<uint8_t>(std::min<size_t>(i, 254));
            }
            policy_.observe(s.layer, {fixed_ranks_.data(), 1, experts_}, k);
        }
    }
    void use(Expert, size_t, bool) {}
    void insert(Expert expert) { policy_.add(key_of(expert)); }
    template <class Pinned>
    [[nodiscard]] Expert evict(const Pinned& pinned) {
        std::vector<ExpertKey> held;
        for (;;) {
            const auto victim = policy_.victim();
            ENSURE(victim);
            policy_.remove(*victim);
            const Expert expert = victim->layer.value * experts_ + victim->expert.value;
            if (pinned(expert)) {
                held.push_back(*victim);
                continue;
            }
            for (const ExpertKey key : held) policy_.add(key);
            return expert;
        }
    }

private:
    [[nodiscard]] ExpertKey key_of(Expert expert) const {
        return {{expert / experts_}, {expert % experts_}};
    }
    const RouterTrace& trace_;
    int32_t experts_;
    ExpertPolicy policy_;
    std::vector<uint8_t> fixed_ranks_;
};

template <class Policy>
ReplayCounts run(const Demands& demands, size_t experts, int32_t slots, Policy policy) {
    ReplayCounts counts;
    std::vector<bool> resident(experts), pinned(experts);
    int32_t filled = 0;
    const bool all_fit = static_cast<size_t>(slots) >= experts;
    const auto portion = static_cast<size_t>(all_fit ? slots : slots - 1);
    for (size_t step = 0; step < demands.steps(); ++step) {
        policy.begin(step);
        const auto wanted = demands.of(step);
        for (size_t first = 0; first < wanted.size(); first += portion) {
            const auto now = wanted.subspan(first, std::min(portion, wanted.size() - first));
            for (size_t i = 0; i < now.size(); ++i) {
                const auto e = static_cast<size_t>(now[i]);
                pinned[e] = true;
                policy.use(now[i], demands.start(step) + first + i, resident[e]);
            }
            for (const Expert expert : now) {
                const auto e = static_cast<size_t>(expert);
                ++counts.asked;
                if (resident[e]) continue;
                ++counts.misses;
                if (filled == slots) {
                    const Expert gone =
                        policy.evict([&](Expert x) { return pinned[static_cast<size_t>(x)]; });
                    resident[static_cast<size_t>(gone)] = false;
                } else {
                    ++filled;
                }
                resident[e] = true;
                policy.insert(expert);
            }
            for (const Expert expert : now) pinned[static_cast<size_t>(expert)] = false;
        }
    }
    return counts;
}

}  // namespace

ReplayCounts replay(const RouterTrace& trace, ReplayPolicy policy, int32_t slots) {
    ENSURE(slots >= 2);
    constexpr double kHalfLife = 256;
    const Demands demands(trace);
    const auto experts =
        static_cast<size_t>(trace.shape().layers) * static_cast<size_t>(trace.shape().experts);
    switch (policy) {
        case ReplayPolicy::kLru: return run(demands, experts, slots, Sorted(experts, Recency()));
        case ReplayPolicy::kLfu: return run(demands, experts, slots, Sorted(experts, Frequency()));
        case ReplayPolicy::kLfuDecayed:
            return run(demands, experts, slots,
                       Sorted(experts, DecayedFrequency(trace, kHalfLife)));
        case ReplayPolicy::kBelady:
            return run(demands, experts, slots, Sorted(experts, Future(demands, experts)));
        case ReplayPolicy::kMillrace: break;
    }
    return run(demands, experts, slots, Ours(trace));
}

uint64_t ReplayRow::best_known() const { return std::min({lru, lfu, lfu_decayed}); }

double ReplayRow::gap_closed() const {
    const auto gap = static_cast<double>(best_known()) - static_cast<double>(belady);
    const auto ours = static_cast<double>(best_known()) - static_cast<double>(millrace);
    return gap > 0 ? ours / gap : 1;
}

ReplayRow replay_all(const RouterTrace& trace, int32_t slots) {
    const auto misses = [&](ReplayPolicy policy) { return replay(trace, policy, slots).misses; };
    return {.slots = slots,
            .asked = replay(trace, ReplayPolicy::kLru, slots).asked,
            .lru = misses(ReplayPolicy::kLru),
            .lfu = misses(ReplayPolicy::kLfu),
            .lfu_decayed = misses(ReplayPolicy::kLfuDecayed),
            .millrace = misses(ReplayPolicy::kMillrace),
            .belady = misses(ReplayPolicy::kBelady)};
}

}  // namespace millrace
