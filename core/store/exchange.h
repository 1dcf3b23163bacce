#pragma once
// Chats as files: export for reading (Markdown, HTML) and for programs (JSON), import of JSON from common chat programs.
// Pure functions on text; a file from outside is hostile.

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/store/chats.h"

namespace millrace {

enum class ExportFormat : uint8_t { kMarkdown, kHtml, kJson };
// kBranch: from the first message to the leaf that is shown; kAll: every branch (Markdown and HTML name the versions).
enum class ExportWhat : uint8_t { kBranch, kAll };

[[nodiscard]] std::string export_chat(const ChatTree& tree, ExportFormat format, ExportWhat what);

// Ours, ChatGPT's conversations.json, LM Studio's, llama.cpp's web interface, Open WebUI's, and a plain list of
// {role, content}. Several chats a file where the format has them. kInvalid says what was found and which formats are known;
// what a format has and we have not (images, tools) is named in `notices`.
struct ImportedChats {
    std::vector<ChatTree> chats;  // ids are places in the list, from 1; to be appended in order
    std::vector<std::string> notices;
};
[[nodiscard]] Result<ImportedChats> import_chats(std::string_view json);

}  // namespace millrace
