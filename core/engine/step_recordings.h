#pragma once
// What one token after another asks of a GPU is the same for long: parts of a step are recorded (Ops::begin_recording) the
// first time and replayed from then on. A recording holds the addresses of a sequence's KV state and of a step's scratch, so
// recordings lie beside the KV state and serve one step. What they depend on besides:
//
//   part      which layer, and what of it
//   completes whether this token completes a compressed entry of the layer
//   guesses   whether the next layer's router is asked, too
//   limit     how much is launched (Chunk::limit); with another one all recordings are forgotten
//
// Where ops do not record, or have no memory left for it, parts are run as they are. Engine thread only.

#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/result.h"
#include "core/base/types.h"
#include "kernels/ops.h"

namespace millrace {

// What of a layer lies between two looks of the host: up to the router's choice, beginning with the end of the layer before;
// and what the experts in the GPU's memory do with it, while the host looks what is missing.
enum class RecordedPart : uint8_t { kToChoice, kExperts };
inline constexpr size_t kRecordedParts = 2;

struct RecordingKey {
    LayerId layer;
    RecordedPart part = RecordedPart::kToChoice;
    bool completes = false, guesses = false;
};

class StepRecordings {
public:
    // Of the next step.
    void set_limit(int64_t limit) {
        if (limit == limit_) return;
        limit_ = limit;
        refused_ = false;
        kept_.clear();
    }

    // What run_part does, where it is not null.
    template <class Part>
    [[nodiscard]] Status run(Ops& ops, const RecordingKey& key, const Part& part);

private:
    [[nodiscard]] std::unique_ptr<Recording>& at(const RecordingKey& key) {
        const size_t index = (static_cast<size_t>(key.layer.value) * kRecordedParts +
                              static_cast<size_t>(key.part)) *
                                 4 +
                             (key.completes ? 2 : 0) + (key.guesses ? 1 : 0);
        if (index >= kept_.size()) kept_.resize(index + 1);
        return kept_[index];
    }

    int64_t limit_ = 0;
    bool refused_ = false;
    std::vector<std::unique_ptr<Recording>> kept_;  // by layer, part, completes, guesses
};

template <class Part>
Status StepRecordings::run(Ops& ops, const RecordingKey& key, const Part& part) {
    std::unique_ptr<Recording>& recording = at(key);
    if (recording == nullptr) {
        if (refused_ || !ops.begin_recording()) return part();
        const Status done = part();
        std::unique_ptr<Recording> made = ops.end_recording();
        TRY(done);
        // Without memory for one there is none for the others: not before the limit changes.
        refused_ = made == nullptr;
        if (refused_) return part();
        recording = std::move(made);
    }
    ops.replay(*recording);
    return {};
}

// Does what `part` does: a callable Status() that only calls ops which may be recorded, the same ones for the same key.
// Null: as it is.
template <class Part>
[[nodiscard]] Status run_part(StepRecordings* recordings, Ops& ops, const RecordingKey& key,
                              const Part& part) {
    return recordings == nullptr ? part() : recordings->run(ops, key, part);
}

}  // namespace millrace
