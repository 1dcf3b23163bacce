#pragma once
// What the engine's feed (core/engine/live_feed.h) said lately, arranged as plots want it: an array for each curve, and the
// experts of the last tokens. Taking in is bounded and costs what is new; a feed that has nothing new costs nothing.
// Threads: the window's.

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/engine/live_feed.h"

namespace millrace {

// The parts of a step (core/engine/observer.h) that a person tells apart.
enum class TimeGroup : uint8_t { kAttention, kExperts, kShared, kEnds, kHyper, kWait };
inline constexpr size_t kTimeGroups = 6;
inline constexpr std::array<std::string_view, kTimeGroups> kTimeGroupNames = {
    "attention",          "experts",           "shared expert",
    "head and embedding", "hyper-connections", "waiting for the drive"};
[[nodiscard]] TimeGroup group_of(StepPart part);

// The last values of a stream, side by side in memory.
template <class T>
class Recent {
public:
    explicit Recent(size_t capacity) : capacity_(capacity) { values_.reserve(2 * capacity); }
    void push(const T& value) {
        if (values_.size() == 2 * capacity_)
            values_.erase(values_.begin(), values_.begin() + static_cast<ptrdiff_t>(capacity_));
        values_.push_back(value);
    }
    [[nodiscard]] std::span<const T> last() const {
        const std::span<const T> all = values_;
        return all.last(std::min(all.size(), capacity_));
    }
    [[nodiscard]] std::span<const T> last(size_t count) const {
        return last().last(std::min(count, last().size()));
    }
    void clear() { values_.clear(); }

private:
    size_t capacity_;
    std::vector<T> values_;
};

class EngineHistory {
public:
    static constexpr size_t kTokensMax = 600;
    static constexpr size_t kChunksMax = 600;
    static constexpr size_t kRoutedMax = 256;  // tokens whose experts are kept

    // A decoded token.
    struct Token {
        uint64_t step = 0, token = 0, request = 0;
        int64_t position = 0;
        float step_ms = 0;
        std::array<float, kTimeGroups> group_ms = {};
        uint64_t drive_bytes = 0;
        int32_t hits = 0, misses = 0;
    };

    // What is new in `feed`; null: no model is open, and nothing is left of the last one. `experts`: of a layer.
    void take(const LiveFeed* feed, int32_t layers, int32_t experts, double now_s);
    // While it pauses nothing is taken in; what happens meanwhile is read afterwards, as far as the feed still has it.
    void pause(bool paused) { paused_ = paused; }
    [[nodiscard]] bool paused() const { return paused_; }

    [[nodiscard]] bool empty() const {
        return tokens_.last().empty() && chunk_rate_.last().empty();
    }
    // Rises with everything that is taken in.
    [[nodiscard]] uint64_t version() const { return version_; }
    [[nodiscard]] const LiveState& state() const { return state_; }

    // Of the last kTokensMax decoded tokens, oldest first; index 0 is token first_token() of the engine.
    [[nodiscard]] std::span<const Token> tokens() const { return tokens_.last(); }
    [[nodiscard]] double first_token() const;
    [[nodiscard]] std::span<const float> tokens_per_second() const { return rate_.last(); }
    [[nodiscard]] std::span<const float> group_ms(TimeGroup group) const {
        return groups_[static_cast<size_t>(group)].last();
    }
    [[nodiscard]] std::span<const float> hit_share() const { return hit_share_.last(); }
    [[nodiscard]] std::span<const float> reads_in_flight() const { return in_flight_.last(); }
    [[nodiscard]] std::span<const float> reads_waiting() const { return waiting_.last(); }
    // Shares of drive_limit(): while something was read, and over the whole token.
    [[nodiscard]] std::span<const float> drive_while_reading() const { return busy_share_; }
    [[nodiscard]] std::span<const float> drive_of_token() const { return whole_share_; }
    // The best rate that was seen, bytes a second; 0: nothing was read yet.
    [[nodiscard]] double drive_limit() const { return drive_limit_; }
    // Tokens a second over the last `count` tokens of the request at work; 0: none.
    [[nodiscard]] double rate_of_last(size_t count) const;

    // Of the last kChunksMax chunks of prompts: where they begin, how fast they were.
    [[nodiscard]] std::span<const float> chunk_position() const { return chunk_position_.last(); }
    [[nodiscard]] std::span<const float> chunk_rate() const { return chunk_rate_.last(); }

    // By layer, since the model was opened, in [0, 1].
    [[nodiscard]] std::span<const float> layer_hit_share() const { return layer_hits_; }
    [[nodiscard]] std::span<const float> layer_wait_ms() const { return layer_wait_ms_; }

    // How often the routers chose each expert for the last `tokens` tokens, [layers][experts].
    struct Routing {
        std::span<const uint32_t> counts;
        uint32_t highest = 0;
        size_t tokens = 0;  // that were counted
    };
    [[nodiscard]] Routing routing(size_t tokens);
    // The experts of a token that is among the last kRoutedMax, best first, [layers][k]; empty: not kept.
    [[nodiscard]] std::span<const int16_t> experts_of(const Token& token) const;
    [[nodiscard]] int32_t layers() const { return layer_count_; }
    [[nodiscard]] int32_t experts() const { return expert_count_; }

private:
    void begin(const LiveFeed* feed, int32_t layers, int32_t experts);
    void take_token(const LiveFeed& feed, const StepRecord& record);
    void take_chunk(const StepRecord& record);
    void take_layers(const LiveFeed& feed);
    void take_drive(const StepRecord& record);

    const LiveFeed* feed_ = nullptr;
    bool paused_ = false;
    uint64_t next_step_ = 0, version_ = 0;
    LiveState state_;
    std::vector<StepRecord> records_;  // room for what is new

    Recent<Token> tokens_{kTokensMax};
    Recent<float> rate_{kTokensMax}, hit_share_{kTokensMax}, in_flight_{kTokensMax},
        waiting_{kTokensMax}, busy_rate_{kTokensMax}, whole_rate_{kTokensMax};
    std::vector<Recent<float>> groups_ =
        std::vector<Recent<float>>(kTimeGroups, Recent<float>(kTokensMax));
    std::vector<float> busy_share_, whole_share_;
    double drive_limit_ = 0;
    uint64_t limit_bytes_ = 0;  // since the last sample of the limit
    int64_t limit_ns_ = 0;

    Recent<float> chunk_position_{kChunksMax}, chunk_rate_{kChunksMax};

    std::vector<float> layer_hits_, layer_wait_ms_;
    double layers_at_s_ = -1;
    uint64_t layers_version_ = 0;

    int32_t layer_count_ = 0, expert_count_ = 0;
    size_t experts_a_token_ = 0;
    std::vector<int16_t> routed_;  // [kRoutedMax][experts_a_token_], by step modulo kRoutedMax
    std::vector<uint64_t> routed_token_;  // whose experts stand there, + 1; 0: nobody's
    std::vector<uint32_t> counts_;
    uint64_t counts_version_ = 0;
    size_t counts_wanted_ = 0;
    Routing routing_;
};

}  // namespace millrace
