#pragma once
// What a person has set, for the whole program and for one chat; as JSON in the store. Unknown members are kept out, values
// out of range become the nearest that is in range: an old or a foreign file must not stop the window from opening.

#include <map>
#include <string>
#include <string_view>

#include "core/engine/request.h"
#include "ui/theme.h"

namespace millrace {

struct ChatSettings {
    std::string system;
    std::string think = "off";
    double temperature = 1, top_p = 1, min_p = 0;
    int64_t tokens_max = 0;
    bool operator==(const ChatSettings&) const = default;
};

struct Settings {
    ThemeName theme = ThemeName::kDark;
    int zoom_percent = 100;  // 75 … 250
    bool rail = true;        // the list of chats is shown
    bool engine_pane = false;
    bool enter_sends = true;
    std::string model;                        // directory that was last open; "": the demo
    ChatSettings fresh;                       // of new chats
    std::map<std::string, std::string> keys;  // command → chord, where it is not the usual one
    bool operator==(const Settings&) const = default;
};

inline constexpr int kZoomMin = 75, kZoomMax = 250;

[[nodiscard]] std::string to_json(const ChatSettings& settings);
[[nodiscard]] std::string to_json(const Settings& settings);
[[nodiscard]] ChatSettings chat_settings_of(std::string_view json);
[[nodiscard]] Settings settings_of(std::string_view json);
[[nodiscard]] SamplingParams sampling_of(const ChatSettings& settings);

}  // namespace millrace
