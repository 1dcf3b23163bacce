#pragma once
// The one list of what can be done. Menus, palette, shortcuts, the shortcut editor, the help and the tests all read it.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ui/input.h"
#include "ui/settings.h"

namespace millrace {

class Desk;
struct ViewState;

enum class Group : uint8_t { kChat, kAnswer, kView, kFiles, kProgram };

struct Command {
    std::string_view id;    // stable: settings name it
    std::string_view name;  // for people
    Group group = Group::kProgram;
    std::string_view chord;                                    // the usual one; "" none
    bool (*enabled)(const Desk&, const ViewState&) = nullptr;  // null: always
    void (*run)(Desk&, ViewState&) = nullptr;
};

[[nodiscard]] std::span<const Command> commands();
[[nodiscard]] const Command* command_named(std::string_view id);
// As set by the person, or the usual one.
[[nodiscard]] Chord chord_of(const Command& command, const Settings& settings);
[[nodiscard]] bool is_enabled(const Command& command, const Desk& desk, const ViewState& view);

// Commands whose name has the letters of `words` in this order, best first; for the palette.
[[nodiscard]] std::vector<const Command*> matching(std::string_view words);

}  // namespace millrace
