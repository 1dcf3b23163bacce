#pragma once
// One request, from its prompt to its last event. Engine thread.

#include <span>
#include <stop_token>

#include "core/base/clock.h"
#include "core/engine/mailbox.h"
#include "core/engine/request.h"
#include "core/engine/sequence_model.h"

namespace millrace {

// Prefills what of the prompt the sequence does not hold yet, then samples and extends until a stop id, tokens_max, the
// context limit, a cancellation (looked for between two tokens and two chunks) or an error ends it. Always closes
// `mailbox`. After an error the sequence is empty: half a step must not leak into the next answer.
// `logits` [vocabulary] is room to work in.
void answer(SequenceModel& model, const Request& request, std::span<float> logits, Clock& clock,
            const std::stop_token& stop, Mailbox& mailbox);

}  // namespace millrace
