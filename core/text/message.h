#pragma once
// The messages of a conversation, as programs hold them and as OpenAI-style JSON spells them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"

namespace millrace {

enum class Role : uint8_t { kSystem, kDeveloper, kUser, kAssistant, kTool, kLatestReminder };

// Small side jobs the model was trained for, asked for by one special token (spec: quick
// instructions).
enum class Task : uint8_t { kAction, kQuery, kAuthority, kDomain, kReadUrl, kTitle };

// A call as the model wrote it or a client sent it.
struct ToolCall {
    std::string id;  // names the call in the answers to it; may be empty
    std::string name;
    std::string arguments;  // JSON, normally an object
};

struct Message {
    Role role = Role::kUser;
    std::string content{};
    std::string reasoning{};                // of an assistant
    std::vector<ToolCall> tool_calls{};     // of an assistant
    std::string tool_call_id{};             // of a tool: the call it answers
    std::vector<Json> tools{};              // of system or developer: what may be called; objects
    std::optional<Json> response_format{};  // of system or developer
    std::optional<Task> task{};
    bool without_end = false;  // of an assistant: leave the turn open, the model goes on writing
};

// A list of messages. Content may be text, null or a list of parts (`{"type": "text", "text": …}`,
// joined by an empty line; other parts become `[Unsupported TYPE]`). Fields nobody renders are
// ignored; a field of the wrong kind is an error that names the message.
[[nodiscard]] Result<std::vector<Message>> parse_messages(const Json& list);

// `{"type": "function", "function": {"name": …}}`, … → the function objects.
[[nodiscard]] Result<std::vector<Json>> parse_tools(const Json& list, std::string_view where);

}  // namespace millrace
