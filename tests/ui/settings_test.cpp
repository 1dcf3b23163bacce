#include "ui/settings.h"

#include <doctest/doctest.h>

using namespace millrace;

TEST_CASE("settings read back as they were") {
    Settings settings;
    settings.theme = ThemeName::kContrast;
    settings.zoom_percent = 225;
    settings.enter_sends = false;
    settings.model = "/models/a \"b\"";
    settings.keys = {{"chat.new", "Alt+N"}};
    settings.fresh.temperature = 0.3;
    settings.fresh.system = "be\nbrief";
    CHECK(settings_of(to_json(settings)) == settings);
    ChatSettings chat;
    chat.think = "max";
    chat.tokens_max = 4096;
    CHECK(chat_settings_of(to_json(chat)) == chat);
}

TEST_CASE("what is wrong in a file of settings does not stop the window") {
    for (const char* text :
         {"", "null", "[]", "{", "{\"zoom\": \"large\"}", "{\"theme\": 3, \"keys\": [1]}"}) {
        CHECK(settings_of(text) == Settings{});
    }
    CHECK(settings_of("{\"zoom\": 100000}").zoom_percent == kZoomMax);
    CHECK(settings_of("{\"zoom\": -5}").zoom_percent == kZoomMin);
    CHECK(chat_settings_of("{\"temperature\": 1e400}").temperature == 1);
    CHECK(chat_settings_of("{\"temperature\": -3}").temperature == 0);
}
