#pragma once
// Chats from other programs: what their readers share. A reader turns one chat of its format into messages that name each
// other; `plant` makes the tree of it.

#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/store/exchange.h"

namespace millrace {

// Our own format. Its words for Author and MessageState, in their order.
inline constexpr std::string_view kOurFormat = "millrace-chats";
inline constexpr int64_t kOurVersion = 1;
inline constexpr std::array<std::string_view, 3> kAuthorNames{"system", "user", "assistant"};
inline constexpr std::array<std::string_view, 4> kStateNames{"whole", "stopped", "growing",
                                                             "cut_off"};

struct ForeignMessage {
    std::string id, parent;  // empty parent: a first message
    bool skipped = false;    // of no interest, but others hang on it
    StoredMessage message;
};

struct ForeignChat {
    ChatTree tree;  // without messages and leaf
    std::vector<ForeignMessage> messages;
    std::string leaf;           // empty or not there: the last message,
    bool leaf_or_none = false;  // but with this none
    bool by_time = false;       // versions are in the order of time, not of the list
};

// What a format has and we have not, each sentence once.
using Notices = std::set<std::string>;

// Parents before children, else as they came or by time; ids are places from 1. kInvalid: parents in a ring, or an id
// that is there twice.
[[nodiscard]] Result<ChatTree> plant(ForeignChat chat, Notices& notices);

// A member's text; absent: it is not there. kInvalid: it is no string.
[[nodiscard]] Result<std::optional<std::string>> text_member(const Json& object,
                                                             std::string_view name);
// The same, empty when it is missing or null.
[[nodiscard]] Result<std::string> text_or_empty(const Json& object, std::string_view name);
// An id: a string or a whole number; null and -1 are none.
[[nodiscard]] std::string id_member(const Json& object, std::string_view name);
// A time, in seconds (with a fraction) or milliseconds, as its size tells; 0: none.
[[nodiscard]] int64_t time_member(const Json& object, std::string_view name);
// "user", "assistant", "system" and their other names; absent: none of these.
[[nodiscard]] std::optional<Author> author_of(std::string_view role);
// Text, or a list of parts of which the texts are taken and the others named in `notices`.
[[nodiscard]] Result<std::string> content_of(const Json* content, Notices& notices);

// One chat of a format.
[[nodiscard]] Result<ForeignChat> read_ours(const Json& chat, Notices& notices);
[[nodiscard]] Result<ForeignChat> read_chatgpt(const Json& chat, Notices& notices);
[[nodiscard]] Result<ForeignChat> read_lm_studio(const Json& chat, Notices& notices);
[[nodiscard]] Result<ForeignChat> read_llama_cpp(const Json& chat, Notices& notices);
[[nodiscard]] Result<ForeignChat> read_open_webui(const Json& chat, Notices& notices);
[[nodiscard]] Result<ForeignChat> read_plain(const Json& chat, Notices& notices);

}  // namespace millrace
