#pragma once
// Before an answer begins, what the model does not know of the conversation must be read. How much that is, and how long it
// takes: as numbers, and in the few words beside the composer. Pure.

#include <cstdint>
#include <string>

#include "ui/app_state.h"

namespace millrace {

struct Reading {
    enum class Kind : uint8_t {
        kNothing,  // nothing was said yet, or the model is at it
        kUnknown,  // not counted yet
        kReady,    // the model knows the conversation up to the draft
        kNeedsReading,
    };
    Kind kind = Kind::kNothing;
    int64_t known = 0, archived = 0, unread = 0;  // tokens of what would be sent
    double rate = 0;                              // tokens a second; 0: nobody knows
    bool measured = false;  // since the model was opened; else an earlier answer says so

    [[nodiscard]] double seconds() const {
        return rate > 0 ? static_cast<double>(unread) / rate : 0;
    }
};

[[nodiscard]] Reading reading_of(const AppState& state);
// "Ready", "Needs reading (about 4 min)"; "" where there is nothing to say.
[[nodiscard]] std::string short_text(const Reading& reading);

// "3 s", "4 min", "1.2 h".
[[nodiscard]] std::string time_text(double seconds);

}  // namespace millrace
