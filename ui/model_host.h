#pragma once
// The ModelPort of the product: a thread that opens the model, passes questions to the engine and reports what comes.

#include <functional>
#include <memory>

#include "core/text/conversation.h"
#include "ui/model_port.h"

namespace millrace {

struct OpenedModel {
    std::unique_ptr<Conversation>
        conversation;  // before the engine: it may be used as long as that lives
    std::unique_ptr<Engine> engine;
    ModelFacts facts;
};

// Composes a model of a directory: the program knows how. `say` reports what is being done; it answers whether the model
// is still wanted, and when it is not the opener ends with kCancelled.
using ModelOpener = std::function<Result<OpenedModel>(const Path& directory,
                                                      const std::function<bool(std::string)>& say)>;

[[nodiscard]] std::unique_ptr<ModelPort> make_model_host(ModelOpener opener,
                                                         ModelPort::Listener listener);

}  // namespace millrace
