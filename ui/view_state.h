#pragma once
// What the views remember between frames and nobody else needs: editors, scroll positions, what is open. Not kept over a
// restart but for what the desk saves.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/store/exchange.h"
#include "ui/branch_map.h"
#include "ui/desk.h"
#include "ui/engine_view_state.h"
#include "ui/typeset/editor.h"
#include "ui/typeset/rich_text.h"
#include "ui/ui.h"

namespace millrace {

// A place in the conversation that is shown.
struct TextPlace {
    size_t message = 0;      // of the branch
    bool reasoning = false;  // in its reasoning, which stands before its content
    size_t byte = 0;
    bool operator==(const TextPlace&) const = default;
    [[nodiscard]] bool operator<(const TextPlace& other) const {
        if (message != other.message) return message < other.message;
        return reasoning != other.reasoning ? reasoning : byte < other.byte;
    }
};

struct MessageText {
    std::unique_ptr<RichText> content, reasoning;
    size_t content_bytes = static_cast<size_t>(-1), reasoning_bytes = static_cast<size_t>(-1);
    MessageState state = MessageState::kWhole;
    uint64_t used = 0;  // frame
};

struct FoundPlace {
    size_t message = 0;
    TextRange range;
};

enum class DialogKind : uint8_t {
    kNone,
    kRename,
    kEdit,
    kExport,
    kImport,
    kErase,
    kOpenModel,
    kSystem
};

struct Dialog {
    DialogKind kind = DialogKind::kNone;
    ChatId chat = {};
    MessageId message = MessageId::kNone;
    ExportFormat format = ExportFormat::kMarkdown;
    ExportWhat what = ExportWhat::kBranch;
};

// The overview of the chat's branches.
struct BranchesViewState {
    struct Key {
        ChatId chat = {};
        MessageId last = MessageId::kNone, leaf = MessageId::kNone;
        size_t size = 0;
        uint64_t version = 0;
        bool operator==(const Key&) const = default;
    };
    bool open = false, opened = false;  // opened: in this frame
    MessageId at = MessageId::kNone;    // where the keyboard stands
    Scroll scroll;
    Key key;  // of the tree that `map` was made of
    BranchMap map;
};

struct ViewState {
    explicit ViewState(FontSet& fonts);

    FontSet& fonts;

    // Conversation.
    Scroll chat_scroll;
    std::map<MessageId, MessageText> texts;
    std::map<MessageId, float> heights;
    float heights_width = 0, heights_scale = 0;
    std::map<MessageId, bool> thinking_open;
    std::optional<TextPlace> select_from, select_to;
    bool selecting = false;
    ChatId shown_chat = {};
    uint64_t frame = 0;

    std::unique_ptr<TextEditor> composer;
    uint64_t composer_version = 0;
    float composer_height = 100;

    // Find in the chat.
    bool find_open = false;
    std::unique_ptr<TextEditor> find_words;
    std::vector<FoundPlace> found;
    std::string found_for;
    size_t found_here = 0;
    bool reveal_found = false;
    MessageId reveal_message = MessageId::kNone;  // to be scrolled to

    // Over the page.
    bool palette_open = false;
    std::unique_ptr<TextEditor> palette_words;
    size_t palette_at = 0;
    Dialog dialog;
    std::unique_ptr<TextEditor> dialog_text;
    bool focus_dialog = false;
    std::optional<std::pair<float, float>> menu_at;  // of the chat's menu
    bool help_open = false;
    BranchesViewState branches;

    // Rail, settings, logs.
    Scroll rail_scroll, settings_scroll, log_scroll, found_scroll, help_scroll;
    std::unique_ptr<TextEditor> search_words;
    bool bin_open = false;
    std::unique_ptr<TextEditor> log_words, command_words;
    bool log_bad_only = false;
    std::string chord_for;  // the command that the next key becomes the shortcut of

    EngineViewState engine;

    uint32_t focus_wanted = 0;  // of the next frame
    bool focus_composer = true, focus_search = false;
    std::string copy_wanted;  // goes to the clipboard at the end of the frame

    [[nodiscard]] bool selection_empty() const {
        return !select_from || !select_to || *select_from == *select_to;
    }
    void clear_selection() { select_from.reset(), select_to.reset(); }
    void open_dialog(DialogKind kind, std::string_view text);
};

}  // namespace millrace
