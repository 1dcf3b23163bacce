#include "app/json_lines.h"
#include "app/verbs.h"
#include "core/base/utf8.h"
#include "core/text/conversation.h"

namespace millrace {
namespace {

Result<Json> transform(const Tokenizer& tokenizer, const Json& line) {
    const Json* text = line.find("text");
    const Json* ids = line.find("ids");
    Json out;
    if (text != nullptr && ids == nullptr && text->is_string()) {
        out.set("ids", ids_json(TRY(tokenizer.encode(*text->as_string(), Specials::kRecognise))));
        return out;
    }
    if (ids != nullptr && text == nullptr) {
        const std::vector<TokenId> tokens = TRY(parse_ids(*ids, tokenizer.vocab_size()));
        out.set("text", repair_utf8(TRY(tokenizer.decode(tokens))));
        return out;
    }
    return Error{
        ErrorCode::kInvalid,
        cat(quote_text(line.dump()), " is neither {\"text\": \"…\"} nor {\"ids\": [1, 2, 3]}")};
}

}  // namespace

int tokens_verb(const TokensOptions& options, Terminal& terminal) {
    const Result<Tokenizer> tokenizer = Tokenizer::load(options.directory / "tokenizer.json");
    if (!tokenizer.ok()) {
        terminal.error(tokenizer.error().message);
        return kExitFailed;
    }
    return transform_lines(terminal, [&](const Json& line) { return transform(*tokenizer, line); });
}

}  // namespace millrace
