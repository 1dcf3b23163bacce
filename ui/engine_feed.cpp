#include "ui/engine_feed.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr double kMilli = 1e-6;  // of a nanosecond

float ms(int64_t ns) { return static_cast<float>(static_cast<double>(ns) * kMilli); }
float a_second(double amount, int64_t ns) {
    return ns > 0 ? static_cast<float>(amount * 1e9 / static_cast<double>(ns)) : 0;
}

}  // namespace

TimeGroup group_of(StepPart part) {
    switch (part) {
        case StepPart::kEnds: return TimeGroup::kEnds;
        case StepPart::kHyperConnections: return TimeGroup::kHyper;
        case StepPart::kProjections:
        case StepPart::kCompressor:
        case StepPart::kIndexer:
        case StepPart::kAttend: return TimeGroup::kAttention;
        case StepPart::kRouter:
        case StepPart::kExperts: return TimeGroup::kExperts;
        case StepPart::kShared: return TimeGroup::kShared;
        case StepPart::kWait: return TimeGroup::kWait;
    }
    return TimeGroup::kEnds;
}

void EngineHistory::begin(const LiveFeed* feed, int32_t layers, int32_t experts) {
    const bool paused = paused_;
    const uint64_t version = version_;
    *this = EngineHistory();
    paused_ = paused;
    version_ = version + 1;
    feed_ = feed;
    if (feed == nullptr) return;
    layer_count_ = layers;
    expert_count_ = experts;
    experts_a_token_ = feed->experts_a_token();
    routed_.resize(kRoutedMax * experts_a_token_);
    routed_token_.resize(kRoutedMax);
}

void EngineHistory::take(const LiveFeed* feed, int32_t layers, int32_t experts, double now_s) {
    const bool other = feed != feed_ || layers != layer_count_ || experts != expert_count_;
    if (other && (feed != nullptr || feed_ != nullptr)) begin(feed, layers, experts);
    if (feed == nullptr || paused_) return;
    state_ = feed->state();
    records_.clear();
    const uint64_t next = feed->read_steps(next_step_, records_);
    if (next < next_step_) {  // another feed at the place of the old one
        begin(feed, layers, experts);
        return take(feed, layers, experts, now_s);
    }
    next_step_ = next;
    for (const StepRecord& record : records_) {
        if (!record.finished || record.step_ns <= 0) continue;
        take_drive(record);
        if (record.decode) {
            take_token(*feed, record);
        } else {
            take_chunk(record);
        }
        ++version_;
    }
    if (!records_.empty() && drive_limit_ > 0) {
        const auto share = [&](std::span<const float> rates, std::vector<float>& out) {
            out.clear();
            for (const float rate : rates)
                out.push_back(std::min(1.F, rate / static_cast<float>(drive_limit_)));
        };
        share(busy_rate_.last(), busy_share_);
        share(whole_rate_.last(), whole_share_);
    }
    // Four times a second are enough for sums since the start, and reading them allocates.
    constexpr double kLayersEveryS = 0.25;
    if (layers_version_ != version_ &&
        (now_s - layers_at_s_ >= kLayersEveryS || now_s < layers_at_s_)) {
        layers_version_ = version_;
        layers_at_s_ = now_s;
        take_layers(*feed);
    }
}

void EngineHistory::take_token(const LiveFeed& feed, const StepRecord& record) {
    Token token{.step = record.number,
                .token = record.token,
                .request = record.request,
                .position = record.position,
                .step_ms = ms(record.step_ns),
                .group_ms = {},
                .drive_bytes = record.drive_bytes,
                .hits = record.hits,
                .misses = record.misses};
    for (size_t part = 0; part < kStepParts; ++part) {
        token.group_ms[static_cast<size_t>(group_of(static_cast<StepPart>(part)))] +=
            ms(record.part_ns[part]);
    }
    for (size_t g = 0; g < kTimeGroups; ++g) groups_[g].push(token.group_ms[g]);
    rate_.push(a_second(1, record.step_ns));
    const int32_t asked = record.hits + record.misses;
    hit_share_.push(asked == 0 ? 1 : static_cast<float>(record.hits) / static_cast<float>(asked));
    in_flight_.push(static_cast<float>(record.reads_in_flight));
    waiting_.push(static_cast<float>(record.reads_waiting));
    const auto bytes = static_cast<double>(record.drive_bytes);
    busy_rate_.push(a_second(bytes, record.drive_busy_ns));
    whole_rate_.push(a_second(bytes, record.step_ns));
    tokens_.push(token);

    const size_t place = static_cast<size_t>(record.token % kRoutedMax);
    const std::span<int16_t> experts =
        std::span(routed_).subspan(place * experts_a_token_, experts_a_token_);
    routed_token_[place] = feed.experts_of(record.number, experts) ? record.token + 1 : 0;
}

void EngineHistory::take_chunk(const StepRecord& record) {
    chunk_position_.push(static_cast<float>(record.position));
    chunk_rate_.push(a_second(record.tokens, record.step_ns));
}

// The limit is what the drive once reached over some time: one small read can look faster than any drive is.
void EngineHistory::take_drive(const StepRecord& record) {
    constexpr int64_t kLeastNs = 2'000'000;
    limit_bytes_ += record.drive_bytes;
    limit_ns_ += record.drive_busy_ns;
    if (limit_ns_ < kLeastNs) return;
    drive_limit_ = std::max(
        drive_limit_, static_cast<double>(limit_bytes_) * 1e9 / static_cast<double>(limit_ns_));
    limit_bytes_ = 0;
    limit_ns_ = 0;
}

void EngineHistory::take_layers(const LiveFeed& feed) {
    layer_hits_.clear();
    layer_wait_ms_.clear();
    // Those behind the trunk belong to drafts.
    for (const LayerCount& layer : feed.layers()) {
        if (layer_hits_.size() == static_cast<size_t>(layer_count_)) break;
        const uint64_t asked = layer.hits + layer.misses;
        layer_hits_.push_back(
            asked == 0 ? 0 : static_cast<float>(layer.hits) / static_cast<float>(asked));
        layer_wait_ms_.push_back(ms(layer.wait_ns));
    }
}

double EngineHistory::first_token() const {
    return tokens().empty() ? 0 : static_cast<double>(tokens().front().token);
}

double EngineHistory::rate_of_last(size_t count) const {
    const std::span<const Token> recent = tokens_.last(count);
    double total_ms = 0, tokens = 0;
    for (const Token& token : recent) {
        if (token.request != recent.back().request) continue;
        total_ms += static_cast<double>(token.step_ms);
        tokens += 1;
    }
    return total_ms > 0 ? tokens * 1000 / total_ms : 0;
}

std::span<const int16_t> EngineHistory::experts_of(const Token& token) const {
    const size_t place = static_cast<size_t>(token.token % kRoutedMax);
    if (routed_token_.empty() || routed_token_[place] != token.token + 1) return {};
    return std::span(routed_).subspan(place * experts_a_token_, experts_a_token_);
}

EngineHistory::Routing EngineHistory::routing(size_t tokens) {
    if (counts_version_ == version_ && counts_wanted_ == tokens && !counts_.empty())
        return routing_;
    counts_version_ = version_;
    counts_wanted_ = tokens;
    routing_ = {};
    const auto columns = static_cast<size_t>(expert_count_);
    counts_.assign(static_cast<size_t>(layer_count_) * columns, 0);
    if (counts_.empty()) return routing_;
    const size_t k = experts_a_token_ / static_cast<size_t>(layer_count_);
    for (const Token& token : tokens_.last(std::min(tokens, kRoutedMax))) {
        const std::span<const int16_t> experts = experts_of(token);
        if (experts.empty()) continue;
        ++routing_.tokens;
        for (size_t i = 0; i < k * static_cast<size_t>(layer_count_); ++i) {
            const auto expert = static_cast<size_t>(experts[i]);
            if (experts[i] < 0 || expert >= columns) continue;
            const uint32_t count = ++counts_[i / k * columns + expert];
            routing_.highest = std::max(routing_.highest, count);
        }
    }
    routing_.counts = counts_;
    return routing_;
}

}  // namespace millrace
