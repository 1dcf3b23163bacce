#pragma once
// The model as the desktop sees it: asked for an answer, it reports what comes. The real one is model_host.h; tests have one
// that speaks from a script.
// Threads: calls from the window's thread; reports on a thread of the port's own.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/engine/engine.h"
#include "core/talk/answer_stream.h"
#include "core/text/prompt_meter.h"

namespace millrace {

struct ModelFacts {
    Path directory;
    std::string name;  // for people
    bool demo = false;
    int64_t context_max = 0;
    int32_t layers = 0, experts = 0, experts_a_token = 0;
    std::vector<std::string> efforts;  // of thinking, besides "off"
    MemoryPlan memory;
};

struct Ask {
    uint64_t number = 0;            // of the asker; reports carry it
    std::vector<Message> messages;  // the conversation, the last one is the question
    AnswerOptions options;
    uint64_t seed = 0;
    std::vector<int32_t> so_far;  // ids of the answer, to go on with it
};

// What would be sent, to be counted.
struct CountAsk {
    uint64_t number = 0;  // of the asker; the report carries it
    std::vector<Message> messages{};
    std::optional<std::string> draft{};  // of the question that follows them; may be empty
    std::string think{};
    std::vector<int32_t> so_far{};  // without a draft: ids of the answer that goes on
};

struct PromptCount {
    ContextCount context;
    // Of its tokens, those that the model need not read again; of these, those that come from the archive.
    int64_t known = 0, archived = 0;
};

struct ModelReport {
    enum class Kind : uint8_t {
        kOpening,  // text: what is being done
        kReady,    // facts
        kClosed,   // could not be opened: text says why
        kPrefill,  // done of total
        kGrown,    // the answer so far is longer: text parts and ids are what is new
        kFinished,
        kFailed,   // text says why
        kCounted,  // count, or nothing where the conversation cannot be rendered
    };
    Kind kind = Kind::kOpening;
    uint64_t number = 0;  // of the Ask, or of the count
    std::string text;
    std::optional<ModelFacts> facts;
    std::optional<PromptCount> count;
    int64_t done = 0, total = 0;
    std::string content, reasoning;
    std::vector<int32_t> ids;
    // kGrown, of each of `ids`: its bytes, which may be part of a character; none: no text is made of it.
    std::vector<std::string> id_bytes;
    int64_t position = 0;  // kGrown: of the first of `ids` in the sequence
    uint64_t request = 0;  // kGrown: the engine's number of the request (StepRecord)
    FinishReason reason = FinishReason::kStop;
    AnswerStats stats;
};

class ModelPort {
public:
    using Listener = std::function<void(ModelReport)>;
    virtual ~ModelPort() = default;

    // Another model takes the place of the one that is open; an answer that runs is stopped first.
    virtual void open(const Path& directory) = 0;
    virtual void ask(Ask ask) = 0;  // one at a time: after the last one has finished
    virtual void stop() = 0;        // the answer that runs; kFinished with kCancelled follows
    // How many tokens the prompt of this conversation has, of which kind, and how many of them the model still knows:
    // kCounted, also while an answer runs. An older count that waits is forgotten.
    virtual void count(CountAsk ask) = 0;
    // What the engine is doing; null while no model is open. Valid until the next `open`.
    [[nodiscard]] virtual const LiveFeed* feed() const = 0;
};

}  // namespace millrace
