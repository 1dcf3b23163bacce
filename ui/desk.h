#pragma once
// What a person can do, as functions on the state: the one writer of AppState. Views show the state and call these; the
// commands (commands.h) call these; tests call these. Slow work goes to lanes and comes back through the outbox.
// Threads: the window's.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/store/exchange.h"
#include "ui/app_state.h"
#include "ui/lane.h"
#include "ui/model_port.h"

namespace millrace {

// What the desk stands on. Everything outlives it but the port and the lane, which are its own.
struct DeskParts {
    std::unique_ptr<ChatStore> store;  // null: chats cannot be kept, `store_text` says why
    std::string store_text;
    std::unique_ptr<Lane> store_lane;
    std::function<std::unique_ptr<ModelPort>(ModelPort::Listener)> make_port;
    std::function<void()> wake;
    std::function<double()> now_s;  // the window's clock
    std::function<uint64_t()> seed;
    Path home;  // where exports are offered to go
};

class Desk {
public:
    // Reads settings and chats, and opens the model that was open last (or `model`).
    static std::unique_ptr<Desk> open(DeskParts parts, const Path& model);
    ~Desk();
    Desk(const Desk&) = delete;
    Desk& operator=(const Desk&) = delete;

    [[nodiscard]] const AppState& state() const { return state_; }
    // Takes in what came from other threads, saves what is due. True if anything changed.
    bool tick();
    // How long nothing is due.
    [[nodiscard]] double seconds_until_due() const;

    // ── Where one is ──
    void go(Screen screen) { state_.screen = screen; }
    void change(const std::function<void(Settings&)>& how);
    void quit() { state_.quit = true; }

    // ── Chats ──
    void new_chat();
    void open_chat(ChatId chat, MessageId at = MessageId::kNone);
    void rename_chat(ChatId chat, std::string_view title);
    void pin_chat(ChatId chat, bool pinned);
    void remove_chat(ChatId chat);
    void restore_chat(ChatId chat);
    void erase_chat(ChatId chat);  // for good
    void set_draft(std::string_view text);
    [[nodiscard]] const std::string& draft() const;
    void change_chat(const std::function<void(ChatSettings&)>& how);
    [[nodiscard]] const ChatSettings& chat_settings() const;
    void search(std::string_view words);
    void close_search() { state_.search = {}; }

    // ── Messages ──
    [[nodiscard]] bool can_send() const;
    void send();  // the draft
    void stop();
    [[nodiscard]] bool can_continue() const;
    void continue_answer();  // the last one, from its exact token
    void regenerate(MessageId answer);
    void edit(MessageId message,
              std::string_view text);  // a new version beside it; a question is answered anew
    void show_version(MessageId message);
    void remove_message(MessageId message);

    // ── Undo ── of the last thing that can be taken back.
    [[nodiscard]] bool can_undo() const { return !undo_.empty(); }
    [[nodiscard]] std::string undo_name() const;
    void undo();

    // ── Files ──
    [[nodiscard]] Path export_path(ExportFormat format) const;  // what is offered
    void export_chat_to(const Path& path, ExportFormat format, ExportWhat what);
    void import_from(const Path& path);

    // ── Model ──
    void open_model(const Path& directory);
    [[nodiscard]] const LiveFeed* feed() const { return port_->feed(); }
    // A question outside all chats, for measuring: nobody keeps it or its answer. `told` gets its reports, the last one
    // kFinished or kFailed; `stop` stops it. Not while something runs: then false.
    using Told = std::function<void(const ModelReport&)>;
    bool probe(Ask ask, Told told);
    [[nodiscard]] bool probing() const { return probe_ != nullptr; }

    void tell(std::string text, bool bad = false, bool undo = false);
    void forget_notice(size_t index);

private:
    explicit Desk(DeskParts parts);
    struct Undo {
        std::string name;
        std::function<void()> back;
    };
    // On the store's lane; a failure is told, and `otherwise` is called in place of `then`, both on the window's thread.
    template <class T>
    void ask_store(std::string what, std::function<Result<T>(ChatStore&)> question,
                   std::function<void(T)> then, std::function<void()> otherwise = {});
    void write(std::string what, std::function<Status(ChatStore&)> change);
    void refresh_chats();
    void report(ModelReport report);
    void answer_report(ModelReport& report);
    void probe_report(const ModelReport& report);
    void finish_answer(const ModelReport& report);
    void show_running();
    void save_answer();
    void save_due();
    void count();
    [[nodiscard]] double rate_of_earlier_answers(MessageId leaf) const;
    [[nodiscard]] std::vector<Message> conversation_to(MessageId last) const;
    void begin_answer(MessageId question);
    void ask_model(MessageId answer, MessageId question, std::vector<int32_t> so_far,
                   uint64_t seed);
    void after_append(StoredMessage message, const std::function<void(MessageId)>& then,
                      const std::function<void()>& otherwise = {});
    void with_chat(const std::string& title, const std::function<void()>& then);
    void leave_chat();
    void log(std::string text, bool bad);

    DeskParts parts_;
    Outbox outbox_;
    std::unique_ptr<ModelPort> port_;
    AppState state_;
    std::vector<Undo> undo_;
    Told probe_;  // of the probe that runs
    uint64_t asks_ = 0, counts_ = 0, searches_ = 0, opens_ = 0;
    bool draft_dirty_ = false, settings_dirty_ = false, count_wanted_ = false;
    double draft_since_s_ = 0, count_since_s_ = 0;
    static constexpr size_t kUndoMax = 100;
};

}  // namespace millrace
