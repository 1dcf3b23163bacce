// One reader a program. What each writes was learned from its exports; members that are not named here are not read.

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/strings.h"
#include "core/store/import.h"

namespace millrace {
namespace {

constexpr const char* kToolsNotice = "Calls of tools and what they answered were left out.";

Error invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }

Result<ChatTree> titled(const Json& chat, std::string_view name, const char* made,
                        const char* changed) {
    ChatTree tree;
    tree.chat.title = TRY(text_or_empty(chat, name));
    if (tree.chat.title.empty()) tree.chat.title = "Imported chat";
    tree.chat.created_ms = time_member(chat, made);
    tree.chat.changed_ms = std::max(tree.chat.created_ms, time_member(chat, changed));
    return tree;
}

// `role` of a message; absent and noted: one that we have not.
std::optional<Author> noted_author(std::string_view role, Notices& notices) {
    const auto author = author_of(role);
    if (!author && (role == "tool" || role == "function")) {
        notices.insert(kToolsNotice);
    } else if (!author) {
        notices.insert(cat("Messages by ", quote_text(role, 40), " were left out."));
    }
    return author;
}

template <size_t N>
std::optional<size_t> place_in(const std::array<std::string_view, N>& names,
                               std::string_view name) {
    const auto place = std::find(names.begin(), names.end(), name);
    if (place == names.end()) return std::nullopt;
    return static_cast<size_t>(place - names.begin());
}

// Open WebUI writes what a model thought before its answer, as HTML.
void split_reasoning(StoredMessage& message) {
    constexpr std::string_view kOpen = "<details type=\"reasoning\"", kClose = "</details>",
                               kSummaryEnd = "</summary>";
    const std::string_view all = message.content;
    if (!all.starts_with(kOpen)) return;
    const size_t end = all.find(kClose), head = all.find('>');
    if (end == std::string_view::npos || head > end) return;
    std::string_view inside = all.substr(head + 1, end - head - 1);
    if (const size_t summary = inside.find(kSummaryEnd); summary != std::string_view::npos) {
        inside.remove_prefix(summary + kSummaryEnd.size());
    }
    std::string reasoning;
    while (!inside.empty()) {
        const size_t line_end = std::min(inside.find('\n'), inside.size());
        std::string_view line = inside.substr(0, line_end);
        inside.remove_prefix(std::min(line_end + 1, inside.size()));
        if (line.starts_with("&gt; ")) line.remove_prefix(5);
        if (line.starts_with("> ")) line.remove_prefix(2);
        if (!reasoning.empty()) reasoning += '\n';
        reasoning += line;
    }
    std::string_view rest = all.substr(end + kClose.size());
    while (!rest.empty() && rest.front() == '\n') rest.remove_prefix(1);
    std::string content(rest);
    message.reasoning = std::move(reasoning);
    message.content = std::move(content);
}

Result<ForeignMessage> our_message(const Json& json) {
    ForeignMessage out;
    out.id = id_member(json, "id");
    out.parent = id_member(json, "parent");
    if (out.parent == "0") out.parent.clear();
    if (out.id.empty() || out.id == "0") return invalid("a message has no \"id\"");
    const std::string author_name = TRY(text_or_empty(json, "author"));
    const std::string state_name = TRY(text_or_empty(json, "state"));
    const auto author = place_in(kAuthorNames, author_name);
    const auto state = place_in(kStateNames, state_name);
    if (!author) return invalid(cat("a message is by ", quote_text(author_name)));
    if (!state) return invalid(cat("a message has the state ", quote_text(state_name)));
    StoredMessage& message = out.message;
    message.author = static_cast<Author>(*author);
    message.state = static_cast<MessageState>(*state);
    message.content = TRY(text_or_empty(json, "content"));
    message.reasoning = TRY(text_or_empty(json, "reasoning"));
    message.facts = TRY(text_or_empty(json, "facts"));
    if (const Json* made = json.find("created_ms"); made != nullptr) {
        message.created_ms = made->as_int().value_or(0);
    }
    if (const Json* tokens = json.find("tokens"); tokens != nullptr) {
        for (const Json& token : tokens->items()) {
            const auto number = token.as_int();
            if (!number || *number < std::numeric_limits<int32_t>::min() ||
                *number > std::numeric_limits<int32_t>::max()) {
                return invalid("\"tokens\" holds what is no token");
            }
            message.tokens.push_back(static_cast<int32_t>(*number));
        }
    }
    return out;
}

// What all of a chat's messages hold in parts of one kind or another.
Result<std::string> chatgpt_content(const Json& content, std::string& reasoning, Notices& notices) {
    const std::string named = TRY(text_or_empty(content, "content_type"));
    const std::string_view type = named;
    if (type == "thoughts") {
        if (const Json* thoughts = content.find("thoughts"); thoughts != nullptr) {
            for (const Json& thought : thoughts->items()) {
                reasoning += TRY(text_or_empty(thought, "content"));
                reasoning += '\n';
            }
        }
        return std::string();
    }
    if (type == "text" || type == "multimodal_text" || type.empty()) {
        return content_of(content.find("parts"), notices);
    }
    if (type == "code") {
        notices.insert(kToolsNotice);
        return std::string();
    }
    return text_or_empty(content, "text");
}

Status chatgpt_message(const Json& json, ForeignMessage& out, Notices& notices) {
    const Json* author = json.find("author");
    const std::string role = author == nullptr ? "" : TRY(text_or_empty(*author, "role"));
    out.message.created_ms = time_member(json, "create_time");
    const auto known = noted_author(role, notices);
    const Json* content = json.find("content");
    if (!known || content == nullptr) return {};
    out.message.author = *known;
    out.message.content = TRY(chatgpt_content(*content, out.message.reasoning, notices));
    // Their system messages are empty, as a rule, and so are steps of thinking.
    out.skipped = out.message.content.empty() && out.message.reasoning.empty();
    return {};
}

// LM Studio: the texts of a version, thinking apart.
Status lm_studio_texts(const Json& version, StoredMessage& message, Notices& notices) {
    const auto take = [&](const Json& block) -> Status {
        const Json* style = block.find("style");
        const std::string kind = style == nullptr ? "" : TRY(text_or_empty(*style, "type"));
        std::string& to = kind == "thinking" ? message.reasoning : message.content;
        const std::string text = TRY(content_of(block.find("content"), notices));
        if (!to.empty() && !text.empty()) to += '\n';
        to += text;
        return {};
    };
    const Json* steps = version.find("steps");
    if (steps == nullptr) return take(version);
    for (const Json& step : steps->items()) {
        const std::string type = TRY(text_or_empty(step, "type"));
        if (type == "contentBlock") TRY(take(step));
        if (type.find("ool") != std::string::npos) notices.insert(kToolsNotice);
    }
    return {};
}

}  // namespace

Result<ForeignChat> read_ours(const Json& chat, Notices&) {
    ForeignChat out;
    out.tree.chat.title = TRY(text_or_empty(chat, "title"));
    out.tree.draft = TRY(text_or_empty(chat, "draft"));
    out.tree.settings = TRY(text_or_empty(chat, "settings"));
    const auto number = [&](std::string_view name) {
        const Json* member = chat.find(name);
        return member == nullptr ? 0 : member->as_int().value_or(0);
    };
    out.tree.chat.created_ms = number("created_ms");
    out.tree.chat.changed_ms = number("changed_ms");
    const Json* pinned = chat.find("pinned");
    out.tree.chat.pinned = pinned != nullptr && pinned->as_bool().value_or(false);
    const Json* messages = chat.find("messages");
    if (messages == nullptr || !messages->is_array()) return invalid("it has no \"messages\"");
    for (const Json& json : messages->items()) {
        ForeignMessage message = TRY(our_message(json));
        out.messages.push_back(std::move(message));
    }
    out.leaf = id_member(chat, "leaf");
    out.leaf_or_none = true;
    return out;
}

Result<ForeignChat> read_chatgpt(const Json& chat, Notices& notices) {
    ForeignChat out;
    out.tree = TRY(titled(chat, "title", "create_time", "update_time"));
    for (const auto& [id, node] : chat.find("mapping")->members()) {
        ForeignMessage message;
        message.id = id;
        message.parent = id_member(node, "parent");
        message.skipped = true;
        if (const Json* json = node.find("message"); json != nullptr && json->is_object()) {
            TRY(chatgpt_message(*json, message, notices));
        }
        out.messages.push_back(std::move(message));
    }
    out.by_time = true;  // an object has no order
    out.leaf = id_member(chat, "current_node");
    return out;
}

Result<ForeignChat> read_lm_studio(const Json& chat, Notices& notices) {
    ForeignChat out;
    out.tree = TRY(titled(chat, "name", "createdAt", "userLastMessagedAt"));
    const std::string system = TRY(text_or_empty(chat, "systemPrompt"));
    std::string above;
    const auto add = [&](StoredMessage message, const std::string& id) {
        ForeignMessage one;
        one.id = id;
        one.parent = above;
        one.message = std::move(message);
        out.messages.push_back(std::move(one));
    };
    if (!system.empty()) {
        StoredMessage message;
        message.author = Author::kSystem;
        message.content = system;
        add(std::move(message), "system");
        above = "system";
    }
    const Json::Array& messages = chat.find("messages")->items();
    for (size_t i = 0; i < messages.size(); ++i) {
        const Json* versions = messages[i].find("versions");
        if (versions == nullptr) return invalid(cat("message ", i + 1, " has no \"versions\""));
        const Json* chosen = messages[i].find("currentlySelected");
        const int64_t shown = chosen == nullptr ? 0 : chosen->as_int().value_or(0);
        std::string below = above;
        for (size_t v = 0; v < versions->items().size(); ++v) {
            const Json& version = versions->items()[v];
            const auto author = noted_author(TRY(text_or_empty(version, "role")), notices);
            if (!author) continue;
            StoredMessage message;
            message.author = *author;
            TRY(lm_studio_texts(version, message, notices));
            const std::string id = cat(i, "/", v);
            add(std::move(message), id);
            if (below == above || static_cast<int64_t>(v) == shown) below = id;
        }
        above = below;
    }
    out.leaf = above;
    return out;
}

Result<ForeignChat> read_llama_cpp(const Json& chat, Notices& notices) {
    ForeignChat out;
    const Json& head = *chat.find("conv");
    out.tree = TRY(titled(head, "name", "lastModified", "lastModified"));
    for (const Json& json : chat.find("messages")->items()) {
        ForeignMessage one;
        one.id = id_member(json, "id");
        one.parent = id_member(json, "parent");
        one.message.created_ms = time_member(json, "timestamp");
        if (one.id.empty()) return invalid("a message has no \"id\"");
        const std::string type = TRY(text_or_empty(json, "type"));
        const auto author =
            type == "root" ? std::nullopt : noted_author(TRY(text_or_empty(json, "role")), notices);
        one.skipped = !author;
        if (author) {
            one.message.author = *author;
            one.message.content = TRY(content_of(json.find("content"), notices));
            one.message.reasoning = TRY(text_or_empty(json, "reasoningContent"));
            if (one.message.reasoning.empty()) {
                one.message.reasoning = TRY(text_or_empty(json, "thinking"));
            }
            const Json* extra = json.find("extra");
            if (extra != nullptr && !extra->items().empty()) {
                notices.insert("Images, sounds and files in messages were left out.");
            }
        }
        out.messages.push_back(std::move(one));
    }
    out.by_time = true;
    out.leaf = id_member(head, "currNode");
    return out;
}

Result<ForeignChat> read_open_webui(const Json& entry, Notices& notices) {
    const Json* inner = entry.find("chat");
    const Json& chat = inner != nullptr && inner->is_object() ? *inner : entry;
    ForeignChat out;
    out.tree = TRY(titled(inner == nullptr ? chat : entry, "title", "created_at", "updated_at"));
    const Json* history = chat.find("history");
    const Json* messages = history == nullptr ? nullptr : history->find("messages");
    if (messages == nullptr || !messages->is_object()) {
        return invalid("it has no \"history\" with \"messages\"");
    }
    for (const auto& [id, json] : messages->members()) {
        ForeignMessage one;
        one.id = id;
        one.parent = id_member(json, "parentId");
        one.message.created_ms = time_member(json, "timestamp");
        const auto author = noted_author(TRY(text_or_empty(json, "role")), notices);
        one.skipped = !author;
        if (author) {
            one.message.author = *author;
            one.message.content = TRY(content_of(json.find("content"), notices));
            if (*author == Author::kAssistant) split_reasoning(one.message);
            const Json* files = json.find("files");
            if (files != nullptr && !files->items().empty()) {
                notices.insert("Images, sounds and files in messages were left out.");
            }
        }
        out.messages.push_back(std::move(one));
    }
    out.by_time = true;
    out.leaf = id_member(*history, "currentId");
    return out;
}

Result<ForeignChat> read_plain(const Json& chat, Notices& notices) {
    ForeignChat out;
    out.tree = TRY(titled(chat, "title", "created_at", "updated_at"));
    std::string above;
    const Json::Array& messages = chat.find("messages")->items();
    for (size_t i = 0; i < messages.size(); ++i) {
        const Json& json = messages[i];
        const auto role = TRY(text_member(json, "role"));
        if (!role)
            return invalid(cat("message ", i + 1, " is ", json.kind_name(), " without a \"role\""));
        const auto author = noted_author(*role, notices);
        if (!author) continue;
        ForeignMessage one;
        one.id = cat(i);
        one.parent = above;
        above = one.id;
        one.message.author = *author;
        one.message.content = TRY(content_of(json.find("content"), notices));
        one.message.reasoning = TRY(text_or_empty(json, "reasoning_content"));
        const Json* calls = json.find("tool_calls");
        if (calls != nullptr && !calls->items().empty()) notices.insert(kToolsNotice);
        out.messages.push_back(std::move(one));
    }
    return out;
}

}  // namespace millrace
