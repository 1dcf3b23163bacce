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

struct ModelReport {
    enum class Kind : uint8_t {
        kOpening,  // text: what is being done
        kReady,    // facts
        kClosed,   // could not be opened: text says why
        kPrefill,  // done of total
        kGrown,    // the answer so far is longer: text parts and ids are what is new
        kFinished,
        kFailed,   // text says why
        kCounted,  // total: tokens of the conversation that was asked about
    };
    Kind kind = Kind::kOpening;
    uint64_t number = 0;  // of the Ask, or of the count
    std::string text;
    std::optional<ModelFacts> facts;
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
    // How many tokens the prompt of this conversation has: kCounted. An older count that waits is forgotten.
    virtual void count(uint64_t number, std::vector<Message> messages,
                       const std::string& think) = 0;
    // What the engine is doing; null while no model is open. Valid until the next `open`.
    [[nodiscard]] virtual const LiveFeed* feed() const = 0;
};

}  // namespace millrace
