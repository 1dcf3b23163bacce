#include "ui/settings.h"

#include <algorithm>
#include <cmath>

#include "core/base/json.h"

namespace millrace {
namespace {

Json object(std::string_view text) {
    Result<Json> parsed = Json::parse(text);
    return parsed.ok() && parsed->is_object() ? std::move(*parsed) : Json(Json::Object{});
}

void read(const Json& from, std::string_view name, std::string& into) {
    if (const Json* value = from.find(name)) {
        if (const std::string* text = value->as_string()) into = *text;
    }
}
void read(const Json& from, std::string_view name, bool& into) {
    if (const Json* value = from.find(name)) into = value->as_bool().value_or(into);
}
void read(const Json& from, std::string_view name, double& into, double low, double high) {
    const Json* value = from.find(name);
    const double number = value == nullptr ? into : value->as_double().value_or(into);
    if (std::isfinite(number)) into = std::clamp(number, low, high);
}
template <class T>
void read_whole(const Json& from, std::string_view name, T& into, int64_t low, int64_t high) {
    const Json* value = from.find(name);
    if (value == nullptr) return;
    into =
        static_cast<T>(std::clamp(value->as_int().value_or(static_cast<int64_t>(into)), low, high));
}

Json json_of(const ChatSettings& settings) {
    return Json(Json::Object{{"system", Json(settings.system)},
                             {"think", Json(settings.think)},
                             {"temperature", Json(settings.temperature)},
                             {"top_p", Json(settings.top_p)},
                             {"min_p", Json(settings.min_p)},
                             {"tokens_max", Json(settings.tokens_max)}});
}

ChatSettings chat_settings(const Json& json) {
    ChatSettings settings;
    read(json, "system", settings.system);
    read(json, "think", settings.think);
    read(json, "temperature", settings.temperature, 0, 5);
    read(json, "top_p", settings.top_p, 0.01, 1);
    read(json, "min_p", settings.min_p, 0, 1);
    read_whole(json, "tokens_max", settings.tokens_max, 0, int64_t{1} << 20);
    return settings;
}

}  // namespace

std::string to_json(const ChatSettings& settings) { return json_of(settings).dump(); }

std::string to_json(const Settings& settings) {
    Json keys(Json::Object{});
    for (const auto& [command, chord] : settings.keys) keys.set(command, Json(chord));
    return Json(Json::Object{{"theme", Json(kThemeNames[static_cast<size_t>(settings.theme)])},
                             {"zoom", Json(settings.zoom_percent)},
                             {"rail", Json(settings.rail)},
                             {"engine_pane", Json(settings.engine_pane)},
                             {"enter_sends", Json(settings.enter_sends)},
                             {"model", Json(settings.model)},
                             {"new_chats", json_of(settings.fresh)},
                             {"keys", std::move(keys)}})
        .dump();
}

ChatSettings chat_settings_of(std::string_view json) { return chat_settings(object(json)); }

Settings settings_of(std::string_view json) {
    const Json from = object(json);
    Settings settings;
    std::string theme;
    read(from, "theme", theme);
    const auto named = std::ranges::find(kThemeNames, theme);
    if (named != kThemeNames.end())
        settings.theme = static_cast<ThemeName>(named - kThemeNames.begin());
    read_whole(from, "zoom", settings.zoom_percent, kZoomMin, kZoomMax);
    read(from, "rail", settings.rail);
    read(from, "engine_pane", settings.engine_pane);
    read(from, "enter_sends", settings.enter_sends);
    read(from, "model", settings.model);
    if (const Json* fresh = from.find("new_chats")) settings.fresh = chat_settings(*fresh);
    if (const Json* keys = from.find("keys")) {
        for (const auto& [command, chord] : keys->members()) {
            if (const std::string* text = chord.as_string()) settings.keys[command] = *text;
        }
    }
    return settings;
}

SamplingParams sampling_of(const ChatSettings& settings) {
    SamplingParams params;
    params.temperature = static_cast<float>(settings.temperature);
    params.top_p = static_cast<float>(settings.top_p);
    params.min_p = static_cast<float>(settings.min_p);
    return params;
}

}  // namespace millrace
