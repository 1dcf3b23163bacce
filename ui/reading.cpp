#include "ui/reading.h"

#include <algorithm>

#include "core/base/strings.h"
#include "ui/plot_scale.h"

namespace millrace {
namespace {

// The archive keeps whole pages: what is missing of the last one is no reason to say that the chat is gone.
constexpr int64_t kPageTokens = 128;
constexpr double kWorthSaying_s = 5;

}  // namespace

std::string time_text(double seconds) {
    if (seconds < 60) return cat(fixed(seconds, 0), " s");
    if (seconds < 3600) return cat(fixed(seconds / 60, 0), " min");
    return cat(fixed(seconds / 3600, 1), " h");
}

Reading reading_of(const AppState& state) {
    Reading reading;
    if (state.model.phase != ModelPhase::kReady) return reading;
    if (state.running && state.chat && state.running->chat == state.chat->summary.id) {
        return reading;
    }
    if (!state.prompt) {
        reading.kind = Reading::Kind::kUnknown;
        return reading;
    }
    const PromptCount& prompt = *state.prompt;
    const int64_t total = prompt.context.total();
    reading.known = prompt.known;
    reading.archived = prompt.archived;
    reading.unread = std::max<int64_t>(0, total - prompt.known);
    reading.measured = state.prefill_rate > 0;
    reading.rate = reading.measured ? state.prefill_rate : state.prefill_rate_before;
    const int64_t said =
        prompt.context.of(ContextKind::kHistory) + prompt.context.of(ContextKind::kThinking);
    const int64_t unread_before = reading.unread - prompt.context.of(ContextKind::kDraft);
    if (said > 0 && prompt.known > 0 && unread_before < kPageTokens) {
        reading.kind = Reading::Kind::kReady;
    } else if (said > 0 || reading.seconds() >= kWorthSaying_s) {
        reading.kind = Reading::Kind::kNeedsReading;
    }
    return reading;
}

std::string short_text(const Reading& reading) {
    const double seconds = reading.seconds();
    switch (reading.kind) {
        case Reading::Kind::kNothing: return "";
        case Reading::Kind::kUnknown: return "Not counted yet";
        case Reading::Kind::kReady:
            return seconds < kWorthSaying_s
                       ? "Ready"
                       : cat("Ready, reads about ", time_text(seconds), " of draft");
        case Reading::Kind::kNeedsReading: break;
    }
    if (reading.rate <= 0) return cat("Needs reading (", count_text(reading.unread), " tokens)");
    return seconds < 1 ? "Needs reading (under 1 s)"
                       : cat("Needs reading (about ", time_text(seconds), ")");
}

}  // namespace millrace
