#include "app/composition.h"
#include "app/json_lines.h"
#include "app/verbs.h"

namespace millrace {

int prompt_verb(const PromptOptions& options, Terminal& terminal) {
    const Result<Conversation> conversation =
        open_conversation(options.directory, options.effort_table);
    if (!conversation.ok()) {
        terminal.error(conversation.error().message);
        return kExitFailed;
    }
    return transform_lines(terminal, [&](const Json& line) -> Result<Json> {
        Prompt prompt = TRY(conversation->render(line));
        Json out;
        out.set("prompt", std::move(prompt.text));
        out.set("ids", ids_json(prompt.ids));
        return out;
    });
}

}  // namespace millrace
