#include "core/engine/step_recorder.h"

#include <algorithm>
#include <numeric>

namespace millrace {

StepRecorder::StepRecorder(LiveFeed& feed, const SequenceModel& model, Clock& clock)
    : feed_(feed),
      model_(model),
      clock_(clock),
      layers_(model.config().layer_count()),
      experts_per_token_(model.config().experts_per_token),
      experts_(feed.experts_a_token()) {}

void StepRecorder::begin_request(int64_t prompt_tokens) {
    before_ = last_ = model_.expert_pulse();
    state_ = {.doing = LiveState::Doing::kPrefill,
              .request = requests_++,
              .began_ns = clock_.now_ns(),
              .prompt_tokens = prompt_tokens};
    feed_.set(state_);
}

void StepRecorder::reused(int64_t tokens) {
    state_.reused_tokens = tokens;
    prompt_done(tokens);
}

void StepRecorder::prompt_done(int64_t tokens) {
    state_.prompt_done = tokens;
    feed_.set(state_);
}

void StepRecorder::generated(int64_t tokens) {
    state_.doing = LiveState::Doing::kDecode;
    state_.generated_tokens = tokens;
    feed_.set(state_);
}

void StepRecorder::begin_step(const StepStart& start) {
    record_ = {.request = state_.request,
               .position = start.position,
               .tokens = static_cast<int32_t>(start.tokens),
               .decode = start.decode,
               .began_ns = clock_.now_ns()};
    part_ = StepPart::kEnds;
    since_ns_ = record_.began_ns;
    std::ranges::fill(experts_, int16_t{-1});
}

void StepRecorder::spend(int64_t now_ns) {
    record_.part_ns[static_cast<size_t>(part_)] += now_ns - since_ns_;
    since_ns_ = now_ns;
}

void StepRecorder::begins(StepPart part) {
    if (part == StepPart::kWait) {
        const ExpertPulse pulse = model_.expert_pulse();
        record_.reads_in_flight = std::max(record_.reads_in_flight, pulse.reads_in_flight);
        record_.reads_waiting = std::max(record_.reads_waiting, pulse.reads_waiting);
    }
    if (part == part_) return;  // no clock is read where nothing changes
    spend(clock_.now_ns());
    part_ = part;
}

void StepRecorder::routed(LayerId layer, MatrixView<const int32_t> ids, MatrixView<const float>) {
    if (!record_.decode || layer.value >= layers_) return;
    const auto into = experts_.begin() + layer.value * experts_per_token_;
    std::ranges::transform(ids.row(0), into, [](int32_t id) { return static_cast<int16_t>(id); });
}

void StepRecorder::end_step(bool finished) {
    spend(clock_.now_ns());
    const ExpertPulse now = model_.expert_pulse();
    record_.finished = finished;
    record_.step_ns = since_ns_ - record_.began_ns;
    record_.drive_busy_ns = now.drive_busy_ns - last_.drive_busy_ns;
    record_.drive_bytes = now.bytes_read - last_.bytes_read;
    record_.hits = static_cast<int32_t>(now.hits - last_.hits);
    record_.misses = static_cast<int32_t>(now.misses - last_.misses);
    last_ = now;
    feed_.add(record_, experts_);
}

void StepRecorder::end_request() {
    state_.doing = LiveState::Doing::kIdle;
    feed_.set(state_);
}

double recording_seconds(const LiveFeed& feed, int64_t tokens) {
    SystemClock clock;
    LiveFeed own(feed.model());
    StepRecorder recorder(own, feed.model(), clock);
    const ModelConfig& config = feed.model().config();
    std::vector<int32_t> ids(static_cast<size_t>(config.experts_per_token));
    std::iota(ids.begin(), ids.end(), 0);
    const MatrixView<const int32_t> row(ids.data(), 1, config.experts_per_token);
    recorder.begin_request(1);
    const int64_t began_ns = clock.now_ns();
    for (int64_t token = 0; token < tokens; ++token) {
        recorder.generated(token);
        recorder.begin_step({.position = token, .tokens = 1, .decode = true});
        for (int64_t layer = 0; layer < config.layer_count(); ++layer) {
            for (size_t part = 0; part < 2 * kStepParts; ++part)
                recorder.begins(static_cast<StepPart>(part % kStepParts));
            recorder.routed(LayerId{static_cast<int32_t>(layer)}, row, {});
        }
        recorder.end_step(true);
    }
    const int64_t passed_ns = clock.now_ns() - began_ns;
    return static_cast<double>(passed_ns) * 1e-9 /
           static_cast<double>(std::max<int64_t>(1, tokens));
}

}  // namespace millrace
