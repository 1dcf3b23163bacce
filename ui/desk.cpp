#include "ui/desk.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "core/base/strings.h"
#include "ui/store_calls.h"

namespace millrace {
namespace {

constexpr std::string_view kSettingsKey = "settings", kDraftKey = "draft", kChatKey = "chat";
// Drafts are kept within a second of the last key.
constexpr double kDraftAfter_s = 0.6, kCountAfter_s = 0.25;

}  // namespace

Desk::Desk(DeskParts parts) : parts_(std::move(parts)), outbox_(parts_.wake) {
    port_ = parts_.make_port([this](ModelReport told) {
        outbox_.post([this, told = std::move(told)] { report(told); });
    });
}

Desk::~Desk() {
    port_.reset();  // no more reports
    outbox_.deliver();
    if (state_.running) save_answer();
    save_due();
    parts_.store_lane.reset();  // what was written is on the disk
}

std::unique_ptr<Desk> Desk::open(DeskParts parts, const Path& model) {
    auto desk = std::unique_ptr<Desk>(new Desk(std::move(parts)));
    Desk& d = *desk;
    if (!d.parts_.store) {
        d.state_.store_failed = true;
        d.state_.store_text = d.parts_.store_text;
        d.log(d.parts_.store_text, true);
        d.open_model(model);
        return desk;
    }
    for (const std::string& notice : d.parts_.store->report().notices) d.tell(notice, true);
    using Begin = std::pair<std::string, std::string>;
    d.ask_store<Begin>(
        "reading the settings",
        [](ChatStore& store) -> Result<Begin> {
            const auto settings = TRY(store.value(kSettingsKey));
            const auto draft = TRY(store.value(kDraftKey));
            return Begin{settings.value_or(""), draft.value_or("")};
        },
        [&d, model](const Begin& begin) {
            d.state_.settings = settings_of(begin.first);
            d.state_.new_draft = begin.second;
            d.state_.new_settings = d.state_.settings.fresh;
            const bool named = !model.empty() || d.state_.settings.model.empty();
            d.open_model(named ? model : Path(d.state_.settings.model));
        });
    d.ask_store<std::optional<std::string>>(
        "reading which chat was open", [](ChatStore& store) { return store.value(kChatKey); },
        [&d](const std::optional<std::string>& chat) {
            if (chat && !chat->empty() && chat->size() < 19) {
                d.open_chat(ChatId{std::strtoll(chat->c_str(), nullptr, 10)});
            }
        });
    d.refresh_chats();
    return desk;
}

bool Desk::tick() {
    bool changed = outbox_.deliver();
    const double now = parts_.now_s();
    const size_t notices = state_.notices.size();
    std::erase_if(state_.notices, [&](const Notice& notice) { return notice.until_s < now; });
    changed = changed || notices != state_.notices.size();
    if (draft_dirty_ && now - draft_since_s_ >= kDraftAfter_s) save_due();
    if (settings_dirty_) save_due();
    if (count_wanted_ && now - count_since_s_ >= kCountAfter_s) count();
    if (state_.running && now - state_.running->saved_s >= 1 && state_.running->tokens > 0) {
        save_answer();
    }
    return changed;
}

double Desk::seconds_until_due() const {
    const double now = parts_.now_s();
    double wait = std::numeric_limits<double>::infinity();
    if (draft_dirty_) wait = std::min(wait, draft_since_s_ + kDraftAfter_s - now);
    if (count_wanted_) wait = std::min(wait, count_since_s_ + kCountAfter_s - now);
    for (const Notice& notice : state_.notices) wait = std::min(wait, notice.until_s - now);
    return std::max(0.0, wait);
}

void Desk::change(const std::function<void(Settings&)>& how) {
    const Settings before = state_.settings;
    how(state_.settings);
    settings_dirty_ = settings_dirty_ || before != state_.settings;
}

void Desk::save_due() {
    if (draft_dirty_) {
        draft_dirty_ = false;
        const std::string text = draft();
        if (state_.chat) {
            write("saving the draft", [id = state_.chat->summary.id, text](ChatStore& store) {
                return store.save_draft(id, text);
            });
        } else {
            write("saving the draft",
                  [text](ChatStore& store) { return store.set_value(kDraftKey, text); });
        }
    }
    if (settings_dirty_) {
        settings_dirty_ = false;
        write("saving the settings", [json = to_json(state_.settings)](ChatStore& store) {
            return store.set_value(kSettingsKey, json);
        });
    }
}

void Desk::refresh_chats() {
    ask_store<std::vector<ChatSummary>>(
        "listing the chats", [](ChatStore& store) { return store.list(ChatStore::Deleted::kNo); },
        [this](std::vector<ChatSummary> chats) {
            state_.chats = std::move(chats);
            if (!state_.chat) return;
            for (const ChatSummary& chat : state_.chats) {
                if (chat.id == state_.chat->summary.id) state_.chat->summary = chat;
            }
        });
    ask_store<std::vector<ChatSummary>>(
        "listing the bin", [](ChatStore& store) { return store.list(ChatStore::Deleted::kOnly); },
        [this](std::vector<ChatSummary> chats) { state_.bin = std::move(chats); });
}

// ── Chats ──

void Desk::leave_chat() {
    save_due();
    state_.prompt.reset();
    ++counts_;  // a count that is still on its way is of another chat
    count_wanted_ = true;
    count_since_s_ = parts_.now_s();
    ++opens_;  // an older `open_chat` that is still on its way is void
}

void Desk::new_chat() {
    leave_chat();
    state_.chat.reset();
    state_.screen = Screen::kChat;
    write("remembering the chat", [](ChatStore& store) { return store.set_value(kChatKey, ""); });
}

void Desk::open_chat(ChatId chat, MessageId at) {
    leave_chat();
    state_.screen = Screen::kChat;
    const uint64_t number = opens_;
    ask_store<ChatTree>(
        "opening the chat", [chat](ChatStore& store) { return store.read(chat); },
        [this, number, at](ChatTree tree) {
            if (number != opens_) return;
            OpenChat open;
            open.summary = std::move(tree.chat);
            open.draft = std::move(tree.draft);
            open.settings = chat_settings_of(tree.settings);
            open.branches = Branches(std::move(tree.messages), tree.leaf);
            if (at != MessageId::kNone) open.branches.show(open.branches.newest_leaf(at));
            state_.chat = std::move(open);
            show_running();
            count_wanted_ = true;
        });
    write("remembering the chat", [chat](ChatStore& store) {
        return store.set_value(kChatKey, std::to_string(static_cast<int64_t>(chat)));
    });
}

void Desk::rename_chat(ChatId chat, std::string_view title) {
    std::string before;
    for (const ChatSummary& known : state_.chats) {
        if (known.id == chat) before = known.title;
    }
    if (before == title || title.empty()) return;
    const auto rename = [this, chat](const std::string& to) {
        write("renaming the chat", [chat, to](ChatStore& store) { return store.rename(chat, to); });
        refresh_chats();
    };
    rename(std::string(title));
    undo_.push_back({"Rename", [rename, before] { rename(before); }});
}

void Desk::pin_chat(ChatId chat, bool pinned) {
    write("pinning the chat", [chat, pinned](ChatStore& store) { return store.pin(chat, pinned); });
    refresh_chats();
    undo_.push_back({pinned ? "Pin" : "Unpin", [this, chat, pinned] {
                         write("pinning the chat", [chat, pinned](ChatStore& store) {
                             return store.pin(chat, !pinned);
                         });
                         refresh_chats();
                     }});
}

void Desk::remove_chat(ChatId chat) {
    if (state_.running && state_.running->chat == chat) stop();
    write("deleting the chat", [chat](ChatStore& store) { return store.remove(chat); });
    const bool open = state_.chat && state_.chat->summary.id == chat;
    if (open) new_chat();
    refresh_chats();
    undo_.push_back({"Delete chat", [this, chat, open] {
                         restore_chat(chat);
                         if (open) open_chat(chat);
                     }});
    tell("The chat is in the bin for 30 days.", false, true);
}

void Desk::restore_chat(ChatId chat) {
    write("restoring the chat", [chat](ChatStore& store) { return store.restore(chat); });
    refresh_chats();
}

void Desk::erase_chat(ChatId chat) {
    write("erasing the chat", [chat](ChatStore& store) { return store.erase_deleted(chat); });
    refresh_chats();
}

const std::string& Desk::draft() const {
    return state_.chat ? state_.chat->draft : state_.new_draft;
}

void Desk::set_draft(std::string_view text) {
    std::string& draft = state_.chat ? state_.chat->draft : state_.new_draft;
    if (draft == text) return;
    draft = text;
    const double now = parts_.now_s();
    // From the first letter on, so that somebody who never pauses is saved as well.
    if (!draft_dirty_) draft_since_s_ = now;
    draft_dirty_ = true;
    count_wanted_ = true;
    count_since_s_ = now;
}

const ChatSettings& Desk::chat_settings() const {
    return state_.chat ? state_.chat->settings : state_.new_settings;
}

void Desk::change_chat(const std::function<void(ChatSettings&)>& how) {
    ChatSettings& settings = state_.chat ? state_.chat->settings : state_.new_settings;
    const ChatSettings before = settings;
    how(settings);
    if (settings == before) return;
    count_wanted_ = true;
    count_since_s_ = parts_.now_s();
    if (!state_.chat) return;
    write("saving the chat's settings",
          [id = state_.chat->summary.id, json = to_json(settings)](ChatStore& store) {
              return store.set_settings(id, json);
          });
}

void Desk::search(std::string_view words) {
    state_.search.open = true;
    state_.search.words = words;
    const uint64_t number = ++searches_;
    if (words.empty()) {
        state_.search.found.clear();
        state_.search.running = false;
        return;
    }
    state_.search.running = true;
    constexpr int64_t kFoundMax = 100;
    ask_store<std::vector<FoundMessage>>(
        "searching",
        [text = std::string(words)](ChatStore& store) { return store.search(text, kFoundMax); },
        [this, number](std::vector<FoundMessage> found) {
            if (number != searches_) return;
            state_.search.found = std::move(found);
            state_.search.running = false;
        });
}

// ── Undo, notices ──

std::string Desk::undo_name() const { return undo_.empty() ? "" : undo_.back().name; }

void Desk::undo() {
    if (undo_.empty()) return;
    const Undo last = std::move(undo_.back());
    undo_.pop_back();
    std::erase_if(state_.notices, [](const Notice& notice) { return notice.undo; });
    last.back();
    tell(cat("Taken back: ", last.name, "."));
}

void Desk::tell(std::string text, bool bad, bool undo) {
    log(text, bad);
    constexpr double kSeconds = 6, kBadSeconds = 20;
    constexpr size_t kNoticesMax = 4;
    // What is said again is not said twice.
    std::erase_if(state_.notices, [&](const Notice& notice) {
        return notice.text == text || (undo && notice.undo);
    });
    state_.notices.push_back(
        {std::move(text), bad, undo, parts_.now_s() + (bad ? kBadSeconds : kSeconds)});
    if (state_.notices.size() > kNoticesMax) state_.notices.erase(state_.notices.begin());
    if (undo_.size() > kUndoMax) undo_.erase(undo_.begin());
}

void Desk::forget_notice(size_t index) {
    if (index < state_.notices.size())
        state_.notices.erase(state_.notices.begin() + static_cast<ptrdiff_t>(index));
}

void Desk::log(std::string text, bool bad) {
    if (state_.log.size() >= AppState::kLogMax) {
        state_.log.erase(state_.log.begin(), state_.log.begin() + AppState::kLogMax / 4);
    }
    state_.log.push_back({parts_.now_s(), bad, std::move(text)});
}

// ── Files ──

Path Desk::export_path(ExportFormat format) const {
    std::string name = state_.chat ? state_.chat->summary.title : "chat";
    for (char& c : name) {
        if (c == '/' || c == '\0' || static_cast<unsigned char>(c) < ' ') c = '-';
    }
    constexpr size_t kNameMax = 80;
    if (name.size() > kNameMax)
        name.resize(kNameMax - incomplete_utf8_tail(std::string_view(name).substr(0, kNameMax)));
    const std::string_view end = format == ExportFormat::kMarkdown ? ".md"
                                 : format == ExportFormat::kHtml   ? ".html"
                                                                   : ".json";
    if (name.empty()) name = "chat";
    Path path = parts_.home / cat(name, end);
    std::error_code ignored;
    for (int i = 2; std::filesystem::exists(path, ignored); ++i) {
        path = parts_.home / cat(name, " ", i, end);
    }
    return path;
}

void Desk::export_chat_to(const Path& path, ExportFormat format, ExportWhat what) {
    if (!state_.chat) return tell("There is no chat to export yet.", true);
    save_due();
    ask_store<Path>(
        "exporting the chat",
        [id = state_.chat->summary.id, path, format, what](ChatStore& store) -> Result<Path> {
            std::error_code ignored;
            if (std::filesystem::exists(path, ignored)) {
                return Error{ErrorCode::kInvalid,
                             cat(path.string(), " is there already; choose another name")};
            }
            const ChatTree tree = TRY(store.read(id));
            TRY(write_file(path, export_chat(tree, format, what)));
            return path;
        },
        [this](const Path& written) { tell(cat("Written: ", written.string())); });
}

void Desk::import_from(const Path& path) {
    using Imported = std::pair<int64_t, std::vector<std::string>>;
    ask_store<Imported>(
        cat("importing ", path.string()),
        [path](ChatStore& store) -> Result<Imported> {
            constexpr uint64_t kFileMax = uint64_t{512} << 20;
            const std::string text = TRY(read_text_file(path, kFileMax));
            const ImportedChats imported = TRY(import_chats(text));
            for (const ChatTree& tree : imported.chats) TRY(store.adopt(tree));
            return Imported{static_cast<int64_t>(imported.chats.size()), imported.notices};
        },
        [this](const Imported& imported) {
            for (const std::string& notice : imported.second) tell(notice);
            tell(cat("Imported ", imported.first, imported.first == 1 ? " chat." : " chats."));
            refresh_chats();
        });
}

// ── Model ──

void Desk::open_model(const Path& directory) {
    state_.model = {.phase = ModelPhase::kOpening, .text = "opening", .facts = {}};
    port_->open(directory);
    change([&](Settings& settings) { settings.model = directory.string(); });
}

}  // namespace millrace
