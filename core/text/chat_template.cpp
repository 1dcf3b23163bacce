#include "core/text/chat_template.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/base/strings.h"
#include "core/text/prompt_constants.h"

namespace millrace {
namespace {

constexpr EffortTable::Entry kPreviewEfforts[] = {
    {"none", ""}, {"high", ""}, {"max", prompt::kEffortM1}};
constexpr EffortTable::Entry k0731Efforts[] = {
    {"low", ""}, {"high", prompt::kEffortM1}, {"max", prompt::kEffortM2}};

// A part of a user turn: the person's text or what a tool returned.
struct Block {
    const Message* source;
    [[nodiscard]] bool is_result() const { return source->role == Role::kTool; }
};

// What is rendered as one: a message, or a user turn made of several user and tool messages.
struct Turn {
    Role role;
    const Message* message;  // the first one; gives all but the blocks
    std::vector<Block> blocks{};
    std::optional<Task> task{};
    bool reasoning_dropped = false;

    [[nodiscard]] bool user_like() const { return role == Role::kUser || role == Role::kDeveloper; }
};

// A tool's answer joins any user turn before it; a person's text joins one that asked for no task.
std::vector<Turn> merge_turns(std::span<const Message> messages) {
    std::vector<Turn> turns;
    for (const Message& message : messages) {
        const bool tool = message.role == Role::kTool;
        if (!tool && message.role != Role::kUser) {
            turns.push_back({message.role, &message, {}, message.task});
            continue;
        }
        const bool joins =
            !turns.empty() && turns.back().role == Role::kUser && (tool || !turns.back().task);
        if (!joins) {
            turns.push_back({Role::kUser, &message, {}, tool ? std::nullopt : message.task});
        }
        turns.back().blocks.push_back({&message});
    }
    return turns;
}

// Results come in the order in which the assistant made the calls; texts keep their places among
// them.
void sort_results(std::vector<Turn>& turns) {
    std::unordered_map<std::string_view, size_t> order;
    for (Turn& turn : turns) {
        if (turn.role == Role::kAssistant && !turn.message->tool_calls.empty()) {
            order.clear();
            const std::vector<ToolCall>& calls = turn.message->tool_calls;
            for (size_t i = 0; i < calls.size(); ++i) {
                if (!calls[i].id.empty()) order[calls[i].id] = i;
            }
        }
        if (turn.role != Role::kUser || order.empty()) continue;
        // With its position a plain sort is stable. A call nobody made counts as the first.
        struct Placed {
            size_t place, position;
            Block block;
        };
        std::vector<Placed> results;
        for (const Block& block : turn.blocks) {
            if (!block.is_result()) continue;
            const auto at = order.find(block.source->tool_call_id);
            results.push_back({at == order.end() ? 0 : at->second, results.size(), block});
        }
        std::sort(results.begin(), results.end(), [](const Placed& a, const Placed& b) {
            return std::pair{a.place, a.position} < std::pair{b.place, b.position};
        });
        size_t next = 0;
        for (Block& block : turn.blocks) {
            if (block.is_result()) block = results[next++].block;
        }
    }
}

// The index of the last turn of a user or developer, or −1.
ptrdiff_t last_user(const std::vector<Turn>& turns) {
    for (size_t i = turns.size(); i-- > 0;) {
        if (turns[i].user_like()) return static_cast<ptrdiff_t>(i);
    }
    return -1;
}

// Before the last user turn assistants lose their reasoning and developer messages vanish.
void drop_earlier(std::vector<Turn>& turns) {
    const ptrdiff_t last = last_user(turns);
    std::vector<Turn> kept;
    for (size_t i = 0; i < turns.size(); ++i) {
        const bool earlier = static_cast<ptrdiff_t>(i) < last;
        if (earlier && turns[i].role == Role::kDeveloper) continue;
        if (earlier && turns[i].role == Role::kAssistant) turns[i].reasoning_dropped = true;
        kept.push_back(std::move(turns[i]));
    }
    turns = std::move(kept);
}

std::string_view task_token(Task task) {
    switch (task) {
        case Task::kAction: return "<｜action｜>";
        case Task::kQuery: return "<｜query｜>";
        case Task::kAuthority: return "<｜authority｜>";
        case Task::kDomain: return "<｜domain｜>";
        case Task::kReadUrl: return "<｜read_url｜>";
        case Task::kTitle: return "<｜title｜>";
    }
    return "";
}

class Renderer {
public:
    Renderer(std::span<const Message> messages, std::vector<Turn> turns, ThinkingMode mode,
             bool drop)
        : messages_(messages),
          turns_(std::move(turns)),
          thinking_(mode == ThinkingMode::kThinking),
          drop_(drop),
          last_user_(last_user(turns_)) {}

    RenderedChat render(std::string_view effort_prefix) {
        part(ChatPart::Kind::kInstructions, messages_.data());
        ours(prompt::kBeginOfSentence);
        if (thinking_ && !turns_.empty()) ours(effort_prefix);
        for (size_t i = 0; i < turns_.size(); ++i) {
            turn(i);
            transition(i);
        }
        return std::move(out_);
    }

private:
    void ours(std::string_view text) { out_.text.add_template(text); }
    void theirs(std::string_view text) { out_.text.add_content(text); }
    void part(ChatPart::Kind kind, const Message* message) {
        out_.parts.push_back({.begin = out_.text.text().size(),
                              .kind = kind,
                              .message = static_cast<size_t>(message - messages_.data())});
    }

    void turn(size_t i) {
        const Turn& turn = turns_[i];
        const bool instructs = turn.role == Role::kSystem || turn.role == Role::kDeveloper;
        part(instructs ? ChatPart::Kind::kInstructions : ChatPart::Kind::kTurn, turn.message);
        switch (turn.role) {
            case Role::kDeveloper: ours(prompt::kUser); [[fallthrough]];
            case Role::kSystem:
                theirs(turn.message->content);
                instructions(*turn.message);
                break;
            case Role::kLatestReminder:
                ours(prompt::kLatestReminder);
                theirs(turn.message->content);
                break;
            case Role::kAssistant: assistant(i); break;
            case Role::kUser:
            case Role::kTool: blocks(turn); break;
        }
    }

    void instructions(const Message& message) {
        if (!message.tools.empty()) {
            ours("\n\n");
            ours(prompt::kToolsHead);
            for (size_t k = 0; k < message.tools.size(); ++k) {
                if (k > 0) ours("\n");
                theirs(message.tools[k].dump_python());
            }
            ours(prompt::kToolsTail);
        }
        if (message.response_format) {
            ours("\n\n");
            ours(prompt::kResponseFormatHead);
            theirs(message.response_format->dump_python());
        }
    }

    void blocks(const Turn& turn) {
        ours(prompt::kUser);
        std::string_view between;
        for (const Block& block : turn.blocks) {
            part(ChatPart::Kind::kTurn, block.source);
            ours(between);
            between = "\n\n";
            if (block.is_result()) ours("<tool_result>");
            theirs(block.source->content);
            if (block.is_result()) ours("</tool_result>");
        }
    }

    void assistant(size_t i) {
        const Message& message = *turns_[i].message;
        // What follows a task token is a bare answer, never reasoning.
        const bool after_task = i > 0 && turns_[i - 1].task.has_value();
        const bool with_reasoning = !drop_ || static_cast<ptrdiff_t>(i) > last_user_;
        if (thinking_ && !after_task && with_reasoning) {
            const bool reasons = !turns_[i].reasoning_dropped && !message.reasoning.empty();
            if (reasons) part(ChatPart::Kind::kReasoning, &message);
            if (reasons) theirs(message.reasoning);
            ours(prompt::kThinkEnd);
            if (reasons) part(ChatPart::Kind::kTurn, &message);
        }
        theirs(message.content);
        if (!message.tool_calls.empty()) {
            ours("\n\n<｜DSML｜tool_calls>\n");
            for (const ToolCall& call : message.tool_calls) tool_call(call);
            ours("</｜DSML｜tool_calls>");
        }
        if (!message.without_end) ours(prompt::kEndOfSentence);
        out_.start = StreamStart::kAnswer;
    }

    void tool_call(const ToolCall& call) {
        ours("<｜DSML｜invoke name=\"");
        theirs(call.name);
        ours("\">\n");
        Json arguments;
        if (auto parsed = Json::parse(call.arguments); parsed.ok() && parsed->is_object()) {
            arguments = *std::move(parsed);
        } else {
            arguments.set("arguments", Json(call.arguments));
        }
        std::string_view between;
        for (const auto& [name, value] : arguments.members()) {
            ours(between);
            between = "\n";
            ours("<｜DSML｜parameter name=\"");
            theirs(name);
            const std::string* text = value.as_string();
            ours(text != nullptr ? "\" string=\"true\">" : "\" string=\"false\">");
            theirs(text != nullptr ? *text : value.dump_python());
            ours("</｜DSML｜parameter>");
        }
        ours("\n</｜DSML｜invoke>\n");
    }

    // The tokens that hand the word to the assistant.
    void transition(size_t i) {
        const Turn& turn = turns_[i];
        const bool last = i + 1 == turns_.size();
        if (!last && turns_[i + 1].role != Role::kAssistant &&
            turns_[i + 1].role != Role::kLatestReminder) {
            return;
        }
        if (turn.task) {
            if (*turn.task == Task::kAction) {
                ours(prompt::kAssistant);
                ours(thinking_ ? prompt::kThink : prompt::kThinkEnd);
            }
            ours(task_token(*turn.task));
            out_.start = StreamStart::kAnswer;
        } else if (turn.user_like()) {
            const bool thinks = thinking_ && (!drop_ || static_cast<ptrdiff_t>(i) >= last_user_);
            ours(prompt::kAssistant);
            ours(thinks ? prompt::kThink : prompt::kThinkEnd);
            out_.start = thinks ? StreamStart::kReasoning : StreamStart::kAnswer;
        }
    }

    std::span<const Message> messages_;
    std::vector<Turn> turns_;
    bool thinking_, drop_;
    ptrdiff_t last_user_;
    RenderedChat out_;
};

}  // namespace

EffortTable EffortTable::preview() { return {"preview", kPreviewEfforts}; }
EffortTable EffortTable::v0731() { return {"0731", k0731Efforts}; }

Result<EffortTable> EffortTable::named(std::string_view name) {
    for (const EffortTable& table : {preview(), v0731()}) {
        if (table.name() == name) return table;
    }
    return Error{ErrorCode::kInvalid,
                 cat("there is no effort table ", quote_text(name), "; take preview or 0731")};
}

Result<std::string_view> EffortTable::prefix(std::string_view effort) const {
    if (effort.empty()) return std::string_view();
    std::string known;
    for (const Entry& entry : entries_) {
        if (entry.effort == effort) return entry.prefix;
        known += cat(known.empty() ? "" : ", ", entry.effort);
    }
    return Error{ErrorCode::kInvalid, cat("reasoning_effort ", quote_text(effort),
                                          " is unknown to the ", name_, " release; take ", known)};
}

Result<RenderedChat> render_chat(std::span<const Message> messages, const RenderOptions& options,
                                 const EffortTable& efforts) {
    const std::string_view effort_prefix = TRY(efforts.prefix(options.effort));
    std::vector<Turn> turns = merge_turns(messages);
    sort_results(turns);
    const bool tools = std::any_of(messages.begin(), messages.end(),
                                   [](const Message& m) { return !m.tools.empty(); });
    const bool drop = options.earlier == EarlierReasoning::kDrop && !tools;
    if (drop && options.mode == ThinkingMode::kThinking) drop_earlier(turns);
    return Renderer(messages, std::move(turns), options.mode, drop).render(effort_prefix);
}

Result<ChatRequest> ChatRequest::parse(const Json& request) {
    ChatRequest out;
    if (request.is_array()) {
        out.messages = TRY(parse_messages(request));
        return out;
    }
    const auto invalid = [](std::string sentence) {
        return Error{ErrorCode::kInvalid, std::move(sentence)};
    };
    const Json* messages = request.find("messages");
    if (messages == nullptr) {
        return invalid(
            cat("the request must be an object with a list of messages, found ",
                request.is_object() ? "an object without \"messages\"" : request.kind_name()));
    }
    out.messages = TRY(parse_messages(*messages));
    if (const Json* tools = request.find("tools"); tools != nullptr && !tools->is_null()) {
        std::vector<Json> functions = TRY(parse_tools(*tools, "tools"));
        const bool leads = !out.messages.empty() && (out.messages[0].role == Role::kSystem ||
                                                     out.messages[0].role == Role::kDeveloper);
        if (!leads && !functions.empty()) {
            out.messages.insert(out.messages.begin(), Message{.role = Role::kSystem});
        }
        if (!functions.empty()) {
            if (!out.messages[0].tools.empty()) {
                return invalid(
                    "tools are given both beside the messages and in the first message; "
                    "keep one of the two");
            }
            out.messages[0].tools = std::move(functions);
        }
    }
    if (const Json* mode = request.find("thinking_mode"); mode != nullptr && !mode->is_null()) {
        const std::string* name = mode->as_string();
        if (name == nullptr || (*name != "chat" && *name != "thinking")) {
            return invalid(cat("thinking_mode must be \"chat\" or \"thinking\", found ",
                               name != nullptr ? quote_text(*name) : mode->kind_name()));
        }
        out.options.mode = *name == "chat" ? ThinkingMode::kChat : ThinkingMode::kThinking;
    }
    if (const Json* effort = request.find("reasoning_effort"); effort && !effort->is_null()) {
        if (!effort->is_string()) {
            return invalid(cat("reasoning_effort must be text, found ", effort->kind_name()));
        }
        out.options.effort = *effort->as_string();
    }
    if (const Json* drop = request.find("drop_thinking"); drop && !drop->is_null()) {
        if (!drop->is_bool()) {
            return invalid(cat("drop_thinking must be true or false, found ", drop->kind_name()));
        }
        out.options.earlier = *drop->as_bool() ? EarlierReasoning::kDrop : EarlierReasoning::kKeep;
    }
    return out;
}

}  // namespace millrace
