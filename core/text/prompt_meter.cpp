#include "core/text/prompt_meter.h"

#include <algorithm>
#include <optional>

#include "core/text/prompt_constants.h"

namespace millrace {
namespace {

ContextKind kind_of(const ChatPart& part, const MeteredPrompt& prompt) {
    const bool last = part.message + 1 == prompt.messages.size();
    if (part.kind == ChatPart::Kind::kInstructions) return ContextKind::kSystem;
    if (last && prompt.last == MeteredPrompt::Last::kDraft) return ContextKind::kDraft;
    return part.kind == ChatPart::Kind::kReasoning ? ContextKind::kThinking : ContextKind::kHistory;
}

}  // namespace

Result<ContextCount> PromptMeter::measure(const Conversation& conversation,
                                          const MeteredPrompt& prompt,
                                          const RenderOptions& options) {
    RenderedChat chat = TRY(render_chat(prompt.messages, options, conversation.efforts()));
    TRY(conversation.tokenizer().update(encoded_, std::move(chat.text)));
    ids_ = encoded_.ids;
    ContextCount count;
    const auto& begins = encoded_.begins;
    auto first = begins.begin();
    for (size_t i = 0; i < chat.parts.size(); ++i) {
        const bool more = i + 1 < chat.parts.size();
        const auto end =
            more ? std::lower_bound(first, begins.end(), chat.parts[i + 1].begin) : begins.end();
        count.tokens[static_cast<size_t>(kind_of(chat.parts[i], prompt))] += end - first;
        first = end;
    }
    const std::optional<TokenId> thought = conversation.tokenizer().find_special(prompt::kThinkEnd);
    bool thinks = chat.start == StreamStart::kReasoning;
    for (const int32_t id : prompt.so_far) {
        ids_.push_back(TokenId{id});
        const ContextKind kind = thinks ? ContextKind::kThinking : ContextKind::kHistory;
        ++count.tokens[static_cast<size_t>(kind)];
        if (thought && id == thought->value) thinks = false;
    }
    return count;
}

}  // namespace millrace
