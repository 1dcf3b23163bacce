// Questions and answers of desk.h.

#include <algorithm>
#include <utility>

#include "ui/store_calls.h"

namespace millrace {
namespace {

Role role_of(Author author) {
    switch (author) {
        case Author::kSystem: return Role::kSystem;
        case Author::kUser: return Role::kUser;
        case Author::kAssistant: return Role::kAssistant;
    }
    return Role::kUser;
}

// The first words of the first message, cut between two.
std::string title_of(std::string_view text) {
    constexpr size_t kTitleMax = 60;
    std::string title;
    for (const char c : text.substr(0, kTitleMax * 4)) {
        const bool space = c == '\n' || c == '\t' || c == ' ';
        if (space && (title.empty() || title.back() == ' ')) continue;
        title += space ? ' ' : c;
    }
    if (title.size() > kTitleMax) {
        const size_t space = title.rfind(' ', kTitleMax);
        title.resize(space == std::string::npos || space < kTitleMax / 2 ? kTitleMax : space);
        title.resize(title.size() - incomplete_utf8_tail(title));
        title += "…";
    }
    while (!title.empty() && title.back() == ' ') title.pop_back();
    return title.empty() ? "New chat" : title;
}

}  // namespace

void Desk::write(std::string what, std::function<Status(ChatStore&)> change) {
    using Done = std::monostate;
    ask_store<Done>(
        std::move(what),
        [change = std::move(change)](ChatStore& store) -> Result<Done> {
            TRY(change(store));
            return Done{};
        },
        [](Done) {});
}

bool Desk::can_send() const {
    const bool words = draft().find_first_not_of(" \t\n") != std::string::npos;
    return words && !state_.running && state_.model.phase == ModelPhase::kReady;
}

// Makes the chat that the first message belongs to.
void Desk::with_chat(const std::string& title, const std::function<void()>& then) {
    if (state_.chat) return then();
    const ChatSettings settings = state_.new_settings;
    const auto begin = [this, settings, then](ChatId id, const std::string& name) {
        OpenChat open;
        open.summary.id = id;
        open.summary.title = name;
        open.settings = settings;
        state_.chat = std::move(open);
        then();
    };
    if (!parts_.store) return begin(ChatId{0}, title);
    ask_store<ChatId>(
        "beginning a chat",
        [title, json = to_json(settings)](ChatStore& store) -> Result<ChatId> {
            const ChatId id = TRY(store.create(title));
            TRY(store.set_settings(id, json));
            TRY(store.set_value("chat", std::to_string(static_cast<int64_t>(id))));
            return id;
        },
        [begin, title](ChatId id) { begin(id, title); });
}

// `then` gets the message's id once the store has it; without a store, at once.
void Desk::after_append(StoredMessage message, const std::function<void(MessageId)>& then,
                        const std::function<void()>& otherwise) {
    const ChatId chat = state_.chat->summary.id;
    const auto show = [this, chat, then](StoredMessage kept) {
        if (!state_.chat || state_.chat->summary.id != chat) return;
        const MessageId id = kept.id;
        state_.chat->branches.append(std::move(kept));
        then(id);
    };
    if (!parts_.store) {
        message.id = MessageId{static_cast<int64_t>(state_.chat->branches.size()) + 1};
        return show(std::move(message));
    }
    ask_store<StoredMessage>(
        "saving the message",
        [chat, message](ChatStore& store) -> Result<StoredMessage> {
            StoredMessage kept = message;
            kept.id = TRY(store.append(chat, message));
            return kept;
        },
        show, otherwise);
}

void Desk::send() {
    if (!can_send()) return;
    const std::string text = draft();
    with_chat(title_of(text), [this, text] {
        StoredMessage message;
        message.parent = state_.chat->branches.leaf();
        message.author = Author::kUser;
        message.content = text;
        after_append(message, [this, text](MessageId id) {
            // The draft goes only now: what could not be saved is still there to be sent again.
            if (draft() == text) set_draft("");
            if (!state_.new_draft.empty() && state_.new_draft == text) {
                state_.new_draft.clear();
                write("saving the draft",
                      [](ChatStore& store) { return store.set_value("draft", ""); });
            }
            begin_answer(id);
        });
    });
}

void Desk::begin_answer(MessageId question) {
    if (state_.running || state_.model.phase != ModelPhase::kReady) return;
    StoredMessage answer;
    answer.parent = question;
    answer.author = Author::kAssistant;
    answer.state = MessageState::kGrowing;
    const uint64_t seed = parts_.seed();
    answer.facts = cat("{\"seed\":", seed, "}");
    // Taken now, so that nobody asks twice while the store is at work.
    state_.running.emplace();
    state_.running->ask = ++asks_;
    state_.running->chat = state_.chat->summary.id;
    state_.running->began_s = parts_.now_s();
    after_append(
        answer, [this, question, seed](MessageId id) { ask_model(id, question, {}, seed); },
        [this] { state_.running.reset(); });
    refresh_chats();
}

std::vector<Message> Desk::conversation_to(MessageId last) const {
    std::vector<Message> messages;
    const std::string& system = chat_settings().system;
    if (!system.empty()) messages.push_back({.role = Role::kSystem, .content = system});
    if (!state_.chat) return messages;
    std::vector<const StoredMessage*> path;
    for (MessageId id = last; id != MessageId::kNone;) {
        const StoredMessage* message = state_.chat->branches.find(id);
        if (message == nullptr) break;
        path.push_back(message);
        id = message->parent;
    }
    for (auto at = path.rbegin(); at != path.rend(); ++at) {
        messages.push_back({.role = role_of((*at)->author),
                            .content = (*at)->content,
                            .reasoning = (*at)->reasoning});
    }
    return messages;
}

void Desk::ask_model(MessageId answer, MessageId question, std::vector<int32_t> so_far,
                     uint64_t seed) {
    Running& running = state_.running.emplace();
    running.ask = ++asks_;
    running.chat = state_.chat->summary.id;
    running.answer = *state_.chat->branches.find(answer);
    running.began_s = running.saved_s = parts_.now_s();
    Ask ask;
    ask.number = asks_;
    ask.messages = conversation_to(question);
    ask.options.think = chat_settings().think;
    ask.options.tokens_max = chat_settings().tokens_max;
    ask.options.sampling = sampling_of(chat_settings());
    ask.seed = seed;
    ask.so_far = std::move(so_far);
    port_->ask(std::move(ask));
}

void Desk::stop() {
    if (!state_.running) return;
    state_.running->doing = Running::Doing::kStopping;
    port_->stop();
}

bool Desk::can_continue() const {
    if (state_.running || !state_.chat || state_.model.phase != ModelPhase::kReady) return false;
    const StoredMessage* last = state_.chat->branches.find(state_.chat->branches.leaf());
    return last != nullptr && last->author == Author::kAssistant &&
           last->state != MessageState::kWhole;
}

void Desk::continue_answer() {
    if (!can_continue()) return;
    StoredMessage* last = state_.chat->branches.find(state_.chat->branches.leaf());
    last->state = MessageState::kGrowing;
    ask_model(last->id, last->parent, last->tokens, seed_of(*last, 0));
}

void Desk::regenerate(MessageId answer) {
    if (state_.running || !state_.chat) return;
    const StoredMessage* message = state_.chat->branches.find(answer);
    if (message == nullptr || message->author != Author::kAssistant) return;
    begin_answer(message->parent);
}

void Desk::edit(MessageId id, std::string_view text) {
    if (state_.running || !state_.chat) return;
    const StoredMessage* message = state_.chat->branches.find(id);
    if (message == nullptr || message->content == text) return;
    StoredMessage version = *message;
    version.content = text;
    version.reasoning.clear();
    version.tokens.clear();
    version.facts.clear();
    version.state = MessageState::kWhole;
    const bool question = version.author == Author::kUser;
    const MessageId leaf_before = state_.chat->branches.leaf();
    const ChatId chat = state_.chat->summary.id;
    after_append(version, [this, question, chat, leaf_before](MessageId added) {
        undo_.push_back({"Edit", [this, chat, leaf_before] {
                             if (state_.chat && state_.chat->summary.id == chat) {
                                 state_.chat->branches.show(leaf_before);
                             }
                             write("showing the version", [chat, leaf_before](ChatStore& store) {
                                 return store.show_leaf(chat, leaf_before);
                             });
                         }});
        if (question) begin_answer(added);
    });
}

void Desk::show_version(MessageId id) {
    if (!state_.chat || id == MessageId::kNone) return;
    const MessageId leaf = state_.chat->branches.newest_leaf(id);
    state_.chat->branches.show(leaf);
    count_wanted_ = true;
    write("showing the version", [chat = state_.chat->summary.id, leaf](ChatStore& store) {
        return store.show_leaf(chat, leaf);
    });
}

void Desk::remove_message(MessageId id) {
    if (!state_.chat) return;
    if (state_.running) return tell("An answer is being written; stop it first.", true);
    const Branches before = state_.chat->branches;
    state_.chat->branches.remove(id);
    const MessageId leaf = state_.chat->branches.leaf();
    const ChatId chat = state_.chat->summary.id;
    write("deleting the message", [id, chat, leaf](ChatStore& store) -> Status {
        TRY(store.remove_branch(id));
        return store.show_leaf(chat, leaf);
    });
    undo_.push_back({"Delete message", [this, id, chat, before] {
                         if (state_.chat && state_.chat->summary.id == chat)
                             state_.chat->branches = before;
                         write("restoring the message",
                               [id, chat, leaf = before.leaf()](ChatStore& store) -> Status {
                                   TRY(store.restore_branch(id));
                                   return store.show_leaf(chat, leaf);
                               });
                     }});
    tell("Message deleted, with what followed it.", false, true);
}

// ── What the model reports ──

void Desk::report(ModelReport told) {
    switch (told.kind) {
        case ModelReport::Kind::kOpening:
            state_.answer_tokens.clear();
            state_.model = {.phase = ModelPhase::kOpening, .text = told.text, .facts = {}};
            state_.prompt.reset();
            state_.prefill_rate = 0;
            break;
        case ModelReport::Kind::kReady:
            state_.model = {.phase = ModelPhase::kReady, .text = "", .facts = told.facts};
            log(cat("The model is open: ", told.facts->name), false);
            count_wanted_ = true;
            break;
        case ModelReport::Kind::kClosed:
            state_.model = {.phase = ModelPhase::kClosed, .text = told.text, .facts = {}};
            log(told.text, true);
            break;
        case ModelReport::Kind::kCounted:
            if (told.number == counts_) state_.prompt = told.count;
            break;
        default:
            if (!state_.running || told.number != state_.running->ask) break;
            probe_ ? probe_report(told) : answer_report(told);
            break;
    }
}

// It belongs to no chat: no store has one of this number.
bool Desk::probe(Ask ask, Told told) {
    if (state_.running || state_.model.phase != ModelPhase::kReady) return false;
    state_.running.emplace();
    state_.running->ask = ask.number = ++asks_;
    state_.running->chat = static_cast<ChatId>(-1);
    state_.running->began_s = parts_.now_s();
    probe_ = std::move(told);
    port_->ask(std::move(ask));
    return true;
}

void Desk::probe_report(const ModelReport& told) {
    if (told.kind == ModelReport::Kind::kFinished || told.kind == ModelReport::Kind::kFailed) {
        state_.running.reset();
        const Told last = std::exchange(probe_, nullptr);
        last(told);
        return;
    }
    Running& running = *state_.running;
    if (told.kind == ModelReport::Kind::kPrefill) {
        if (running.reading_s == 0) running.reading_s = parts_.now_s();
        running.done = told.done;
        running.total = told.total;
        running.doing = Running::Doing::kReading;
    } else {
        if (running.writing_s == 0) running.writing_s = parts_.now_s();
        running.doing = Running::Doing::kWriting;
    }
    probe_(told);
}

void Desk::answer_report(ModelReport& told) {
    Running& running = *state_.running;
    const double now = parts_.now_s();
    StoredMessage& answer = running.answer;
    state_.answer_tokens.grow(
        answer.id, told, {answer.content.size(), answer.reasoning.size(), answer.tokens.size()});
    answer.content += told.content;
    answer.reasoning += told.reasoning;
    answer.tokens.insert(answer.tokens.end(), told.ids.begin(), told.ids.end());
    show_running();
    running.tokens += static_cast<int64_t>(told.ids.size());
    const bool stopping = running.doing == Running::Doing::kStopping;
    if (told.kind == ModelReport::Kind::kPrefill) {
        if (running.reading_s == 0) {
            running.reading_s = now;
            running.done_at_first = told.done;
        }
        running.done = told.done;
        running.total = told.total;
        if (!stopping) running.doing = Running::Doing::kReading;
    } else if (told.kind == ModelReport::Kind::kGrown) {
        if (running.writing_s == 0) running.writing_s = now;
        if (running.answer_s == 0 && !told.content.empty()) running.answer_s = now;
        if (!stopping) running.doing = Running::Doing::kWriting;
    } else {
        finish_answer(told);
    }
}

void Desk::finish_answer(const ModelReport& told) {
    StoredMessage& answer = state_.running->answer;
    const bool finished = told.kind == ModelReport::Kind::kFinished;
    const bool stopped = !finished || told.reason == FinishReason::kCancelled;
    const bool cut = told.reason == FinishReason::kLength || told.reason == FinishReason::kContext;
    answer.state = stopped ? MessageState::kStopped
                   : cut   ? MessageState::kCutOff
                           : MessageState::kWhole;
    if (finished) {
        const auto& stats = told.stats;
        if (stats.drive_busy_ns > 0) {
            const double rate = static_cast<double>(stats.drive_bytes) * 1e9 /
                                static_cast<double>(stats.drive_busy_ns);
            state_.drive.best = std::max(state_.drive.best, rate);
            ++state_.drive.answers;
        }
        const Running& running = *state_.running;
        const double until = running.answer_s > 0 ? running.answer_s : parts_.now_s();
        const double thought_s = running.writing_s > 0 ? until - running.writing_s : -1;
        // An answer that went on has thought before.
        const double before_s = facts_of(answer).thought_s;
        answer.facts = facts_json(told.stats, seed_of(answer, 0),
                                  before_s > 0 ? before_s + std::max(0.0, thought_s) : thought_s,
                                  state_.model.facts ? state_.model.facts->name : "");
        const double rate = prefill_rate_of(told.stats);
        if (rate > 0) state_.prefill_rate = rate;
    }
    show_running();
    save_answer();
    if (!finished) tell(told.text, true);
    if (finished && told.reason == FinishReason::kContext) {
        tell("The context is full. Begin a new chat, or edit an earlier message to branch off.",
             true);
    }
    state_.running.reset();
    count_wanted_ = true;
    count_since_s_ = parts_.now_s();
    refresh_chats();
}

// The chat that is open shows the answer that grows.
void Desk::show_running() {
    if (!state_.running || !state_.chat || state_.chat->summary.id != state_.running->chat) return;
    const StoredMessage& answer = state_.running->answer;
    if (StoredMessage* shown = state_.chat->branches.find(answer.id)) *shown = answer;
}

void Desk::save_answer() {
    Running& running = *state_.running;
    running.saved_s = parts_.now_s();
    if (running.answer.id == MessageId::kNone) return;  // the store has not named it yet
    write("saving the answer",
          [kept = running.answer](ChatStore& store) { return store.update(kept); });
}

void Desk::count() {
    count_wanted_ = false;
    if (state_.model.phase != ModelPhase::kReady) return;
    const MessageId leaf = state_.chat ? state_.chat->branches.leaf() : MessageId::kNone;
    const StoredMessage* last = state_.chat ? state_.chat->branches.find(leaf) : nullptr;
    state_.prefill_rate_before = rate_of_earlier_answers(leaf);
    CountAsk ask;
    ask.number = ++counts_;
    ask.think = chat_settings().think;
    // What would be sent next: the draft; else an answer that goes on, a question that still waits for one, or a question
    // of which nothing is written yet.
    const bool answered = last == nullptr || last->author == Author::kAssistant;
    const bool unfinished = last != nullptr && last->state != MessageState::kWhole;
    if (draft().empty() && answered && unfinished) {
        ask.messages = conversation_to(last->parent);
        ask.so_far = last->tokens;
    } else {
        ask.messages = conversation_to(leaf);
        if (answered || !draft().empty()) ask.draft = draft();
    }
    if (ask.messages.empty() && draft().empty()) {
        state_.prompt = PromptCount{};
        return;
    }
    port_->count(std::move(ask));
}

double Desk::rate_of_earlier_answers(MessageId leaf) const {
    if (!state_.chat || !state_.model.facts) return 0;
    constexpr int kLookedAt = 16;
    const Branches& branches = state_.chat->branches;
    const StoredMessage* message = branches.find(leaf);
    for (int i = 0; message != nullptr && i < kLookedAt; ++i) {
        const double rate = facts_of(*message).prefill_rate(state_.model.facts->name);
        if (rate > 0) return rate;
        message = branches.find(message->parent);
    }
    return 0;
}

}  // namespace millrace
