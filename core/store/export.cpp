#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/base/strings.h"
#include "core/base/utf8.h"
#include "core/store/exchange.h"
#include "core/store/import.h"
#include "core/store/utc_time.h"

namespace millrace {
namespace {

std::string_view name_of(Author author) {
    switch (author) {
        case Author::kSystem: return "System";
        case Author::kUser: return "You";
        case Author::kAssistant: return "Answer";
    }
    return "";
}

std::string_view end_of(MessageState state) {
    switch (state) {
        case MessageState::kWhole: return "";
        case MessageState::kStopped: return "stopped";
        case MessageState::kGrowing: return "unfinished";
        case MessageState::kCutOff: return "cut off at a limit";
    }
    return "";
}

// What is exported, with each message's place among the versions of its parent.
struct Exported {
    const StoredMessage* message;
    size_t version = 1, versions = 1;
    size_t number = 0, parent_number = 0;  // places in the export, from 1; 0: none
};

std::vector<Exported> choose(const ChatTree& tree, ExportWhat what) {
    std::map<MessageId, const StoredMessage*> by_id;
    for (const StoredMessage& message : tree.messages) by_id[message.id] = &message;
    std::map<MessageId, bool> shown;
    MessageId id = tree.leaf;
    // A ring cannot come from the store, but a tree is a value that anybody may make.
    for (size_t i = 0; i <= by_id.size() && by_id.contains(id) && !shown[id]; ++i) {
        shown[id] = true;
        id = by_id[id]->parent;
    }
    std::vector<Exported> chosen;
    std::map<MessageId, size_t> numbers;
    std::map<MessageId, size_t> versions;
    for (const StoredMessage& message : tree.messages) {
        if (what == ExportWhat::kBranch && !shown[message.id]) continue;
        Exported one{&message};
        one.version = ++versions[message.parent];
        one.number = numbers[message.id] = chosen.size() + 1;
        const auto parent = numbers.find(message.parent);
        one.parent_number = parent == numbers.end() ? 0 : parent->second;
        chosen.push_back(one);
    }
    for (Exported& one : chosen) one.versions = versions[one.message->parent];
    return chosen;
}

// "Answer 4 (version 2 of 3, to 3; stopped)"
std::string heading(const Exported& one, ExportWhat what) {
    std::string text(name_of(one.message->author));
    std::string remarks;
    if (what == ExportWhat::kAll) {
        append(text, cat(" ", one.number));
        if (one.versions > 1) {
            remarks = cat("version ", one.version, " of ", one.versions);
            if (one.parent_number > 0) append(remarks, cat(", to ", one.parent_number));
        } else if (one.parent_number > 0 && one.parent_number + 1 != one.number) {
            remarks = cat("to ", one.parent_number);
        }
    }
    if (const auto end = end_of(one.message->state); !end.empty()) {
        if (!remarks.empty()) remarks += "; ";
        remarks += end;
    }
    return remarks.empty() ? text : cat(text, " (", remarks, ")");
}

// Calls take(line) for each, without its end.
template <class Take>
void each_line(std::string_view text, Take take) {
    while (true) {
        const size_t end = text.find('\n');
        take(text.substr(0, end));
        if (end == std::string_view::npos) return;
        text.remove_prefix(end + 1);
    }
}

std::string one_line(std::string_view text) {
    std::string line(text);
    for (char& c : line) {
        if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    return line;
}

std::string markdown(const ChatTree& tree, ExportWhat what) {
    std::string out =
        cat("# ", one_line(tree.chat.title), "\n\n", utc_minute(tree.chat.created_ms), "\n");
    for (const Exported& one : choose(tree, what)) {
        append(out, cat("\n---\n\n**", heading(one, what), "**\n\n"));
        if (!one.message->reasoning.empty()) {
            out += "> *Thinking*\n>\n";
            each_line(one.message->reasoning,
                      [&](std::string_view line) { append(out, cat("> ", line, "\n")); });
            out += '\n';
        }
        out += one.message->content;
        out += '\n';
    }
    return out;
}

void append_escaped(std::string& out, std::string_view text) {
    for (const char c : text) {
        switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '"': out += "&quot;"; break;
            case '\'': out += "&#39;"; break;
            case '\n':
            case '\t': out += c; break;
            default:
                // HTML has no place for the other control characters.
                out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
        }
    }
}

// Text as it is, with fenced code as code.
void append_body(std::string& out, std::string_view text) {
    bool code = false;
    std::string piece;
    const auto flush = [&] {
        if (piece.empty()) return;
        piece.pop_back();  // the last line's end
        out += code ? "<pre><code>" : "<div class=\"text\">";
        append_escaped(out, piece);
        out += code ? "</code></pre>\n" : "</div>\n";
        piece.clear();
    };
    each_line(text, [&](std::string_view line) {
        if (line.starts_with("```")) {
            flush();
            code = !code;
        } else {
            append(piece, line);
            piece += '\n';
        }
    });
    flush();
}

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fcfcfa;
  --soft: #f0f0ec; --faint: #6a6a66; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e2; --paper: #17181a; --soft: #232528; --faint: #9a9a94; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: .85rem; color: var(--faint); margin: 0 0 .3rem; }
section { margin: 1.5rem 0; }
section.user { background: var(--soft); border-radius: .6rem; padding: .8rem 1rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
.date, details { color: var(--faint); font-size: .9rem; } details { margin-bottom: .6rem; }
pre { background: var(--soft); border-radius: .4rem; padding: .7rem; overflow-x: auto; }
)";

std::string html(const ChatTree& tree, ExportWhat what) {
    std::string title;
    append_escaped(title, one_line(repair_utf8(tree.chat.title)));
    std::string out =
        cat("<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
            title, "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n<h1 dir=\"auto\">",
            title, "</h1>\n<p class=\"date\">", utc_minute(tree.chat.created_ms), "</p>\n");
    for (const Exported& one : choose(tree, what)) {
        const bool user = one.message->author == Author::kUser;
        append(out, cat("<section", user ? " class=\"user\"" : "", " dir=\"auto\">\n<h2>",
                        heading(one, what), "</h2>\n"));
        if (!one.message->reasoning.empty()) {
            out += "<details><summary>Thinking</summary>\n";
            append_body(out, repair_utf8(one.message->reasoning));
            out += "</details>\n";
        }
        append_body(out, repair_utf8(one.message->content));
        out += "</section>\n";
    }
    return out + "</body>\n</html>\n";
}

Json json_of(const Exported& one) {
    const StoredMessage& message = *one.message;
    Json out;
    out.set("id", one.number);
    out.set("parent", one.parent_number);
    out.set("author", kAuthorNames[static_cast<size_t>(message.author)]);
    out.set("state", kStateNames[static_cast<size_t>(message.state)]);
    out.set("created_ms", message.created_ms);
    out.set("content", repair_utf8(message.content));
    if (!message.reasoning.empty()) out.set("reasoning", repair_utf8(message.reasoning));
    if (!message.tokens.empty()) {
        Json::Array tokens;
        for (const int32_t token : message.tokens) tokens.emplace_back(token);
        out.set("tokens", Json(std::move(tokens)));
    }
    if (!message.facts.empty()) out.set("facts", repair_utf8(message.facts));
    return out;
}

std::string json(const ChatTree& tree, ExportWhat what) {
    Json chat;
    chat.set("title", repair_utf8(tree.chat.title));
    chat.set("created_ms", tree.chat.created_ms);
    chat.set("changed_ms", tree.chat.changed_ms);
    chat.set("pinned", tree.chat.pinned);
    Json::Array messages;
    size_t leaf = 0;
    for (const Exported& one : choose(tree, what)) {
        if (one.message->id == tree.leaf) leaf = one.number;
        messages.push_back(json_of(one));
    }
    chat.set("leaf", leaf);
    chat.set("draft", repair_utf8(tree.draft));
    chat.set("settings", repair_utf8(tree.settings));
    chat.set("messages", Json(std::move(messages)));
    Json::Array chats;
    chats.push_back(std::move(chat));
    Json out;
    out.set("format", kOurFormat);
    out.set("version", kOurVersion);
    out.set("chats", Json(std::move(chats)));
    return out.dump() + "\n";
}

}  // namespace

std::string export_chat(const ChatTree& tree, ExportFormat format, ExportWhat what) {
    switch (format) {
        case ExportFormat::kMarkdown: return markdown(tree, what);
        case ExportFormat::kHtml: return html(tree, what);
        case ExportFormat::kJson: return json(tree, what);
    }
    return {};
}

}  // namespace millrace
