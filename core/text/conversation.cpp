#include "core/text/conversation.h"

#include <optional>

#include "core/base/strings.h"
#include "core/text/prompt_constants.h"

namespace millrace {

Conversation::Conversation(std::unique_ptr<const Tokenizer> tokenizer, const EffortTable& efforts,
                           std::vector<TokenId> stop_ids)
    : tokenizer_(std::move(tokenizer)), efforts_(efforts), stop_ids_(std::move(stop_ids)) {}

Result<Conversation> Conversation::open(const Path& checkpoint_dir, const EffortTable& efforts) {
    const Path file = checkpoint_dir / "tokenizer.json";
    auto opened = create(TRY(Tokenizer::load(file)), efforts);
    if (!opened.ok()) return opened.error().in(file.string());
    return opened;
}

Result<Conversation> Conversation::create(Tokenizer tokenizer, const EffortTable& efforts) {
    for (const std::string_view needed :
         {prompt::kBeginOfSentence, prompt::kEndOfSentence, prompt::kUser, prompt::kAssistant,
          prompt::kThink, prompt::kThinkEnd, prompt::kDsml}) {
        if (!tokenizer.find_special(needed)) {
            return Error{ErrorCode::kCorrupt,
                         cat("added_tokens lacks ", quote_text(needed),
                             ", which a DeepSeek-V4 chat needs; take tokenizer.json from the "
                             "model's own checkpoint")};
        }
    }
    std::vector<TokenId> stop_ids;
    for (const std::string_view stop :
         {prompt::kEndOfSentence, prompt::kBeginOfSentence, prompt::kUser, prompt::kEndOfTurn,
          prompt::kLatestReminder}) {
        if (const std::optional<TokenId> id = tokenizer.find_special(stop)) stop_ids.push_back(*id);
    }
    return Conversation(std::make_unique<const Tokenizer>(std::move(tokenizer)), efforts,
                        std::move(stop_ids));
}

Result<Prompt> Conversation::render(std::span<const Message> messages,
                                    const RenderOptions& options) const {
    const RenderedChat chat = TRY(render_chat(messages, options, efforts_));
    // Not inside the braces: GCC 12 forgets what was built there when TRY returns.
    std::vector<TokenId> ids = TRY(tokenizer_->encode(chat.text));
    return Prompt{chat.text.text(), std::move(ids), chat.start};
}

Result<Prompt> Conversation::render(const Json& request) const {
    const ChatRequest parsed = TRY(ChatRequest::parse(request));
    return render(parsed.messages, parsed.options);
}

Result<StreamFilter> Conversation::make_stream(StreamStart start,
                                               std::vector<std::string> stop_strings) const {
    return StreamFilter::create(*tokenizer_, {start, std::move(stop_strings)});
}

}  // namespace millrace
