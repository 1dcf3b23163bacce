#include "ui/commands.h"

#include <algorithm>
#include <array>

#include "ui/selection.h"
#include "ui/view_state.h"

namespace millrace {
namespace {

bool has_chat(const Desk& desk, const ViewState&) { return desk.state().chat.has_value(); }
bool has_answer(const Desk& desk, const ViewState&) {
    return desk.state().chat && !desk.state().running && desk.state().chat->branches.size() > 0;
}

const StoredMessage* leaf(const Desk& desk) {
    if (!desk.state().chat) return nullptr;
    return desk.state().chat->branches.find(desk.state().chat->branches.leaf());
}

void zoom(Desk& desk, int by) {
    desk.change([by](Settings& settings) {
        settings.zoom_percent =
            by == 0 ? 100 : std::clamp(settings.zoom_percent + by, kZoomMin, kZoomMax);
    });
}

void open_export(Desk& desk, ViewState& view, ExportFormat format) {
    view.open_dialog(DialogKind::kExport, desk.export_path(format).string());
    view.dialog.format = format;
}

// Another version of the last message that has several.
void step_version(Desk& desk, bool forward) {
    const Branches& branches = desk.state().chat->branches;
    const std::vector<MessageId> shown = branches.shown();
    for (auto at = shown.rbegin(); at != shown.rend(); ++at) {
        const Branches::Version version = branches.version_of(*at);
        if (version.count > 1) {
            return desk.show_version(forward ? version.after : version.before);
        }
    }
}

void next_thinking(Desk& desk) {
    if (!desk.state().model.facts) return;
    const std::vector<std::string>& efforts = desk.state().model.facts->efforts;
    desk.change_chat([&](ChatSettings& settings) {
        const auto at = std::ranges::find(efforts, settings.think);
        const size_t next = at == efforts.end() ? 0 : static_cast<size_t>(at - efforts.begin()) + 1;
        settings.think = next < efforts.size() ? efforts[next] : "off";
    });
}

void open_find(ViewState& view) {
    view.find_open = true;
    view.find_words->key(EditKey::kSelectAll, Reach::kNear, Extend::kNo);
    view.found_for.clear();
}

constexpr auto make = [] {
    using D = Desk;
    using V = ViewState;
    return std::to_array<Command>({
        {"chat.new", "New chat", Group::kChat, "Ctrl+N", nullptr,
         [](D& d, V& v) { d.new_chat(), v.focus_composer = true; }},
        {"chat.rename", "Rename chat", Group::kChat, "F2", has_chat,
         [](D& d, V& v) {
             v.open_dialog(DialogKind::kRename, d.state().chat->summary.title);
             v.dialog.chat = d.state().chat->summary.id;
         }},
        {"chat.pin", "Pin or unpin chat", Group::kChat, "Ctrl+Shift+P", has_chat,
         [](D& d, V&) { d.pin_chat(d.state().chat->summary.id, !d.state().chat->summary.pinned); }},
        {"chat.delete", "Delete chat", Group::kChat, "Ctrl+Shift+Delete", has_chat,
         [](D& d, V&) { d.remove_chat(d.state().chat->summary.id); }},
        {"chat.system", "System message", Group::kChat, "Ctrl+Shift+S", nullptr,
         [](D& d, V& v) { v.open_dialog(DialogKind::kSystem, d.chat_settings().system); }},
        {"chat.search", "Search all chats", Group::kChat, "Ctrl+Shift+F", nullptr,
         [](D& d, V& v) {
             d.change([](Settings& s) { s.rail = true; });
             d.search(v.search_words->text());
             v.search_words->key(EditKey::kSelectAll, Reach::kNear, Extend::kNo);
             v.focus_search = true;
         }},
        {"chat.find", "Find in this chat", Group::kChat, "Ctrl+F", has_chat,
         [](D&, V& v) { open_find(v); }},
        {"chat.branches", "Branches of this chat", Group::kChat, "Ctrl+Shift+B", has_chat,
         [](D& d, V& v) {
             d.go(Screen::kChat);
             v.branches.open = v.branches.opened = true;
             v.branches.at = d.state().chat->branches.leaf();
         }},
        {"edit.undo", "Undo", Group::kChat, "Ctrl+Z",
         [](const D& d, const V&) { return d.can_undo(); }, [](D& d, V&) { d.undo(); }},

        {"answer.stop", "Stop or pause", Group::kAnswer, "Esc",
         [](const D& d, const V&) { return d.state().running.has_value(); },
         [](D& d, V&) { d.stop(); }},
        {"answer.continue", "Continue the answer", Group::kAnswer, "Ctrl+Shift+Enter",
         [](const D& d, const V&) { return d.can_continue(); },
         [](D& d, V&) { d.continue_answer(); }},
        {"answer.again", "Answer again", Group::kAnswer, "Ctrl+R", has_answer,
         [](D& d, V&) { d.regenerate(d.state().chat->branches.leaf()); }},
        {"answer.edit", "Edit the last message", Group::kAnswer, "Ctrl+Up", has_answer,
         [](D& d, V& v) {
             const StoredMessage* last = leaf(d);
             if (last != nullptr && last->author == Author::kAssistant) {
                 if (const auto* asked = d.state().chat->branches.find(last->parent)) last = asked;
             }
             if (last == nullptr) return;
             v.open_dialog(DialogKind::kEdit, last->content);
             v.dialog.message = last->id;
         }},
        {"answer.copy", "Copy the last answer", Group::kAnswer, "Ctrl+Shift+A", has_chat,
         [](D& d, V& v) { v.copy_wanted = leaf(d) == nullptr ? "" : leaf(d)->content; }},
        {"answer.thinking", "Next thinking mode", Group::kAnswer, "Ctrl+T", nullptr,
         [](D& d, V&) { next_thinking(d); }},
        {"answer.before", "Version before", Group::kAnswer, "Alt+Left", has_chat,
         [](D& d, V&) { step_version(d, false); }},
        {"answer.after", "Version after", Group::kAnswer, "Alt+Right", has_chat,
         [](D& d, V&) { step_version(d, true); }},
        {"answer.delete", "Delete the last message", Group::kAnswer, "Alt+Delete", has_answer,
         [](D& d, V&) { d.remove_message(d.state().chat->branches.leaf()); }},
        {"select.copy", "Copy selection as Markdown", Group::kAnswer, "Ctrl+C",
         [](const D&, const V& v) { return !v.selection_empty(); },
         [](D& d, V& v) { v.copy_wanted = copy_selection(d, v, CopyAs::kMarkdown); }},
        {"select.copy_plain", "Copy selection as plain text", Group::kAnswer, "Ctrl+Shift+C",
         [](const D&, const V& v) { return !v.selection_empty(); },
         [](D& d, V& v) { v.copy_wanted = copy_selection(d, v, CopyAs::kPlain); }},

        {"view.palette", "All commands", Group::kView, "Ctrl+K", nullptr,
         [](D&, V& v) {
             v.palette_open = true;
             v.palette_words->set_text("");
             v.palette_at = 0;
         }},
        {"view.chat", "Chat", Group::kView, "Ctrl+1", nullptr,
         [](D& d, V& v) { d.go(Screen::kChat), v.focus_composer = true; }},
        {"view.engine", "Engine", Group::kView, "Ctrl+2", nullptr,
         [](D& d, V&) { d.go(Screen::kEngine); }},
        {"view.models", "Models", Group::kView, "Ctrl+3", nullptr,
         [](D& d, V&) { d.go(Screen::kModels); }},
        {"view.benchmark", "Benchmark", Group::kView, "Ctrl+4", nullptr,
         [](D& d, V&) { d.go(Screen::kBenchmark); }},
        {"view.settings", "Settings", Group::kView, "Ctrl+,", nullptr,
         [](D& d, V&) { d.go(Screen::kSettings); }},
        {"view.logs", "Logs", Group::kView, "Ctrl+5", nullptr,
         [](D& d, V&) { d.go(Screen::kLogs); }},
        {"view.rail", "Show or hide the chats", Group::kView, "Ctrl+B", nullptr,
         [](D& d, V&) { d.change([](Settings& s) { s.rail = !s.rail; }); }},
        {"view.pane", "Show or hide the engine beside the chat", Group::kView, "Ctrl+E", nullptr,
         [](D& d, V&) { d.change([](Settings& s) { s.engine_pane = !s.engine_pane; }); }},
        {"view.theme", "Next theme", Group::kView, "Ctrl+Shift+T", nullptr,
         [](D& d, V&) {
             d.change([](Settings& s) {
                 s.theme = static_cast<ThemeName>((static_cast<size_t>(s.theme) + 1) %
                                                  kThemeNames.size());
             });
         }},
        {"view.larger", "Larger", Group::kView, "Ctrl+=", nullptr, [](D& d, V&) { zoom(d, 25); }},
        {"view.smaller", "Smaller", Group::kView, "Ctrl+-", nullptr,
         [](D& d, V&) { zoom(d, -25); }},
        {"view.usual_size", "Usual size", Group::kView, "Ctrl+0", nullptr,
         [](D& d, V&) { zoom(d, 0); }},

        {"file.markdown", "Export as Markdown", Group::kFiles, "Ctrl+Shift+M", has_chat,
         [](D& d, V& v) { open_export(d, v, ExportFormat::kMarkdown); }},
        {"file.html", "Export as HTML", Group::kFiles, "Ctrl+Shift+H", has_chat,
         [](D& d, V& v) { open_export(d, v, ExportFormat::kHtml); }},
        {"file.json", "Export as JSON", Group::kFiles, "Ctrl+Shift+J", has_chat,
         [](D& d, V& v) { open_export(d, v, ExportFormat::kJson); }},
        {"file.import", "Import chats", Group::kFiles, "Ctrl+Shift+I", nullptr,
         [](D&, V& v) { v.open_dialog(DialogKind::kImport, ""); }},
        {"file.model", "Open a model", Group::kFiles, "Ctrl+O", nullptr,
         [](D& d, V& v) { v.open_dialog(DialogKind::kOpenModel, d.state().settings.model); }},

        {"program.help", "Keys", Group::kProgram, "F1", nullptr,
         [](D&, V& v) { v.help_open = true; }},
        {"program.quit", "Quit", Group::kProgram, "Ctrl+Q", nullptr, [](D& d, V&) { d.quit(); }},
    });
};

const auto kCommands = make();

}  // namespace

std::span<const Command> commands() { return kCommands; }

const Command* command_named(std::string_view id) {
    const auto found = std::ranges::find(kCommands, id, &Command::id);
    return found == kCommands.end() ? nullptr : &*found;
}

Chord chord_of(const Command& command, const Settings& settings) {
    const auto own = settings.keys.find(std::string(command.id));
    return chord_named(own == settings.keys.end() ? command.chord : std::string_view(own->second));
}

bool is_enabled(const Command& command, const Desk& desk, const ViewState& view) {
    return command.enabled == nullptr || command.enabled(desk, view);
}

std::vector<const Command*> matching(std::string_view words) {
    struct Scored {
        const Command* command;
        size_t score, place;
        [[nodiscard]] bool operator<(const Scored& other) const {
            return score != other.score ? score < other.score : place < other.place;
        }
    };
    const auto lower = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    std::vector<Scored> scored;
    for (const Command& command : kCommands) {
        // The gaps between the letters that match are what makes one worse than another.
        size_t at = 0, gaps = 0;
        bool all = true;
        for (const char c : words) {
            if (c == ' ') continue;
            const size_t from = at;
            while (at < command.name.size() && lower(command.name[at]) != lower(c)) ++at;
            all = all && at < command.name.size();
            gaps += at - from;
            ++at;
        }
        if (all) scored.push_back({&command, gaps, scored.size()});
    }
    std::sort(scored.begin(), scored.end());
    std::vector<const Command*> found;
    for (const Scored& entry : scored) found.push_back(entry.command);
    return found;
}

}  // namespace millrace
