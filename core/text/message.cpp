#include "core/text/message.h"

#include <array>
#include <utility>

#include "core/base/strings.h"

namespace millrace {
namespace {

Error wrong(std::string_view where, std::string_view wanted, const Json& found) {
    const std::string* text = found.as_string();
    return {ErrorCode::kInvalid, cat(where, " must be ", wanted, ", found ",
                                     text != nullptr ? quote_text(*text) : found.kind_name())};
}

// Null and absent are the same to a client.
const Json* present(const Json& object, std::string_view name) {
    const Json* value = object.find(name);
    return value == nullptr || value->is_null() ? nullptr : value;
}

template <class T, size_t N>
Result<T> read_name(const std::array<std::pair<std::string_view, T>, N>& names, const Json* value,
                    std::string_view where) {
    std::string wanted = "one of";
    for (const auto& [name, meaning] : names) {
        if (value != nullptr && value->is_string() && *value->as_string() == name) return meaning;
        wanted += cat(" ", name);
    }
    return wrong(where, wanted, value == nullptr ? Json() : *value);
}

constexpr std::array<std::pair<std::string_view, Role>, 6> kRoles = {{
    {"system", Role::kSystem},
    {"developer", Role::kDeveloper},
    {"user", Role::kUser},
    {"assistant", Role::kAssistant},
    {"tool", Role::kTool},
    {"latest_reminder", Role::kLatestReminder},
}};

constexpr std::array<std::pair<std::string_view, Task>, 6> kTasks = {{
    {"action", Task::kAction},
    {"query", Task::kQuery},
    {"authority", Task::kAuthority},
    {"domain", Task::kDomain},
    {"read_url", Task::kReadUrl},
    {"title", Task::kTitle},
}};

Result<std::string> read_text(const Json& object, std::string_view name, const std::string& where) {
    const Json* value = present(object, name);
    if (value == nullptr) return std::string();
    if (!value->is_string()) return wrong(cat(where, ".", name), "text", *value);
    return *value->as_string();
}

Result<bool> read_flag(const Json& object, std::string_view name, const std::string& where) {
    const Json* value = present(object, name);
    if (value == nullptr) return false;
    if (!value->is_bool()) return wrong(cat(where, ".", name), "true or false", *value);
    return *value->as_bool();
}

Result<std::string> read_part(const Json& part, const std::string& where) {
    if (!part.is_object()) return wrong(where, "an object with a type", part);
    const Json* type = present(part, "type");
    if (type == nullptr || !type->is_string()) {
        return wrong(where + ".type", "text", type == nullptr ? Json() : *type);
    }
    if (*type->as_string() == "text") return read_text(part, "text", where);
    return cat("[Unsupported ", *type->as_string(), "]");
}

Result<std::string> read_content(const Json& message, const std::string& where) {
    const Json* content = present(message, "content");
    if (content == nullptr) return std::string();
    if (content->is_string()) return *content->as_string();
    if (!content->is_array()) {
        return wrong(where + ".content", "text, null or a list of parts", *content);
    }
    std::string all;
    for (size_t i = 0; i < content->items().size(); ++i) {
        if (i > 0) all += "\n\n";
        all += TRY(read_part(content->items()[i], cat(where, ".content[", i, "]")));
    }
    return all;
}

Result<ToolCall> read_call(const Json& call, const std::string& where) {
    if (!call.is_object()) return wrong(where, "an object with a function", call);
    const Json* function = present(call, "function");
    if (function == nullptr || !function->is_object()) {
        return wrong(where + ".function", "an object with name and arguments",
                     function == nullptr ? Json() : *function);
    }
    ToolCall out;
    out.id = TRY(read_text(call, "id", where));
    if (out.id.empty()) out.id = TRY(read_text(*function, "id", where + ".function"));
    const Json* name = present(*function, "name");
    if (name == nullptr || !name->is_string()) {
        return wrong(where + ".function.name", "text", name == nullptr ? Json() : *name);
    }
    out.name = *name->as_string();
    const Json* arguments = present(*function, "arguments");
    if (arguments == nullptr) {
        out.arguments = "{}";
    } else if (arguments->is_string()) {
        out.arguments = *arguments->as_string();
    } else if (arguments->is_object()) {
        out.arguments = arguments->dump();
    } else {
        return wrong(where + ".function.arguments", "JSON as text, or an object", *arguments);
    }
    return out;
}

Result<std::vector<ToolCall>> read_calls(const Json& message, const std::string& where) {
    std::vector<ToolCall> calls;
    const Json* list = present(message, "tool_calls");
    if (list == nullptr) return calls;
    if (!list->is_array()) return wrong(where + ".tool_calls", "a list", *list);
    for (size_t i = 0; i < list->items().size(); ++i) {
        calls.push_back(TRY(read_call(list->items()[i], cat(where, ".tool_calls[", i, "]"))));
    }
    return calls;
}

Result<Message> read_message(const Json& json, size_t index, size_t count) {
    const std::string where = cat("messages[", index, "]");
    if (!json.is_object()) return wrong(where, "an object with role and content", json);
    Message out;
    out.role = TRY(read_name(kRoles, json.find("role"), where + ".role"));
    out.content = TRY(read_content(json, where));
    out.reasoning = TRY(read_text(json, "reasoning_content", where));
    out.tool_calls = TRY(read_calls(json, where));
    out.tool_call_id = TRY(read_text(json, "tool_call_id", where));
    if (const Json* tools = present(json, "tools")) {
        out.tools = TRY(parse_tools(*tools, where + ".tools"));
    }
    if (const Json* format = present(json, "response_format")) {
        if (!format->is_object()) return wrong(where + ".response_format", "an object", *format);
        if (!format->members().empty()) out.response_format = *format;
    }
    if (const Json* task = present(json, "task")) {
        out.task = TRY(read_name(kTasks, task, where + ".task"));
    }
    out.without_end = TRY(read_flag(json, "wo_eos", where));
    if (TRY(read_flag(json, "prefix", where))) {
        if (out.role != Role::kAssistant || index + 1 != count) {
            return Error{ErrorCode::kInvalid,
                         cat(where,
                             ".prefix may be true only in the last message, and only if its "
                             "role is assistant")};
        }
        out.without_end = true;
    }
    return out;
}

}  // namespace

Result<std::vector<Message>> parse_messages(const Json& list) {
    if (!list.is_array()) return wrong("messages", "a list", list);
    std::vector<Message> out;
    out.reserve(list.items().size());
    for (size_t i = 0; i < list.items().size(); ++i) {
        out.push_back(TRY(read_message(list.items()[i], i, list.items().size())));
    }
    return out;
}

Result<std::vector<Json>> parse_tools(const Json& list, std::string_view where) {
    if (!list.is_array()) return wrong(where, "a list of functions", list);
    std::vector<Json> out;
    for (size_t i = 0; i < list.items().size(); ++i) {
        const std::string at = cat(where, "[", i, "]");
        const Json& tool = list.items()[i];
        if (!tool.is_object()) return wrong(at, "an object with a function", tool);
        const Json* function = present(tool, "function");
        if (function == nullptr || !function->is_object()) {
            return wrong(at + ".function", "an object with a name",
                         function == nullptr ? Json() : *function);
        }
        const Json* name = present(*function, "name");
        if (name == nullptr || !name->is_string()) {
            return wrong(at + ".function.name", "text", name == nullptr ? Json() : *name);
        }
        out.push_back(*function);
    }
    return out;
}

}  // namespace millrace
