#include "core/store/import.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <span>
#include <unordered_map>
#include <utility>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr size_t kImportBytesMax = size_t{1} << 30;
constexpr size_t kNoticesMax = 20;
constexpr std::string_view kKnown =
    "known are files of Millrace, ChatGPT (conversations.json), LM Studio, llama.cpp's web "
    "interface, Open WebUI, and lists of {\"role\", \"content\"}";

Error invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }

// The parent's place of each message, skipped ones left out; -1: none.
Result<std::vector<ptrdiff_t>> parents_of(const ForeignChat& chat, Notices& notices) {
    std::unordered_map<std::string_view, size_t> places;
    for (size_t i = 0; i < chat.messages.size(); ++i) {
        if (!places.emplace(chat.messages[i].id, i).second) {
            return invalid(cat("the message ", quote_text(chat.messages[i].id), " is there twice"));
        }
    }
    std::vector<ptrdiff_t> direct(chat.messages.size(), -1);
    for (size_t i = 0; i < chat.messages.size(); ++i) {
        const std::string& parent = chat.messages[i].parent;
        if (parent.empty()) continue;
        const auto place = places.find(parent);
        if (place == places.end()) {
            notices.insert("Messages whose predecessor is missing begin branches of their own.");
        } else {
            direct[i] = static_cast<ptrdiff_t>(place->second);
        }
    }
    return direct;
}

// Places in an order in which each parent stands before its children; shorter than the list when there are rings.
std::vector<size_t> order_of(const ForeignChat& chat, const std::vector<ptrdiff_t>& parents) {
    std::vector<std::vector<size_t>> children(parents.size());
    using Key = std::pair<int64_t, size_t>;
    std::priority_queue<Key, std::vector<Key>, std::greater<>> ready;
    const auto key = [&](size_t i) {
        return Key{chat.by_time ? chat.messages[i].message.created_ms : 0, i};
    };
    for (size_t i = 0; i < parents.size(); ++i) {
        if (parents[i] < 0) {
            ready.push(key(i));
        } else {
            children[static_cast<size_t>(parents[i])].push_back(i);
        }
    }
    std::vector<size_t> order;
    while (!ready.empty()) {
        const size_t next = ready.top().second;
        ready.pop();
        order.push_back(next);
        for (const size_t child : children[next]) ready.push(key(child));
    }
    return order;
}

using Reader = Result<ForeignChat> (*)(const Json&, Notices&);

bool has_array(const Json& object, std::string_view name) {
    const Json* member = object.find(name);
    return member != nullptr && member->is_array();
}

bool has_object(const Json& object, std::string_view name) {
    const Json* member = object.find(name);
    return member != nullptr && member->is_object();
}

// Whose chat this is; null: nobody's that we know.
Reader reader_of(const Json& chat) {
    if (has_object(chat, "mapping")) return read_chatgpt;
    if (has_object(chat, "conv") && has_array(chat, "messages")) return read_llama_cpp;
    if (has_object(chat, "chat")) return read_open_webui;
    if (has_object(chat, "history")) return read_open_webui;
    if (!has_array(chat, "messages")) return nullptr;
    const Json::Array& messages = chat.find("messages")->items();
    if (!messages.empty() && has_array(messages.front(), "versions")) return read_lm_studio;
    return read_plain;
}

Status read_list(std::span<const Json> chats, Reader fixed, ImportedChats& out, Notices& notices) {
    for (size_t i = 0; i < chats.size(); ++i) {
        const Reader reader = fixed != nullptr ? fixed : reader_of(chats[i]);
        const std::string where = cat("chat ", i + 1, " of ", chats.size());
        if (reader == nullptr) {
            return invalid(
                cat(where, " is ", chats[i].kind_name(), " of no known format; ", kKnown));
        }
        auto foreign = reader(chats[i], notices);
        if (!foreign.ok()) return foreign.error().in(where);
        auto tree = plant(*std::move(foreign), notices);
        if (!tree.ok()) return tree.error().in(where);
        out.chats.push_back(*std::move(tree));
        out.chats.back().chat.id = ChatId{static_cast<int64_t>(i) + 1};
    }
    return {};
}

Status read_ours_file(const Json& file, ImportedChats& out, Notices& notices) {
    const Json* version = file.find("version");
    const auto number = version == nullptr ? std::nullopt : version->as_int();
    if (!number || *number < 1) return invalid("the file of chats names no version");
    if (*number > kOurVersion) {
        return invalid(cat("the file of chats has version ", *number, ", this Millrace knows ",
                           kOurVersion, "; a newer one reads it"));
    }
    if (!has_array(file, "chats")) return invalid("the file of chats has no list \"chats\"");
    return read_list(file.find("chats")->items(), read_ours, out, notices);
}

Status read_file(const Json& file, ImportedChats& out, Notices& notices) {
    const Json* format = file.find("format");
    if (format != nullptr && format->is_string() && *format->as_string() == kOurFormat) {
        return read_ours_file(file, out, notices);
    }
    if (file.is_object()) {
        const Reader reader = reader_of(file);
        if (reader == nullptr) {
            return invalid(cat("an object without messages was found; ", kKnown));
        }
        return read_list({&file, 1}, reader, out, notices);
    }
    if (!file.is_array()) return invalid(cat(file.kind_name(), " was found; ", kKnown));
    if (file.items().empty()) return invalid(cat("the list is empty; ", kKnown));
    const Json& first = file.items().front();
    if (reader_of(first) == nullptr && first.find("role") != nullptr) {
        Json chat;
        chat.set("messages", file);
        return read_list({&chat, 1}, read_plain, out, notices);
    }
    return read_list(file.items(), nullptr, out, notices);
}

}  // namespace

Result<ChatTree> plant(ForeignChat chat, Notices& notices) {
    const std::vector<ptrdiff_t> parents = TRY(parents_of(chat, notices));
    const std::vector<size_t> order = order_of(chat, parents);
    if (order.size() < chat.messages.size()) {
        return invalid(cat(chat.messages.size() - order.size(),
                           " messages name each other as predecessors in a ring"));
    }
    ChatTree tree = std::move(chat.tree);
    // The message that stands for each place: itself, or for a skipped one its parent's.
    std::vector<MessageId> ids(chat.messages.size(), MessageId::kNone);
    for (const size_t place : order) {
        ForeignMessage& foreign = chat.messages[place];
        const MessageId parent =
            parents[place] < 0 ? MessageId::kNone : ids[static_cast<size_t>(parents[place])];
        if (foreign.skipped) {
            ids[place] = parent;
        } else {
            StoredMessage message = std::move(foreign.message);
            message.parent = parent;
            message.id = ids[place] = MessageId{static_cast<int64_t>(tree.messages.size()) + 1};
            tree.messages.push_back(std::move(message));
        }
        if (foreign.id != chat.leaf) continue;
        tree.leaf = ids[place];
        chat.leaf_or_none = true;  // found
    }
    if (!chat.leaf_or_none && !tree.messages.empty()) tree.leaf = tree.messages.back().id;
    tree.chat.messages = static_cast<int64_t>(tree.messages.size());
    return tree;
}

Result<std::optional<std::string>> text_member(const Json& object, std::string_view name) {
    const Json* member = object.find(name);
    if (member == nullptr || member->is_null()) return std::optional<std::string>();
    if (!member->is_string()) {
        return invalid(cat("\"", name, "\" is ", member->kind_name(), " and should be a string"));
    }
    return std::optional<std::string>(*member->as_string());
}

Result<std::string> text_or_empty(const Json& object, std::string_view name) {
    return TRY(text_member(object, name))
    .value_or("");
}

std::string id_member(const Json& object, std::string_view name) {
    const Json* member = object.find(name);
    if (member == nullptr) return {};
    if (member->is_string()) return *member->as_string();
    const auto number = member->as_int();
    return number && *number >= 0 ? std::to_string(*number) : std::string();
}

int64_t time_member(const Json& object, std::string_view name) {
    const Json* member = object.find(name);
    const auto number = member == nullptr ? std::nullopt : member->as_double();
    constexpr double kLastSecond = 1e11;  // about the year 5138; as milliseconds, March of 1973
    if (!number || !std::isfinite(*number) || *number <= 0 || *number > kLastSecond * 1000)
        return 0;
    return static_cast<int64_t>(*number < kLastSecond ? *number * 1000 : *number);
}

std::optional<Author> author_of(std::string_view role) {
    if (role == "user" || role == "human") return Author::kUser;
    if (role == "assistant" || role == "model") return Author::kAssistant;
    if (role == "system" || role == "developer") return Author::kSystem;
    return std::nullopt;
}

Result<std::string> content_of(const Json* content, Notices& notices) {
    if (content == nullptr || content->is_null()) return std::string();
    if (content->is_string()) return *content->as_string();
    if (!content->is_array()) {
        return invalid(cat("the content of a message is ", content->kind_name(),
                           " and should be a string or a list"));
    }
    std::string text;
    for (const Json& part : content->items()) {
        std::string piece;
        if (part.is_string()) {
            piece = *part.as_string();
        } else if (auto member = text_member(part, "text"); member.ok() && *member) {
            piece = **std::move(member);
        } else {
            notices.insert("Images, sounds and files in messages were left out.");
            continue;
        }
        if (!text.empty() && !piece.empty()) text += '\n';
        text += piece;
    }
    return text;
}

Result<ImportedChats> import_chats(std::string_view json) {
    if (json.size() > kImportBytesMax) {
        return invalid(cat("the file has ", human_bytes(json.size()), ", at most ",
                           human_bytes(kImportBytesMax),
                           " are read; export fewer chats at a time"));
    }
    if (json.starts_with("\xEF\xBB\xBF")) json.remove_prefix(3);
    auto file = Json::parse(json);
    if (!file.ok()) {
        return invalid(cat("the file is no list of chats: ", file.error().message, "; ", kKnown));
    }
    ImportedChats out;
    Notices notices;
    TRY(read_file(*file, out, notices));
    // A hostile file may name a thousand kinds of things.
    for (const std::string& notice : notices) {
        if (out.notices.size() < kNoticesMax) out.notices.push_back(notice);
    }
    return out;
}

}  // namespace millrace
