#include <optional>
#include <variant>

#include "app/archive.h"
#include "app/composition.h"
#include "app/drive_watch.h"
#include "app/line_editor.h"
#include "app/loading_notice.h"
#include "app/message_input.h"
#include "app/prefill_progress.h"
#include "app/stats_text.h"
#include "app/verbs.h"
#include "core/base/random.h"
#include "core/base/utf8.h"
#include "core/talk/answer_stream.h"

namespace millrace {
namespace {

// One conversation after the other, with one model.
class Chat {
public:
    Chat(const ChatOptions& options, Terminal& terminal, Signals* signals,
         const Conversation& conversation, Engine& engine, KvArchive* archive)
        : options_(options),
          terminal_(terminal),
          signals_(signals),
          conversation_(conversation),
          engine_(engine),
          archive_(archive),
          seeds_(options.answer.seed.value_or(fresh_seed())),
          system_(options.answer.system) {}

    [[nodiscard]] Status set_thinking(const std::string& think) {
        thinking_ = TRY(thinking_options(conversation_, think));
        think_ = think;
        return {};
    }

    // Until the person leaves. Fails when input or output does.
    [[nodiscard]] Status talk(LineEditor& editor) {
        welcome();
        MessageAssembler assembler;
        while (true) {
            TRY(terminal_.flush());
            const LineEditor::Line line = TRY(editor.read(assembler.open() ? ". " : "> "));
            std::optional<std::string> message;
            if (line.kind == LineEditor::Line::Kind::kInterrupted) {
                assembler.clear();
                if (!terminal_.can_edit()) terminal_.text("\n");
                continue;
            }
            if (line.kind == LineEditor::Line::Kind::kText) {
                message = assembler.add(line.text);
                if (!message) continue;
            } else if (assembler.open()) {
                message = assembler.finish();
            }
            if (message && message->find_first_not_of(" \t\n") != std::string::npos) {
                editor.remember(*message);
                if (!obey(parse_chat_command(*message))) return {};
            }
            if (line.kind == LineEditor::Line::Kind::kEnd) return {};
        }
    }

    // In a pipe: whether every message got its answer.
    [[nodiscard]] bool failed() const { return failed_; }

private:
    void welcome() {
        if (!terminal_.interactive()) return;
        const MemoryPlan& plan = engine_.memory_plan();
        const std::string experts =
            cat(plan.expert_slots, " of ", plan.experts_total, " experts fit into memory (",
                human_bytes(plan.expert_bytes), "); the others stream from the drive.\n");
        if (options_.model.demo) {
            terminal_.text(cat("Millrace ", MILLRACE_VERSION, ", with its demo model.\n"));
            terminal_.dim(
                cat("It is tiny, has the architecture of DeepSeek-V4, and knows only what it "
                    "was trained\non: Millrace itself, questions about a short document, "
                    "stories about a mill.\n",
                    experts,
                    "Try:  What is Millrace?\n"
                    "      How does Millrace use my drive?\n"
                    "      Tell me a story about the mill.\n"));
        } else {
            terminal_.text(
                cat("Millrace ", MILLRACE_VERSION, ": ", options_.model.directory.string(), "\n"));
            terminal_.dim(experts);
        }
        terminal_.dim("/help lists the commands. Ctrl-C stops an answer, Ctrl-D leaves.\n\n");
    }

    // False: leave.
    bool obey(const ChatCommand& command) {
        using Kind = ChatCommand::Kind;
        switch (command.kind) {
            case Kind::kMessage: answer(command.argument); break;
            case Kind::kHelp: terminal_.dim(chat_help()); break;
            case Kind::kQuit: return false;
            case Kind::kNew:
                history_.clear();
                note("A new conversation.");
                break;
            case Kind::kStats:
                terminal_.dim(stats_text(totals_, engine_.expert_stats(), engine_.gpu_stats(),
                                         engine_.memory_plan(), resident_memory(),
                                         engine_.context_max()));
                if (archive_ != nullptr) terminal_.dim(archive_row(archive_->stats()));
                break;
            case Kind::kThink: think(command.argument); break;
            case Kind::kSystem:
                system_ = command.argument;
                note(system_.empty() ? "No system message from now on."
                                     : "The next answers follow that system message.");
                break;
            case Kind::kUnknown:
                complain(cat("there is no command ", quote_text(command.argument),
                             "; /help lists them, and // at the start sends a / to the model"));
                break;
        }
        return true;
    }

    void think(const std::string& argument) {
        if (!argument.empty()) {
            const Status status = set_thinking(argument);
            if (!status.ok()) return complain(status.error().message);
        }
        note(cat("Thinking: ", think_, "."));
    }

    void note(std::string_view text) {
        if (terminal_.interactive()) terminal_.dim(cat(text, "\n"));
    }
    void complain(const std::string& message) {
        failed_ = true;
        terminal_.error(message);
    }

    // The conversation keeps the message only if it got an answer, or a part of one.
    void answer(const std::string& text) {
        if (first_invalid_utf8(text) != text.size()) {
            return complain("the message is not UTF-8 and was not sent; convert it first");
        }
        history_.push_back({.role = Role::kUser, .content = text});
        Result<Message> reply = generate();
        if (!reply.ok()) {
            history_.pop_back();
            return complain(reply.error().message);
        }
        const bool empty =
            reply->content.empty() && reply->reasoning.empty() && reply->tool_calls.empty();
        if (empty) {
            history_.pop_back();
        } else {
            history_.push_back(std::move(*reply));
        }
    }

    Result<Message> generate() {
        std::vector<Message> messages;
        if (!system_.empty()) messages.push_back({.role = Role::kSystem, .content = system_});
        messages.insert(messages.end(), history_.begin(), history_.end());
        const Prompt prompt = TRY(conversation_.render(messages, thinking_));
        AnswerStream stream = TRY(
            AnswerStream::start(engine_, conversation_, prompt, options_.answer, seeds_.next()));
        shown_ = Shown::kNothing;
        at_line_start_ = true;
        PrefillProgress progress(terminal_);
        std::vector<StreamPart> parts;
        while (true) {
            // How soon Ctrl-C is noticed while the model is silent.
            constexpr auto kGlance = std::chrono::milliseconds(50);
            const std::optional<Event> event = stream.next(kGlance, parts);
            for (const StreamPart& part : parts) show(part);
            parts.clear();
            const bool interrupted = signals_ != nullptr && signals_->take().interrupt;
            if (interrupted || !terminal_.flush().ok()) stream.cancel();
            if (!event) continue;
            if (event->kind == Event::Kind::kPrefill) progress.show(*event);
            if (event->kind == Event::Kind::kFailed) {
                end_line();
                return *event->error;
            }
            if (event->kind == Event::Kind::kFinished) {
                finish(*event);
                return stream.message();
            }
        }
    }

    void show(const StreamPart& part) {
        switch (part.kind) {
            case StreamPart::Kind::kReasoning:
                // In a pipe the answers alone are wanted.
                if (terminal_.interactive()) write(part.text, Shown::kReasoning);
                break;
            case StreamPart::Kind::kAnswer: write(part.text, Shown::kAnswer); break;
            case StreamPart::Kind::kToolCall:
                end_line();
                write(cat("[tool call] ", part.call.name, " ", part.call.arguments), Shown::kCall);
                end_line();
                break;
        }
    }

    enum class Shown { kNothing, kReasoning, kAnswer, kCall };

    void write(const std::string& text, Shown what) {
        if (text.empty()) return;
        if (shown_ == Shown::kReasoning && what == Shown::kAnswer) {
            end_line();
            terminal_.text("\n");
        }
        shown_ = what;
        if (what == Shown::kAnswer) {
            terminal_.text(text);
        } else {
            terminal_.dim(text);
        }
        at_line_start_ = text.ends_with('\n');
    }

    void end_line() {
        if (!at_line_start_) terminal_.text("\n");
        at_line_start_ = true;
    }

    void finish(const Event& last) {
        if (shown_ == Shown::kNothing && !terminal_.interactive()) at_line_start_ = false;
        end_line();
        totals_.add(last.stats);
        tell_notices(archive_, terminal_);
        std::string_view why;
        switch (last.reason) {
            case FinishReason::kStop: break;
            case FinishReason::kLength: why = "Cut off by --max-tokens. "; break;
            case FinishReason::kContext:
                why =
                    "The context is full: /new begins another conversation, --context makes room. ";
                break;
            case FinishReason::kCancelled: why = "Stopped. "; break;
        }
        if (terminal_.interactive()) {
            const auto slow = drive_.add(last.stats.drive_bytes, last.stats.drive_busy_ns);
            terminal_.dim(
                cat("[", why, answer_line(last.stats), slow ? cat("; ", *slow) : "", "]\n\n"));
        } else if (last.reason == FinishReason::kContext) {
            complain("the context is full and the answer was cut off; --context makes room");
        }
    }

    const ChatOptions& options_;
    Terminal& terminal_;
    Signals* signals_;
    const Conversation& conversation_;
    Engine& engine_;
    KvArchive* archive_;  // null: none
    Random seeds_;
    std::string system_;
    std::string think_;
    RenderOptions thinking_;
    std::vector<Message> history_;  // without the system message
    ChatTotals totals_;
    DriveWatch drive_;
    Shown shown_ = Shown::kNothing;  // last, of the answer that runs
    bool at_line_start_ = true;
    bool failed_ = false;
};

Status open_and_talk(const ChatOptions& options, Terminal& terminal, bool& failed) {
    // Before any thread is started, so that none of them is interrupted. In a pipe Ctrl-C ends the program.
    std::optional<Signals> signals;
    if (terminal.interactive()) signals.emplace(TRY(Signals::create()));
    Signals* watched = signals ? &*signals : nullptr;
    std::optional<LoadingNotice> notice;
    notice.emplace(terminal, cat("opening ", options.model.directory.string()));
    const Conversation conversation =
        TRY(open_conversation(options.model.directory, options.model.effort_table));
    const std::unique_ptr<ArchiveHome> archive = TRY(open_archive(options.archive, terminal));
    const std::unique_ptr<Engine> engine =
        TRY(open_engine(options.model, conversation, archive_of(archive)));
    notice.reset();
    Chat chat(options, terminal, watched, conversation, *engine, archive_of(archive));
    TRY(chat.set_thinking(options.answer.think));
    const std::unique_ptr<LineEditor> editor = make_line_editor(terminal, watched, options.history);
    TRY(chat.talk(*editor));
    failed = chat.failed() && !terminal.interactive();
    return terminal.flush();
}

}  // namespace

int chat_verb(const ChatOptions& options, Terminal& terminal) {
    bool failed = false;
    const Status status = open_and_talk(options, terminal, failed);
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() && !failed ? 0 : kExitFailed;
}

}  // namespace millrace
