#pragma once
// What of a prompt is whose: the tokens of the rendered conversation, told apart by the bytes that they begin with. So the
// kinds add up to the prompt exactly, also where a token reaches from one into the next.
//
// For who counts at each key: what stands before the message that changes is not tokenized again.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/text/conversation.h"

namespace millrace {

enum class ContextKind : uint8_t {
    kSystem,    // begin of sentence, effort, instructions
    kHistory,   // questions and answers so far
    kThinking,  // reasoning that is in the prompt; most modes drop that of earlier turns
    kDraft,     // the message that is being written, and the word handed over behind it
};
inline constexpr size_t kContextKinds = 4;

struct ContextCount {
    std::array<int64_t, kContextKinds> tokens{};

    [[nodiscard]] int64_t of(ContextKind kind) const { return tokens[static_cast<size_t>(kind)]; }
    [[nodiscard]] int64_t total() const { return tokens[0] + tokens[1] + tokens[2] + tokens[3]; }
};

// What would be sent: a conversation whose last message is being written, or one whose answer goes on.
struct MeteredPrompt {
    std::span<const Message> messages;
    enum class Last : uint8_t { kSaid, kDraft } last = Last::kSaid;
    std::span<const int32_t> so_far;  // ids of the answer to go on with
};

// One thread at a time. For one conversation: another tokenizer needs another meter.
class PromptMeter {
public:
    [[nodiscard]] Result<ContextCount> measure(const Conversation& conversation,
                                               const MeteredPrompt& prompt,
                                               const RenderOptions& options);
    // The prompt that was measured last.
    [[nodiscard]] std::span<const TokenId> ids() const { return ids_; }

private:
    EncodedText encoded_;
    std::vector<TokenId> ids_;
};

}  // namespace millrace
