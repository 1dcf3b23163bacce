#include <sys/stat.h>

#include <system_error>

#include "app/signals.h"
#include "app/verbs.h"
#include "app/work_progress.h"
#include "core/base/random.h"
#include "core/base/strings.h"
#include "core/model/checkpoint.h"
#include "core/pack/pack.h"
#include "core/talk/answer_stream.h"

namespace millrace {
namespace {

class Watcher final : public StoreWatcher {
public:
    Watcher(Terminal& terminal, Signals& signals) : signals_(signals), line_(terminal, "packing") {}

    [[nodiscard]] bool progress(const StoreProgress& now) override {
        last_ = now;
        line_.show(now.done_bytes, now.total_bytes, now.found_bytes);
        return !signals_.take().interrupt;
    }

    [[nodiscard]] std::string summary(const PackResult& result) const {
        const uint64_t worked = last_.done_bytes - last_.found_bytes;
        return cat(human_bytes(result.bytes), " in ", duration_words(line_.seconds()), ", ",
                   fixed(line_.rate(worked) / 1e9, 2), " GB/s");
    }

private:
    Signals& signals_;
    WorkProgress line_;
    StoreProgress last_;
};

Result<Path> whole_path(const Path& path) {
    std::error_code error;
    const Path whole = std::filesystem::absolute(path, error).lexically_normal();
    if (error) return io_error("looking at", path, error.value());
    return whole.has_filename() ? whole : whole.parent_path();  // without a '/' at the end
}

// The file system that `path`, or what exists of it, lies on.
uint64_t drive_of(Path path) {
    struct stat info {};
    while (::stat(path.c_str(), &info) != 0 && path != path.parent_path()) {
        path = path.parent_path();
    }
    return info.st_dev;
}

Status run_pack(const PackVerbOptions& options, Terminal& terminal) {
    Signals signals = TRY(Signals::create());
    PackOptions order;
    order.source = options.source;
    order.experts = options.experts;
    order.size_bytes = options.size_bytes;
    order.id = mix64(fresh_seed());
    order.destination = TRY(whole_path(options.destination));
    order.drives.push_back(drive_of(order.destination));
    for (const Path& also : options.also) {
        order.also.push_back(TRY(whole_path(also)));
        order.drives.push_back(drive_of(order.also.back()));
    }
    // A model that cannot be opened is not worth packing; values are looked at here.
    TRY(Checkpoint::open(options.source));
    SystemDisk disk;
    Watcher watcher(terminal, signals);
    const PackResult result = TRY(pack(disk, disk, order, watcher));
    const std::string place = order.destination.string();
    TRY(Checkpoint::open(order.destination));
    terminal.clear_progress();
    for (const std::string& name : result.left_out) {
        terminal.error(
            cat("left out, because no part of the model uses it: tensor ", quote_text(name)));
    }
    terminal.text(result.was_whole ? cat(place, " holds this store already\n")
                                   : cat(place, " is whole: ", watcher.summary(result), "\n"));
    return terminal.flush();
}

}  // namespace

int pack_verb(const PackVerbOptions& options, Terminal& terminal) {
    const Status status = run_pack(options, terminal);
    terminal.clear_progress();
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
