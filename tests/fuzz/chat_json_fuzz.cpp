// Any bytes as a chat request: either one sentence, or a prompt in which no content became a
// special token.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "core/text/conversation.h"
#include "tests/text/tiny_tokenizer.h"

using namespace millrace;

namespace {

const Tokenizer& tiny_tokenizer() {
    static const Tokenizer tokenizer = [] {
        auto parsed = Tokenizer::parse(test::tiny_tokenizer_json());
        ENSURE(parsed.ok());
        return *std::move(parsed);
    }();
    return tokenizer;
}

ptrdiff_t specials_in(const std::vector<TokenId>& ids) {
    return std::count_if(ids.begin(), ids.end(),
                         [](TokenId id) { return tiny_tokenizer().is_special(id); });
}

void check_sentence(const Error& error) {
    ENSURE(!error.message.empty());
    ENSURE(error.message.find('\n') == std::string::npos);
    ENSURE(first_invalid_utf8(error.message) == error.message.size());
}

void check_prompt(const RenderedChat& chat) {
    const std::string& text = chat.text.text();
    const auto ids = tiny_tokenizer().encode(chat.text);
    ENSURE(ids.ok());
    const auto back = tiny_tokenizer().decode(*ids);
    ENSURE(back.ok());
    ENSURE(*back == text);
    ptrdiff_t ours = 0;
    for (const MarkedText::Range& range : chat.text.template_ranges()) {
        const auto part = tiny_tokenizer().encode(
            std::string_view(text).substr(range.begin, range.end - range.begin),
            Specials::kRecognise);
        ENSURE(part.ok());
        ours += specials_in(*part);
    }
    ENSURE(specials_in(*ids) == ours);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto json = Json::parse({reinterpret_cast<const char*>(data), size});
    if (!json.ok()) return 0;
    const auto request = ChatRequest::parse(*json);
    if (!request.ok()) {
        check_sentence(request.error());
        return 0;
    }
    for (const EffortTable& efforts : {EffortTable::preview(), EffortTable::v0731()}) {
        const auto chat = render_chat(request->messages, request->options, efforts);
        if (chat.ok()) {
            check_prompt(*chat);
        } else {
            check_sentence(chat.error());
        }
    }
    return 0;
}
