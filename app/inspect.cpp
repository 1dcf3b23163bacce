#include "core/model/inspect.h"

#include "app/verbs.h"

namespace millrace {

int inspect_verb(const InspectOptions& options, Terminal& terminal) {
    const Result<Inspection> inspection = inspect(options.directory);
    if (!inspection.ok()) {
        terminal.error(inspection.error().message);
        return kExitFailed;
    }
    terminal.text(inspection->text());
    const Status written = terminal.flush();
    if (!written.ok()) terminal.error(written.error().message);
    return written.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
