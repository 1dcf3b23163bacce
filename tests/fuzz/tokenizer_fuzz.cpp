// Any bytes as tokenizer.json: either one sentence, or a tokenizer that gives every text back.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "core/text/tokenizer.h"

using namespace millrace;

namespace {

void check_round_trip(const Tokenizer& tokenizer, const std::string& text) {
    for (const Specials specials : {Specials::kPlain, Specials::kRecognise}) {
        const auto ids = tokenizer.encode(text, specials);
        ENSURE(ids.ok());
        const auto back = tokenizer.decode(*ids);
        ENSURE(back.ok());
        ENSURE(*back == text);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto tokenizer = Tokenizer::parse(bytes);
    if (!tokenizer.ok()) {
        const std::string& sentence = tokenizer.error().message;
        ENSURE(!sentence.empty());
        ENSURE(sentence.find('\n') == std::string::npos);
        ENSURE(first_invalid_utf8(sentence) == sentence.size());
        return 0;
    }
    check_round_trip(*tokenizer, repair_utf8(bytes.substr(0, 5000)));
    check_round_trip(*tokenizer,
                     "abc the  \n\n x1234 <think></think> <｜User｜>カタカナ・🙂");
    return 0;
}
