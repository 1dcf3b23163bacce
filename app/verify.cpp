#include "core/pack/verify.h"
#include "app/signals.h"
#include "app/verbs.h"
#include "app/work_progress.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

class Watcher final : public StoreWatcher {
public:
    Watcher(Terminal& terminal, Signals& signals)
        : signals_(signals), line_(terminal, "checking") {}

    [[nodiscard]] bool progress(const StoreProgress& now) override {
        line_.show(now.done_bytes, now.total_bytes, now.found_bytes);
        return !signals_.take().interrupt;
    }
    [[nodiscard]] std::string summary(uint64_t bytes) const {
        return cat(human_bytes(bytes), " in ", duration_words(line_.seconds()), ", ",
                   fixed(line_.rate(bytes) / 1e9, 2), " GB/s");
    }

private:
    Signals& signals_;
    WorkProgress line_;
};

// The number of what is broken still.
Result<size_t> run_verify(const VerifyVerbOptions& options, Terminal& terminal) {
    Signals signals = TRY(Signals::create());
    SystemDisk disk;
    Watcher watcher(terminal, signals);
    VerifyOptions order;
    order.directory = options.directory;
    order.repair_from = options.repair;
    const VerifyResult result = TRY(verify(disk, disk, order, watcher));
    terminal.clear_progress();
    for (const BrokenPiece& broken : result.broken) terminal.text(broken.text() + "\n");
    terminal.text(cat(result.pieces, " pieces, ", watcher.summary(result.bytes), ": ",
                      result.broken.empty()
                          ? std::string("all sound")
                          : cat(result.broken.size(), " broken, ",
                                result.broken.size() - result.still_broken(), " repaired"),
                      "\n"));
    TRY(terminal.flush());
    return result.still_broken();
}

}  // namespace

int verify_verb(const VerifyVerbOptions& options, Terminal& terminal) {
    const Result<size_t> broken = run_verify(options, terminal);
    terminal.clear_progress();
    if (!broken.ok()) {
        terminal.error(broken.error().message);
        return kExitFailed;
    }
    if (*broken == 0) return 0;
    terminal.error(cat(options.directory.string(), " is broken in ", *broken,
                       options.repair ? " places that could not be repaired"
                                      : " places; --repair SRC makes them again from the "
                                        "checkpoint it was packed from"));
    return kExitFailed;
}

}  // namespace millrace
