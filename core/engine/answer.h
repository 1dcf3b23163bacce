#pragma once
// One request, from its prompt to its last event. Engine thread.

#include <span>
#include <stop_token>

#include "core/base/clock.h"
#include "core/engine/mailbox.h"
#include "core/engine/request.h"
#include "core/engine/sequence_model.h"
#include "core/engine/step_recorder.h"

namespace millrace {

// What an answer works with, whichever it is.
struct AnswerTools {
    SequenceModel& model;
    StepRecorder& recorder;
    std::span<float> logits;  // [vocabulary], room to work in
    Clock& clock;
};

// Prefills what of the prompt the sequence does not hold yet, then samples and extends until a stop id, tokens_max, the
// context limit, a cancellation (looked for between two layers, too) or an error ends it. Always closes `mailbox`. After
// a cancellation the sequence has its whole chunks and tokens; after an error it is empty: half a step must not leak
// into the next answer.
void answer(const AnswerTools& tools, const Request& request, const std::stop_token& stop,
            Mailbox& mailbox);

}  // namespace millrace
