#pragma once
// Which token of the model gave which bytes of an answer: for the answers of this session, as far as they are remembered.
//
//   grow(report) ─► tokens that wait for their text ─► bytes of it ─► at(bytes), at_step(request, position)
//
// Ids and text come together (ModelReport::kGrown), but not one for one: a character may need several tokens, what may
// yet become a marker or a stop string is held back, and some tokens give nothing that is shown (</think>, the end). So
// tokens wait until text comes that holds their bytes; where it does not hold them as they are (broken characters became
// U+FFFD), all that wait share it.
// Threads: the window's.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "core/store/chats.h"
#include "ui/model_port.h"

namespace millrace {

struct AnswerToken {
    MessageId message = MessageId::kNone;
    // The step that took it in (StepRecord): request of the engine, position in the sequence.
    uint64_t request = 0;
    int64_t position = 0;
    int64_t index = 0;  // of the answer's tokens, from 0
    bool reasoning = false;
    size_t begin = 0, end = 0;  // bytes of reasoning or content; none: nothing of it is shown
    bool operator==(const AnswerToken&) const = default;
};

class AnswerTokens {
public:
    static constexpr size_t kTokensMax = 1 << 17;    // 1.5 MB; the oldest are forgotten
    static constexpr size_t kWaitingMax = 64 << 10;  // bytes, and tokens, that wait for text

    // How long the answer was before the report.
    struct Before {
        size_t content = 0, reasoning = 0, tokens = 0;
    };
    void grow(MessageId message, const ModelReport& report, const Before& before);
    // Another model is being opened: its steps count from 0 again.
    void clear();

    // The token of one of these bytes. A glyph may stand for bytes of several: then `along`, from 0 at where one begins to
    // read it to 1 at its end, says which.
    [[nodiscard]] std::optional<AnswerToken> at(MessageId message, bool reasoning, size_t begin,
                                                size_t end, float along) const;
    [[nodiscard]] std::optional<AnswerToken> at_step(uint64_t request, int64_t position) const;
    [[nodiscard]] size_t size() const { return size_; }

private:
    struct Piece {
        uint32_t begin = 0, end = 0;
        bool reasoning = false;
    };
    // The tokens of one request, one after the other.
    struct Run {
        MessageId message = MessageId::kNone;
        uint64_t request = 0;
        int64_t position = 0, index = 0;  // of the first
        std::vector<Piece> pieces;
    };
    struct Waiting {
        size_t piece = 0;   // of the last run
        std::string bytes;  // whose text has not come
    };
    void begin_run(MessageId message, const ModelReport& report, const Before& before);
    static void extend(Piece& piece, size_t begin, size_t end, bool reasoning);
    void place(const std::string& text, bool reasoning, size_t at);
    void share(const std::string& text, bool reasoning, size_t at);
    void forget_waiting();
    void forget_oldest();
    [[nodiscard]] static AnswerToken token_of(const Run& run, size_t piece);

    std::deque<Run> runs_;
    std::vector<Waiting> waiting_;  // tokens of the last run
    size_t waiting_bytes_ = 0, size_ = 0;
};

// What a token gave, as a person would write it: whole characters, line breaks and spaces visible, not too long.
[[nodiscard]] std::string token_text(const AnswerToken& token, const std::string& source);

}  // namespace millrace
