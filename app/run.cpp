#include <unistd.h>

#include "app/archive.h"
#include "app/composition.h"
#include "app/json_lines.h"
#include "app/prefill_progress.h"
#include "app/verbs.h"
#include "core/base/machine.h"
#include "core/base/utf8.h"
#include "core/talk/answer_stream.h"

namespace millrace {
namespace {

// What of an answer goes where. Text: the answer to standard output, the rest to standard error. JSON: events.
class Writer {
public:
    Writer(bool json, Terminal& terminal)
        : json_(json), terminal_(terminal), out_(1, "standard output"), err_(2, "standard error") {}

    void prefill(const Event& event) {
        if (!json_) return;
        Json line;
        line.set("type", "prefill");
        line.set("done", event.prefill_done);
        line.set("total", event.prefill_total);
        emit(line);
    }

    void part(const StreamPart& part) {
        switch (part.kind) {
            case StreamPart::Kind::kAnswer: answer(part.text); break;
            case StreamPart::Kind::kReasoning: reasoning(part.text); break;
            case StreamPart::Kind::kToolCall: call(part.call); break;
        }
    }

    // The last line. A text ends in a newline, whatever the model wrote.
    void finished(const Json& line) {
        if (json_) return emit(line);
        end_reasoning();
        if (!ends_line_) terminal_.text("\n");
    }
    void failed(const Error& error) {
        if (!json_) return;
        Json line;
        line.set("type", "failed");
        line.set("error", error.message);
        emit(line);
    }

    // Whether all could be written.
    [[nodiscard]] Status flush() {
        TRY(out_.flush());
        return terminal_.flush();
    }

private:
    void emit(const Json& line) {
        out_.write(line.dump());
        out_.write("\n");
        static_cast<void>(out_.flush());  // a failure stays in `out_`
    }
    void answer(const std::string& text) {
        if (json_) return emit_text("answer", text);
        end_reasoning();
        terminal_.text(text);
        ends_line_ = text.ends_with('\n');
    }
    void reasoning(const std::string& text) {
        if (json_) return emit_text("reasoning", text);
        in_reasoning_ = true;
        aside(text);
    }
    void call(const ToolCall& call) {
        if (!json_) return aside(cat("[tool call] ", call.name, " ", call.arguments, "\n"));
        Json line;
        line.set("type", "tool_call");
        line.set("id", call.id);
        line.set("name", call.name);
        line.set("arguments", call.arguments);
        emit(line);
    }
    void emit_text(const char* type, const std::string& text) {
        Json line;
        line.set("type", type);
        line.set("text", text);
        emit(line);
    }
    void end_reasoning() {
        if (in_reasoning_) aside("\n\n");
        in_reasoning_ = false;
    }
    void aside(std::string_view text) {
        terminal_.clear_progress();
        err_.write(without_controls(text));
        static_cast<void>(err_.flush());  // standard error is nobody's result
    }

    bool json_;
    Terminal& terminal_;
    Output out_, err_;
    bool in_reasoning_ = false;
    bool ends_line_ = false;
};

std::string_view reason_name(FinishReason reason, const Message& message) {
    switch (reason) {
        case FinishReason::kStop: return message.tool_calls.empty() ? "stop" : "tool_calls";
        case FinishReason::kLength: return "length";
        case FinishReason::kContext: return "context";
        case FinishReason::kCancelled: break;
    }
    return "cancelled";
}

// The plan counts everything at its longest; the rest is the whole process as it is now.
Json memory_json(const MemoryPlan& plan, const ResidentMemory& now) {
    Json out;
    out.set("plan_bytes", plan.total_bytes());
    out.set("resident_bytes", now.total_bytes);
    out.set("own_bytes", now.own_bytes);
    out.set("mapped_bytes", now.mapped_bytes);
    out.set("huge_bytes", now.huge_bytes);
    return out;
}

Json stats_json(const AnswerStats& stats, const MemoryPlan& plan) {
    Json out;
    out.set("prompt_tokens", stats.prompt_tokens);
    out.set("reused_tokens", stats.reused_tokens);
    out.set("archived_tokens", stats.archived_tokens);
    out.set("generated_tokens", stats.generated_tokens);
    out.set("prefill_ns", stats.prefill_ns);
    out.set("decode_ns", stats.decode_ns);
    out.set("expert_hits", stats.expert_hits);
    out.set("expert_misses", stats.expert_misses);
    out.set("drive_bytes", stats.drive_bytes);
    out.set("expert_wait_ns", stats.expert_wait_ns);
    out.set("drive_busy_ns", stats.drive_busy_ns);
    out.set("lost_gpu", stats.lost_gpu);
    out.set("memory", memory_json(plan, resident_memory()));
    return out;
}

Json finished_json(const AnswerStream& answer, const Prompt& prompt, const Event& last,
                   uint64_t seed, const MemoryPlan& plan) {
    const Message& message = answer.message();
    Json::Array calls;
    for (const ToolCall& call : message.tool_calls) {
        Json item;
        item.set("id", call.id);
        item.set("name", call.name);
        item.set("arguments", call.arguments);
        calls.push_back(std::move(item));
    }
    Json out;
    out.set("type", "finished");
    out.set("reason", reason_name(last.reason, message));
    out.set("answer", message.content);
    out.set("reasoning", message.reasoning);
    out.set("tool_calls", std::move(calls));
    out.set("prompt_ids", ids_json(prompt.ids));
    out.set("ids", ids_json(answer.ids()));
    out.set("seed", seed);
    out.set("stats", stats_json(last.stats, plan));
    return out;
}

Result<std::string> read_all_input() {
    LineReader in(0, "standard input");
    std::string text, line;
    while (TRY(in.next(line)) == LineReader::Next::kLine) {
        text += line;
        text += '\n';
        if (text.size() > LineReader::kLineMax) {
            return Error{ErrorCode::kInvalid,
                         cat("standard input holds more than ", human_bytes(LineReader::kLineMax))};
        }
    }
    return text;
}

Result<Prompt> prompt_of(const RunOptions& options, const Conversation& conversation) {
    const RenderOptions thinking = TRY(thinking_options(conversation, options.answer.think));
    if (options.messages) {
        const std::string text = *options.messages == "-" ? TRY(read_all_input())
                                     : TRY(read_text_file(*options.messages, LineReader::kLineMax));
                                     const auto render = [&]() -> Result<Prompt> {
                                         Json request = TRY(Json::parse(text));
                                         if (request.is_array()) {
                                             Json object;
                                             object.set("messages", std::move(request));
                                             request = std::move(object);
                                         }
                                         // The file decides; what it leaves open, the flag does.
                                         if (request.is_object() &&
                                             request.find("thinking_mode") == nullptr) {
                                             const bool thinks =
                                                 thinking.mode == ThinkingMode::kThinking;
                                             request.set("thinking_mode",
                                                         thinks ? "thinking" : "chat");
                                             if (thinks &&
                                                 request.find("reasoning_effort") == nullptr) {
                                                 request.set("reasoning_effort", thinking.effort);
                                             }
                                         }
                                         return conversation.render(request);
                                     };
                                     Result<Prompt> prompt = render();
                                     if (!prompt.ok())
                                         return prompt.error().in(options.messages->string());
                                     return prompt;
    }
    std::string text = options.prompt ? *options.prompt : TRY(read_all_input());
    if (!options.prompt && text.ends_with('\n')) text.pop_back();
    if (text.empty()) {
        return Error{ErrorCode::kInvalid,
                     "the prompt is empty; give it as an argument or on standard input"};
    }
    if (first_invalid_utf8(text) != text.size()) {
        return Error{ErrorCode::kInvalid,
                     cat("the prompt is not UTF-8: byte ", first_invalid_utf8(text),
                         " does not belong there; convert it first")};
    }
    std::vector<Message> messages;
    if (!options.answer.system.empty()) {
        messages.push_back({.role = Role::kSystem, .content = options.answer.system});
    }
    messages.push_back({.role = Role::kUser, .content = std::move(text)});
    return conversation.render(messages, thinking);
}

Status answer_prompt(const RunOptions& options, Terminal& terminal, Writer& writer) {
    // The prompt is read and checked before the model is: a typing error should not cost a minute.
    const Conversation conversation =
        TRY(open_conversation(options.model.directory, options.model.effort_table));
    const Prompt prompt = TRY(prompt_of(options, conversation));
    const std::unique_ptr<ArchiveHome> archive = TRY(open_archive(options.archive, terminal));
    const std::unique_ptr<Engine> engine =
        TRY(open_engine(options.model, conversation, archive_of(archive)));
    const uint64_t seed = options.answer.seed.value_or(fresh_seed());
    AnswerStream answer =
        TRY(AnswerStream::start(*engine, conversation, prompt, options.answer, seed));
    PrefillProgress progress(terminal);
    std::vector<StreamPart> parts;
    while (true) {
        const std::optional<Event> event = answer.next(std::chrono::hours(1), parts);
        for (const StreamPart& part : parts) writer.part(part);
        parts.clear();
        TRY(writer.flush());  // nobody can read it: stop
        if (!event) continue;
        if (event->kind == Event::Kind::kPrefill) {
            writer.prefill(*event);
            progress.show(*event);
        } else if (event->kind == Event::Kind::kFinished) {
            tell_notices(archive_of(archive), terminal);
            writer.finished(finished_json(answer, prompt, *event, seed, engine->memory_plan()));
            TRY(writer.flush());
            // JSON has it as its reason; a text that only ends would pass for a whole answer.
            if (options.json || event->reason != FinishReason::kContext) return {};
            return Error{ErrorCode::kCapacity,
                         cat("the context of ", engine->context_max(),
                             " tokens is full and the answer was cut off; raise --context")};
        } else if (event->kind == Event::Kind::kFailed) {
            return *event->error;
        }
    }
}

}  // namespace

int run_verb(const RunOptions& options, Terminal& terminal) {
    Writer writer(options.json, terminal);
    const Status status = answer_prompt(options, terminal, writer);
    if (status.ok()) return 0;
    writer.failed(status.error());
    terminal.error(status.error().message);
    return kExitFailed;
}

}  // namespace millrace
