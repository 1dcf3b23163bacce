#include <algorithm>
#include <ctime>
#include <limits>

#include "app/archive.h"
#include "app/verbs.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

// "2026-07-31 14:05", as the clock on the wall says it.
std::string date_text(int64_t seconds) {
    const std::time_t time = seconds;
    std::tm local{};
    char text[32] = "";
    if (::localtime_r(&time, &local) == nullptr) return "?";
    const size_t length = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local);
    return {text, length};
}

std::string padded(std::string text, size_t columns) {
    text.insert(0, text.size() < columns ? columns - text.size() : 0, ' ');
    return text;
}

void list(KvArchive& archive, const Path& directory, Terminal& terminal) {
    std::vector<KvModelUse> models = archive.models();
    std::ranges::sort(models, std::ranges::greater(), &KvModelUse::used_s);
    for (const KvModelUse& model : models) {
        const auto tokens = model.pages * KvArchive::kPageTokens;
        terminal.text(cat(padded(human_bytes(model.bytes), 12), padded(cat(tokens), 10),
                          " tokens, last used ", date_text(model.used_s), "  ",
                          model.label.empty() ? "a model that has no name any more"
                                              : quote_text(model.label, 200),
                          "\n"));
    }
    const KvArchiveStats stats = archive.stats();
    if (stats.foreign_files > 0) {
        terminal.text(cat(padded(human_bytes(stats.foreign_bytes), 12), " in ", stats.foreign_files,
                          " files of another key\n"));
    }
    terminal.text(cat(padded(human_bytes(stats.bytes + stats.foreign_bytes), 12), " in ",
                      directory.string(), "\n"));
}

Status work(const CacheOptions& options, Terminal& terminal) {
    ArchiveOptions which = options.archive;
    if (which.use == ArchiveOptions::Use::kOff) {
        return Error{ErrorCode::kInvalid, "--kv-archive takes a directory here, not off"};
    }
    const bool own = which.use == ArchiveOptions::Use::kDefault;
    which.use = ArchiveOptions::Use::kChosen;
    // Looking must not forget anything.
    if (options.what != "prune") which.budget_bytes = std::numeric_limits<uint64_t>::max();
    const std::unique_ptr<ArchiveHome> home = TRY(open_archive(which, terminal));
    KvArchive& archive = home->archive();
    if (options.what == "list") {
        list(archive, which.directory, terminal);
        return {};
    }
    const KvArchiveStats before = archive.stats();
    if (options.what == "prune") {
        archive.prune(before.budget_bytes);
    } else {
        TRY(archive.erase());
        // The key of a named directory may be that of others as well.
        if (own) TRY(ArchiveKey::erase(which.state_directory));
    }
    const KvArchiveStats after = archive.stats();
    const uint64_t left = after.bytes + after.foreign_bytes;
    // What was over the budget went when the archive was opened.
    terminal.text(cat(human_bytes(left), " of KV state left in ", which.directory.string(), "\n"));
    return {};
}

}  // namespace

int cache_verb(const CacheOptions& options, Terminal& terminal) {
    Status status = work(options, terminal);
    const Status written = terminal.flush();
    if (status.ok()) status = written;
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
