#include "core/engine/live_feed.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/base/check.h"
#include "core/engine/sequence_model.h"

namespace millrace {
namespace {

template <class T>
constexpr size_t kWords = sizeof(T) / sizeof(uint64_t);

// Records travel as words.
template <class T>
using Words = std::array<uint64_t, kWords<T>>;

template <class T>
Words<T> words_of(const T& record) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(uint64_t) == 0);
    Words<T> words;
    std::memcpy(words.data(), &record, sizeof record);
    return words;
}

template <class T>
bool read(const LiveRing& ring, uint64_t number, T& record) {
    Words<T> words;
    if (!ring.read(number, words)) return false;
    std::memcpy(static_cast<void*>(&record), words.data(), sizeof record);
    return true;
}

size_t experts_words(size_t experts) {
    return 1 + (experts * sizeof(int16_t) + sizeof(uint64_t) - 1) / sizeof(uint64_t);
}

size_t experts_of_token(const ModelConfig& config) {
    return config.layers.size() * static_cast<size_t>(config.experts_per_token);
}

}  // namespace

LiveFeed::LiveFeed(const SequenceModel& model)
    : model_(model),
      experts_a_token_(experts_of_token(model.config())),
      steps_(kStepsMax, kWords<StepRecord>),
      experts_(kTokensMax, experts_words(experts_a_token_)),
      states_(kStatesMax, kWords<LiveState>),
      experts_record_(experts_.record_words()) {
    set({});
}

uint64_t LiveFeed::read_steps(uint64_t from, std::vector<StepRecord>& out) const {
    const uint64_t end = steps_.written();
    for (uint64_t number = std::max(from, steps_.oldest()); number < end; ++number) {
        StepRecord record;
        if (read(steps_, number, record)) out.push_back(record);
    }
    return end;
}

// Steps are in the order of requests, and of positions in each.
LiveFeed::FoundStep LiveFeed::find_step(uint64_t request, int64_t position) const {
    const auto before = [&](const StepRecord& record) {
        return record.request != request ? record.request < request : record.position < position;
    };
    uint64_t first = steps_.oldest(), end = steps_.written();
    StepRecord record;
    while (first < end) {
        const uint64_t middle = first + (end - first) / 2;
        // What has gone meanwhile was older than all that is there.
        if (!read(steps_, middle, record) || before(record)) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    if (!read(steps_, first, record)) return {};
    if (record.request == request && record.position == position && record.decode)
        return {FoundStep::Kind::kFound, record};
    const bool all_kept = first == 0 || first > steps_.oldest();
    return {all_kept ? FoundStep::Kind::kNone : FoundStep::Kind::kGone, {}};
}

bool LiveFeed::experts_of(uint64_t step, std::span<int16_t> out) const {
    ENSURE(out.size() == experts_a_token_);
    StepRecord record;
    if (!read(steps_, step, record) || !record.decode) return false;
    std::vector<uint64_t> words(experts_.record_words());
    if (!experts_.read(record.token, words)) return false;
    ENSURE(words[0] == step);
    if (!out.empty()) std::memcpy(out.data(), words.data() + 1, out.size_bytes());
    return true;
}

LiveState LiveFeed::state() const {
    LiveState state;
    while (!read(states_, states_.written() - 1, state)) {
    }
    return state;
}

std::optional<GpuTierStats> LiveFeed::gpu() const { return model_.gpu_stats(); }
ExpertCacheStats LiveFeed::cache() const { return model_.expert_stats(); }
const MemoryPlan& LiveFeed::memory() const { return model_.plan(); }

std::vector<LayerCount> LiveFeed::layers() const {
    const ExpertCacheStats stats = model_.expert_stats();
    std::vector<LayerCount> layers(stats.layer_hits.size());
    for (size_t i = 0; i < layers.size(); ++i) {
        layers[i] = {stats.layer_hits[i], stats.layer_misses[i], stats.layer_wait_ns[i]};
    }
    return layers;
}

// The experts first: who sees the step finds them.
void LiveFeed::add(StepRecord record, std::span<const int16_t> experts) {
    record.number = steps_.written();
    record.token = experts_.written();
    if (record.decode) {
        ENSURE(experts.size() == experts_a_token_);
        experts_record_[0] = record.number;
        if (!experts.empty()) {
            std::memcpy(experts_record_.data() + 1, experts.data(), experts.size_bytes());
        }
        experts_.write(experts_record_);
    }
    steps_.write(words_of(record));
}

void LiveFeed::set(const LiveState& state) { states_.write(words_of(state)); }

}  // namespace millrace
