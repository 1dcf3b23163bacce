#pragma once
// Makes the records of the live feed: a clock read wherever a step passes from one part to another, the experts of a decoded
// token, the counters of the expert cache before and after. Engine thread only; allocates nothing after its constructor.
//
//   begin_request ─► [ begin_step ─► (observer calls) ─► end_step ]… ─► end_request

#include <cstdint>
#include <vector>

#include "core/base/clock.h"
#include "core/engine/live_feed.h"
#include "core/engine/observer.h"
#include "core/engine/sequence_model.h"

namespace millrace {

struct StepStart {
    int64_t position = 0;  // of the first token
    int64_t tokens = 0;
    bool decode = false;
};

class StepRecorder final : public StepObserver {
public:
    // All outlive the recorder. It must be the model's observer for parts and experts to be seen.
    StepRecorder(LiveFeed& feed, const SequenceModel& model, Clock& clock);

    void begin_request(int64_t prompt_tokens);
    // Part of the prompt is known.
    void reused(int64_t tokens);
    void begin_step(const StepStart& start);
    // So much of the prompt is computed.
    void prompt_done(int64_t tokens);
    void end_step(bool finished);
    void generated(int64_t tokens);
    void end_request();

    // What the expert cache had counted when the request began, and when its last step ended.
    [[nodiscard]] const ExpertPulse& before() const { return before_; }
    [[nodiscard]] const ExpertPulse& last() const { return last_; }

    void begins(StepPart part) override;
    void routed(LayerId layer, MatrixView<const int32_t> ids,
                MatrixView<const float> weights) override;

private:
    void spend(int64_t now_ns);

    LiveFeed& feed_;
    const SequenceModel& model_;
    Clock& clock_;
    const int64_t layers_, experts_per_token_;
    uint64_t requests_ = 0;
    LiveState state_;
    StepRecord record_;
    std::vector<int16_t> experts_;  // [layers][k] of the token
    StepPart part_ = StepPart::kEnds;
    int64_t since_ns_ = 0;  // when the part began
    ExpertPulse before_, last_;
};

}  // namespace millrace
