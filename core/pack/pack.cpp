#include "core/pack/pack.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include "core/base/check.h"
#include "core/base/machine.h"
#include "core/base/memory.h"
#include "core/base/strings.h"
#include "core/model/checksum.h"
#include "core/pack/format_choice.h"
#include "core/pack/lanes.h"
#include "core/pack/manifest_file.h"
#include "core/pack/pack_journal.h"
#include "core/pack/pack_source.h"
#include "core/pack/target_files.h"

namespace millrace {
namespace {

constexpr int kLanesMax = 64;

// What must be the same when a pack goes on. A calibration changes what encoding gives.
std::string options_line(const PackOptions& options, PackSource& source) {
    std::string line = cat("--experts ", options.experts);
    if (options.size_bytes) line += cat(" --size ", *options.size_bytes);
    const bool as_is = options.experts == "released" || options.experts == "f4";
    if (!as_is && source.importance().calibrated()) {
        line += cat(", calibrated by ", hex16(source.importance().checksum()));
    }
    return line;
}

std::vector<std::string> part_names(const PackOptions& options) {
    std::vector<std::string> names = {"."};
    for (const Path& path : options.also) names.push_back(path.string());
    return names;
}

Result<StorePlan> make_plan(PackSource& source, const PackOptions& options, uint64_t fingerprint) {
    const CheckpointParts& parts = source.parts();
    StorePlan plan;
    plan.id = options.id;
    plan.source_variant = source.variant();
    plan.source_fingerprint = fingerprint;
    plan.options = options_line(options, source);
    plan.shape = {parts.config.hidden, parts.config.expert_inner};
    plan.layers = parts.routed_layers();
    plan.experts = parts.config.experts;
    plan.parts = part_names(options);
    plan.formats = TRY(
        choose_formats(source, {.experts = options.experts,
                                .size_bytes = options.size_bytes,
                                .parts = plan.parts.size(),
                                .lanes = options.lanes > 0 ? options.lanes : usable_threads()}));
    return plan;
}

std::vector<Path> directories_of(const PackOptions& options) {
    std::vector<Path> directories = {options.destination};
    directories.insert(directories.end(), options.also.begin(), options.also.end());
    return directories;
}

Status check_options(const PackOptions& options) {
    std::vector<Path> directories = directories_of(options);
    if (directories.size() > static_cast<size_t>(kStorePartsMax)) {
        return Error{ErrorCode::kInvalid,
                     cat(directories.size(), " directories were named, a store has at most ",
                         kStorePartsMax, " parts")};
    }
    std::ranges::sort(directories);
    const auto twice = std::ranges::adjacent_find(directories);
    if (twice == directories.end()) return {};
    return Error{ErrorCode::kInvalid,
                 cat(twice->string(),
                     " is named twice; every part of a store needs a directory of "
                     "its own")};
}

// A new store begins where nothing of another one lies.
Status check_empty(Disk& disk, const std::vector<Path>& directories) {
    for (const Path& directory : directories) {
        for (const std::string& name : TRY(disk.list(directory))) {
            const bool ours = name == kManifestName || name == kPackProgressName ||
                              name.ends_with(".safetensors") ||
                              (name.starts_with("experts-") && name.ends_with(".bin"));
            if (!ours) continue;
            return Error{ErrorCode::kInvalid,
                         cat((directory / name).string(),
                             " is there already and not of this pack; name an empty directory, or "
                             "remove it")};
        }
    }
    return {};
}

// What was begun or made with other words is another store.
Status check_same(const PackOptions& options, const StorePlan& found, std::string_view line,
                  uint64_t fingerprint) {
    const auto differs = [&](const std::string& what) {
        return Error{ErrorCode::kInvalid,
                     cat(options.destination.string(), " holds a store that was begun with ", what,
                         "; give the command that began it, name an empty directory, or remove "
                         "this one")};
    };
    if (found.source_fingerprint != fingerprint) {
        return differs(cat("another source, ", quote_text(found.source_variant)));
    }
    if (found.options != line) return differs(cat(quote_text(found.options), ", not ", line));
    if (found.parts != part_names(options)) return differs("other directories (--also)");
    return {};
}

class Packing {
public:
    Packing(Disk& disk, PackSource& source, const PackOptions& options, StoreWatcher& watcher,
            StorePlan plan)
        : disk_(disk),
          source_(source),
          options_(options),
          watcher_(watcher),
          plan_(std::move(plan)),
          pieces_(plan_),
          directories_(directories_of(options)),
          target_(disk, directories_, pieces_),
          checksums_(pieces_.pieces.size()) {
        for (const Piece& piece : pieces_.pieces) progress_.total_bytes += piece.written;
    }

    void adopt(const std::vector<FinishedPiece>& finished) {
        for (const FinishedPiece& piece : finished) {
            if (piece.index >= checksums_.size() || checksums_[piece.index]) continue;
            checksums_[piece.index] = piece.checksum;
            progress_.found_bytes += pieces_.pieces[piece.index].written;
        }
        progress_.done_bytes = progress_.found_bytes;
    }

    // Says how much is missing, directory by directory.
    [[nodiscard]] Status check_space() const;
    [[nodiscard]] Status write_pieces(PackJournal& journal);
    // From here on the directory is a store.
    [[nodiscard]] Status finish();
    [[nodiscard]] uint64_t bytes() const { return progress_.total_bytes; }
    [[nodiscard]] size_t piece_count() const { return pieces_.pieces.size(); }

private:
    struct Need {
        std::string directories;
        uint64_t bytes = 0, free_bytes = 0;
    };
    [[nodiscard]] Result<std::vector<Need>> needs() const;
    [[nodiscard]] Status write_piece(size_t index, std::span<std::byte> memory);
    // Records what is finished if it is enough for a batch, or in any case.
    enum class Batch { kFull, kAny };
    [[nodiscard]] Status record(PackJournal& journal, Batch batch);
    [[nodiscard]] Error explain(const Error& error) const;

    Disk& disk_;
    PackSource& source_;
    const PackOptions& options_;
    StoreWatcher& watcher_;
    StorePlan plan_;
    StorePieces pieces_;
    std::vector<Path> directories_;
    TargetFiles target_;
    std::vector<std::optional<uint64_t>> checksums_;  // of finished pieces

    std::mutex mutex_;  // of what follows, and of the watcher
    StoreProgress progress_;
    std::vector<FinishedPiece> unrecorded_;
    uint64_t unrecorded_bytes_ = 0;
    std::mutex recording_;  // one batch at a time
    // A sync has failed: what the drive still holds nobody knows, and a later sync that succeeds says nothing of it.
    bool unsafe_ = false;
};

Result<std::vector<Packing::Need>> Packing::needs() const {
    std::vector<uint64_t> bytes(directories_.size());
    for (size_t i = 0; i < pieces_.pieces.size(); ++i) {
        const Piece& piece = pieces_.pieces[i];
        if (!checksums_[i])
            bytes[static_cast<size_t>(pieces_.file_of(piece).part)] += piece.written;
    }
    // Headers, copied files, manifest and journal; what file systems keep for themselves.
    for (const StoreFile& file : pieces_.files) {
        bytes[static_cast<size_t>(file.part)] += kStoreBlockBytes;
    }
    for (const std::string& name : TRY(source_.files_to_copy())) {
        bytes[0] += round_up(TRY(source_.file_bytes(name)), kStoreBlockBytes);
    }
    bytes[0] += 128 * pieces_.pieces.size();
    std::map<uint64_t, Need> by_drive;
    for (size_t i = 0; i < directories_.size(); ++i) {
        const uint64_t drive = options_.drives.empty() ? i : options_.drives[i];
        Need& need = by_drive[drive];
        need.directories += cat(need.directories.empty() ? "" : " and ", directories_[i].string());
        need.bytes += bytes[i] + bytes[i] / 512;
        need.free_bytes = TRY(disk_.free_bytes(directories_[i]));
    }
    std::vector<Need> out;
    for (auto& [drive, need] : by_drive) out.push_back(std::move(need));
    return out;
}

Status Packing::check_space() const {
    std::string missing;
    for (const Need& need : TRY(needs())) {
        if (need.bytes <= need.free_bytes) continue;
        missing += cat(missing.empty() ? "" : "; ", need.directories, " needs ",
                       human_bytes(need.bytes), " and has ", human_bytes(need.free_bytes),
                       " free: ", human_bytes(need.bytes - need.free_bytes), " are missing");
    }
    if (missing.empty()) return {};
    return Error{ErrorCode::kNoSpace,
                 cat(missing,
                     "; free some space, choose another disk, or spread the store with "
                     "--also DIR")};
}

Error Packing::explain(const Error& error) const {
    if (error.code != ErrorCode::kNoSpace) return error;
    std::string text = error.message;
    const Result<std::vector<Need>> still = needs();
    if (still) {
        for (const Need& need : *still) {
            if (need.bytes <= need.free_bytes) continue;
            text += cat("; ", need.directories, " needs ", human_bytes(need.bytes),
                        " more and has ", human_bytes(need.free_bytes), " free");
        }
    }
    return {ErrorCode::kNoSpace,
            cat(text, "; what is written is kept: give the same command again to go on")};
}

Status Packing::write_piece(size_t index, std::span<std::byte> memory) {
    const Piece& piece = pieces_.pieces[index];
    const auto out = memory.first(piece.written);
    const auto scratch = memory.subspan(round_up(pieces_.largest(), kPageBytes));
    TRY(source_.make(piece, plan_, out, scratch));
    const uint64_t checksum = checksum_of(out.first(piece.bytes));
    TRY(target_.write(piece, out));
    const std::lock_guard lock(mutex_);
    checksums_[index] = checksum;
    unrecorded_.push_back({index, checksum});
    unrecorded_bytes_ += piece.written;
    progress_.done_bytes += piece.written;
    if (watcher_.progress(progress_)) return {};
    return Error{ErrorCode::kCancelled,
                 cat("stopped; ", human_bytes(progress_.done_bytes), " of ",
                     human_bytes(progress_.total_bytes),
                     " are written and kept: give the same command again to go on")};
}

Status Packing::record(PackJournal& journal, Batch batch) {
    std::vector<FinishedPiece> pieces;
    const std::lock_guard recording(recording_);
    {
        const std::lock_guard lock(mutex_);
        if (unsafe_) return {};
        if (batch == Batch::kFull && unrecorded_bytes_ < options_.sync_bytes) return {};
        pieces.swap(unrecorded_);
        unrecorded_bytes_ = 0;
    }
    Status synced = target_.sync();
    if (synced.ok()) synced = journal.append(pieces);
    unsafe_ = !synced.ok();
    return synced;
}

Status Packing::write_pieces(PackJournal& journal) {
    std::vector<size_t> todo;
    for (size_t i = 0; i < checksums_.size(); ++i) {
        if (!checksums_[i]) todo.push_back(i);
    }
    const uint64_t lane_bytes =
        round_up(pieces_.largest(), kPageBytes) + round_up(source_.memory_bytes(), kPageBytes);
    const auto affordable =
        static_cast<int>(std::clamp<uint64_t>(options_.memory_bytes / lane_bytes, 1, kLanesMax));
    constexpr int kLanesLeast = 6;  // so many keep a drive busy
    const int wanted =
        options_.lanes > 0 ? options_.lanes : std::max(kLanesLeast, 2 * usable_threads());
    const int lanes = std::min(wanted, affordable);
    std::vector<PageBuffer> memory;
    for (int i = 0; i < lanes; ++i) {
        memory.push_back(TRY(PageBuffer::create(lane_bytes, HugePages::kIfGranted)));
    }
    const Status written = run_lanes(lanes, todo.size(), [&](size_t item, int lane) -> Status {
        TRY(write_piece(todo[item], memory[static_cast<size_t>(lane)].bytes()));
        return record(journal, Batch::kFull);
    });
    // Also after a failure: what is finished stays finished. The failure is what the caller hears of.
    const Status recorded = record(journal, Batch::kAny);
    if (!written) return explain(written.error());
    if (!recorded) return explain(recorded.error());
    return {};
}

Status Packing::finish() {
    const auto write = [&]() -> Status {
        for (size_t i = 0; i < pieces_.files.size(); ++i) {
            TRY(target_.shape(static_cast<int32_t>(i)));
        }
        TRY(target_.sync());
        StoreManifest manifest;
        manifest.plan = plan_;
        for (size_t i = 0; i < checksums_.size(); ++i) {
            ENSURE(checksums_[i].has_value());
            auto& list =
                i < pieces_.dense_chunks ? manifest.dense_checksums : manifest.expert_checksums;
            list.push_back(*checksums_[i]);
        }
        for (const std::string& name : TRY(source_.files_to_copy())) {
            const std::string text = TRY(source_.read_file(name));
            TRY(replace_file(disk_, options_.destination / name, text));
            manifest.files.push_back({name, text.size(), checksum_of(text)});
        }
        return replace_file(disk_, options_.destination / kManifestName, manifest_text(manifest));
    };
    const Status done = write();
    if (!done) return explain(done.error());
    return PackJournal::remove(disk_, options_.destination);
}

}  // namespace

Result<PackResult> pack(Disk& source_disk, Disk& disk, const PackOptions& options,
                        StoreWatcher& watcher) {
    TRY(check_options(options));
    PackSource source = TRY(PackSource::open(source_disk, options.source));
    const uint64_t fingerprint = TRY(source.fingerprint());
    const std::string line = options_line(options, source);
    PackResult result;
    result.left_out = source.parts().unknown;
    if (const std::optional<StoreManifest> whole = TRY(find_manifest(disk, options.destination))) {
        TRY(check_same(options, whole->plan, line, fingerprint));
        TRY(PackJournal::remove(disk, options.destination));
        result.was_whole = true;
        return result;
    }
    const std::vector<Path> directories = directories_of(options);
    std::optional<PackJournal::Found> found = TRY(PackJournal::open(disk, options.destination));
    if (found) {
        TRY(check_same(options, found->plan, line, fingerprint));
    } else {
        TRY(check_empty(disk, directories));
    }
    StorePlan plan = found ? found->plan : TRY(make_plan(source, options, fingerprint));
    plan.dense_bytes = source.plan_dense(plan.id);
    const StorePlan promised = plan;
    Packing packing(disk, source, options, watcher, std::move(plan));
    if (found) packing.adopt(found->finished);
    TRY(packing.check_space());
    for (const Path& directory : directories) {
        TRY(disk.make_directory(directory));
        TRY(disk.sync_directory(directory.parent_path()));
    }
    PackJournal journal =
        found
            ? std::move(found->journal)
            : TRY(PackJournal::create(disk, options.destination, promised, packing.piece_count()));
    TRY(packing.write_pieces(journal));
    TRY(packing.finish());
    result.bytes = packing.bytes();
    return result;
}

}  // namespace millrace
