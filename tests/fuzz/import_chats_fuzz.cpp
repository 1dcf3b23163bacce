// Any bytes as a file of chats: either one sentence, or trees whose parents stand before their children, which come back
// equal through our own format.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "core/store/exchange.h"

using namespace millrace;

namespace {

void check_tree(const ChatTree& tree) {
    int64_t next = 1;
    for (const StoredMessage& message : tree.messages) {
        ENSURE(static_cast<int64_t>(message.id) == next);
        ENSURE(message.parent < message.id);
        ++next;
    }
    ENSURE(static_cast<int64_t>(tree.leaf) < next);
    for (const ExportFormat format : {ExportFormat::kMarkdown, ExportFormat::kHtml}) {
        ENSURE(!export_chat(tree, format, ExportWhat::kAll).empty());
        ENSURE(!export_chat(tree, format, ExportWhat::kBranch).empty());
    }
    const std::string ours = export_chat(tree, ExportFormat::kJson, ExportWhat::kAll);
    const auto back = import_chats(ours);
    ENSURE(back.ok());
    ENSURE(back->chats.size() == 1);
    ENSURE(export_chat(back->chats[0], ExportFormat::kJson, ExportWhat::kAll) == ours);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto chats = import_chats({reinterpret_cast<const char*>(data), size});
    if (!chats.ok()) {
        const std::string& message = chats.error().message;
        ENSURE(!message.empty());
        ENSURE(message.find('\n') == std::string::npos);
        ENSURE(first_invalid_utf8(message) == message.size());
        return 0;
    }
    for (const ChatTree& tree : chats->chats) check_tree(tree);
    return 0;
}
