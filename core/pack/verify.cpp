#include "core/pack/verify.h"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/base/machine.h"
#include "core/base/memory.h"
#include "core/base/strings.h"
#include "core/model/checksum.h"
#include "core/model/store.h"
#include "core/pack/block_reader.h"
#include "core/pack/lanes.h"
#include "core/pack/manifest_file.h"
#include "core/pack/pack_source.h"
#include "core/pack/target_files.h"

namespace millrace {
namespace {

constexpr uint64_t kStretchBytes = uint64_t{16} << 20;

// Pieces that follow each other in one file, read together.
struct Stretch {
    size_t first = 0, count = 0;  // of Checking::order_
    uint64_t bytes = 0;
};

// What is wrong, besides the words for it.
struct Fault {
    BrokenPiece told;
    std::vector<size_t> pieces;         // to be made again
    std::optional<int32_t> file;        // whose pieces, header or length it is
    std::optional<std::string> copied;  // or the name of a copied file
};

// A file, or everything in it if all is lost.
std::string words_of(const StoreFile& file, size_t lost) {
    if (lost == 0) return "the file";
    if (!file.header) return "all dense tensors";
    return cat("all ", lost, " experts of layer ", file.header->layer, " in one file");
}

class Checking {
public:
    Checking(Disk& disk, const Path& directory, StoreManifest manifest, StoreWatcher& watcher)
        : disk_(disk),
          watcher_(watcher),
          directory_(directory),
          manifest_(std::move(manifest)),
          pieces_(manifest_.plan) {
        parts_.push_back(directory);
        for (size_t i = 1; i < manifest_.plan.parts.size(); ++i) {
            parts_.emplace_back(manifest_.plan.parts[i]);
        }
        for (const StoreFile& file : pieces_.files) {
            paths_.push_back(parts_[static_cast<size_t>(file.part)] / file.name);
        }
        for (const Piece& piece : pieces_.pieces) progress_.total_bytes += piece.written;
    }

    // An unmounted drive is no broken record.
    [[nodiscard]] Status check_parts() const;
    [[nodiscard]] Status check(const VerifyOptions& options);
    [[nodiscard]] Status repair(Disk& source_disk, const Path& from);
    [[nodiscard]] VerifyResult result() const;

private:
    [[nodiscard]] uint64_t checksum(size_t piece) const {
        return piece < pieces_.dense_chunks
                   ? manifest_.dense_checksums[piece]
                   : manifest_.expert_checksums[piece - pieces_.dense_chunks];
    }
    [[nodiscard]] std::vector<Stretch> stretches();
    [[nodiscard]] Status check_stretch(const Stretch& stretch, const BlockReader& reader,
                                       std::span<std::byte> memory);
    // The problem of a piece, if it has one.
    [[nodiscard]] std::optional<std::string> check_piece(size_t index, const BlockReader& reader,
                                                         std::span<std::byte> memory) const;
    void check_files(const BlockReader& reader);
    void check_copied();
    [[nodiscard]] std::optional<std::string> copied_problem(const CopiedFile& file) const;
    void report(Fault fault);
    [[nodiscard]] Status mend(Fault& fault, PackSource& source, TargetFiles& target,
                              std::span<std::byte> memory);

    Disk& disk_;
    StoreWatcher& watcher_;
    const Path directory_;
    const StoreManifest manifest_;
    const StorePieces pieces_;
    std::vector<Path> parts_, paths_;
    std::vector<size_t> order_;  // pieces by file and offset
    std::mutex mutex_;           // of what follows, and of the watcher
    std::vector<Fault> faults_;
    StoreProgress progress_;
};

Status Checking::check_parts() const {
    for (size_t i = 1; i < parts_.size(); ++i) {
        if (!TRY(disk_.list(parts_[i])).empty()) continue;
        return missing_part(directory_, manifest_.plan, i);
    }
    return {};
}

std::vector<Stretch> Checking::stretches() {
    order_.resize(pieces_.pieces.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::ranges::sort(order_, {}, [this](size_t i) {
        return std::pair(pieces_.pieces[i].file, pieces_.pieces[i].offset);
    });
    std::vector<Stretch> out;
    int32_t file = -1;
    for (size_t i = 0; i < order_.size(); ++i) {
        const Piece& piece = pieces_.pieces[order_[i]];
        if (piece.file != file || out.back().bytes + piece.written > kStretchBytes) {
            out.push_back({i, 0, 0});
        }
        file = piece.file;
        ++out.back().count;
        out.back().bytes += piece.written;
    }
    return out;
}

std::optional<std::string> Checking::check_piece(size_t index, const BlockReader& reader,
                                                 std::span<std::byte> memory) const {
    const Piece& piece = pieces_.pieces[index];
    const auto bytes = reader.read(piece.file, piece.offset, piece.bytes, memory);
    if (!bytes) return bytes.error().message;
    const uint64_t found = checksum_of(*bytes);
    if (found == checksum(index)) return std::nullopt;
    return cat("checksum ", hex16(found), ", wanted ", hex16(checksum(index)));
}

Status Checking::check_stretch(const Stretch& stretch, const BlockReader& reader,
                               std::span<std::byte> memory) {
    const Piece& first = pieces_.pieces[order_[stretch.first]];
    const Piece& last = pieces_.pieces[order_[stretch.first + stretch.count - 1]];
    const uint64_t bytes = last.offset + last.bytes - first.offset;
    const auto read = reader.read(first.file, first.offset, bytes, memory);
    for (size_t i = stretch.first; i < stretch.first + stretch.count; ++i) {
        const size_t index = order_[i];
        const Piece& piece = pieces_.pieces[index];
        if (reader.problem(piece.file)) continue;  // told as one
        const bool sound = read.ok() && checksum_of(read->subspan(piece.offset - first.offset,
                                                                  piece.bytes)) == checksum(index);
        if (sound) continue;
        // Once more and alone: the drive may have stumbled, and its neighbours may be sound. Behind what was read.
        const auto behind = memory.subspan(BlockReader::memory_for(bytes));
        if (auto problem = check_piece(index, reader, behind)) {
            report({{describe(piece), reader.path(piece.file), piece.offset, *std::move(problem),
                     false, ""},
                    {index},
                    piece.file,
                    std::nullopt});
        }
    }
    const std::lock_guard lock(mutex_);
    progress_.done_bytes += stretch.bytes;
    if (watcher_.progress(progress_)) return {};
    return Error{ErrorCode::kCancelled, cat("stopped; ", human_bytes(progress_.done_bytes), " of ",
                                            human_bytes(progress_.total_bytes), " were checked")};
}

void Checking::check_files(const BlockReader& reader) {
    for (size_t i = 0; i < pieces_.files.size(); ++i) {
        const auto file = static_cast<int32_t>(i);
        const StoreFile& wanted = pieces_.files[i];
        std::string problem;
        if (reader.problem(file)) {
            problem = reader.problem(file)->message;
        } else if (reader.size(file) != wanted.bytes) {
            problem = cat("has ", reader.size(file), " bytes, wanted ", wanted.bytes);
        } else if (wanted.header) {
            Result<PageBuffer> memory =
                PageBuffer::create(BlockReader::memory_for(kStoreBlockBytes), HugePages::kNo);
            for (int attempt = 0; attempt < 2; ++attempt) {
                const auto block = memory ? reader.read(file, 0, kStoreBlockBytes, memory->bytes())
                                          : Result<std::span<const std::byte>>(memory.error());
                problem = !block ? block.error().message
                          : decode_header(block->first<kStoreBlockBytes>()) != wanted.header
                              ? std::string("its header is another one")
                              : std::string();
                if (problem.empty()) break;
            }
        }
        if (problem.empty()) continue;
        std::vector<size_t> lost;
        for (size_t p = 0; reader.problem(file) && p < pieces_.pieces.size(); ++p) {
            if (pieces_.pieces[p].file == file) lost.push_back(p);
        }
        report(
            {{words_of(wanted, lost.size()), reader.path(file), 0, std::move(problem), false, ""},
             std::move(lost),
             file,
             std::nullopt});
    }
}

std::optional<std::string> Checking::copied_problem(const CopiedFile& file) const {
    const auto opened = disk_.open(directory_ / file.name, OpenFor::kReading, Through::kPageCache);
    if (!opened) return opened.error().message;
    const Result<uint64_t> size = (*opened)->size();
    if (!size) return size.error().message;
    if (*size != file.bytes) return cat("has ", *size, " bytes, wanted ", file.bytes);
    std::vector<std::byte> bytes(*size);
    const Status read = (*opened)->read(0, bytes);
    if (!read) return read.error().message;
    const uint64_t found = checksum_of(bytes);
    if (found == file.checksum) return std::nullopt;
    return cat("checksum ", hex16(found), ", wanted ", hex16(file.checksum));
}

void Checking::check_copied() {
    for (const CopiedFile& file : manifest_.files) {
        auto problem = copied_problem(file);
        if (problem) problem = copied_problem(file);  // once more: the drive may have stumbled
        if (problem) {
            report({{"the file", directory_ / file.name, 0, *std::move(problem), false, ""},
                    {},
                    std::nullopt,
                    file.name});
        }
    }
}

void Checking::report(Fault fault) {
    const std::lock_guard lock(mutex_);
    faults_.push_back(std::move(fault));
}

Status Checking::check(const VerifyOptions& options) {
    const BlockReader reader = BlockReader::open_what_is_there(disk_, paths_);
    check_copied();
    check_files(reader);
    const std::vector<Stretch> todo = stretches();
    const uint64_t largest = std::max(kStretchBytes, pieces_.largest());
    const uint64_t lane_bytes =
        BlockReader::memory_for(largest) + BlockReader::memory_for(pieces_.largest());
    constexpr int kLanesLeast = 4;  // so many keep a drive busy
    const int wanted = options.lanes > 0 ? options.lanes : std::max(kLanesLeast, usable_threads());
    const int lanes = std::min(
        wanted, static_cast<int>(std::clamp<uint64_t>(options.memory_bytes / lane_bytes, 1, 64)));
    std::vector<PageBuffer> memory;
    for (int i = 0; i < lanes; ++i) {
        memory.push_back(TRY(PageBuffer::create(lane_bytes, HugePages::kIfGranted)));
    }
    TRY(run_lanes(lanes, todo.size(), [&](size_t item, int lane) {
        return check_stretch(todo[item], reader, memory[static_cast<size_t>(lane)].bytes());
    }));
    std::ranges::sort(faults_, {}, [](const Fault& fault) {
        return std::tuple(fault.file.value_or(-1), fault.told.offset, fault.told.what);
    });
    return {};
}

// `fault.told.hindrance` says what a source cannot give; an error is one of writing.
Status Checking::mend(Fault& fault, PackSource& source, TargetFiles& target,
                      std::span<std::byte> memory) {
    if (fault.copied) {
        const auto file = std::ranges::find(manifest_.files, *fault.copied, &CopiedFile::name);
        const Result<std::string> text = source.read_file(*fault.copied);
        if (!text) {
            fault.told.hindrance = text.error().message;
        } else if (checksum_of(*text) != file->checksum) {
            fault.told.hindrance = cat(source.directory().string(), " has another one");
        } else {
            TRY(replace_file(disk_, directory_ / *fault.copied, *text));
        }
        return {};
    }
    for (const size_t index : fault.pieces) {
        const Piece& piece = pieces_.pieces[index];
        const auto out = memory.first(piece.written);
        const Status made = source.make(piece, manifest_.plan, out,
                                        memory.subspan(round_up(pieces_.largest(), kPageBytes)));
        if (!made) {
            fault.told.hindrance = made.error().message;
            return {};
        }
        if (checksum_of(out.first(piece.bytes)) != checksum(index)) {
            fault.told.hindrance =
                cat("made from ", source.directory().string(),
                    " it has another checksum: the store was not made from that");
            return {};
        }
        TRY(target.write(piece, out));
    }
    return target.shape(*fault.file);
}

Status Checking::repair(Disk& source_disk, const Path& from) {
    if (faults_.empty()) return {};
    PackSource source = TRY(PackSource::open(source_disk, from));
    TRY(source.check_can_make(manifest_.plan));
    // The store keeps what its experts were weighed with; the source's may be newer.
    const auto kept = std::ranges::find(manifest_.files, kCalibrationFile, &CopiedFile::name);
    if (kept != manifest_.files.end() && !copied_problem(*kept)) {
        TRY(source.take_importance_from(directory_));
    }
    {
        TargetFiles target(disk_, parts_, pieces_);
        PageBuffer memory =
            TRY(PageBuffer::create(round_up(pieces_.largest(), kPageBytes) + source.memory_bytes(),
                                   HugePages::kIfGranted));
        for (Fault& fault : faults_) {
            TRY(mend(fault, source, target, memory.bytes()));
            const std::lock_guard lock(mutex_);
            if (!watcher_.progress(progress_)) {
                return Error{ErrorCode::kCancelled, "stopped while repairing; verify again"};
            }
        }
        TRY(target.sync());
    }
    // Only what the drive gives back counts.
    const BlockReader reader = BlockReader::open_what_is_there(disk_, paths_);
    std::vector<Fault> before;
    before.swap(faults_);
    check_files(reader);
    std::vector<Fault> after;
    after.swap(faults_);
    PageBuffer memory =
        TRY(PageBuffer::create(BlockReader::memory_for(pieces_.largest()), HugePages::kIfGranted));
    for (Fault& fault : before) {
        if (!fault.told.hindrance.empty()) continue;
        std::optional<std::string> problem;
        for (const size_t index : fault.pieces) {
            if (!problem) problem = check_piece(index, reader, memory.bytes());
        }
        if (fault.copied) {
            problem = copied_problem(
                *std::ranges::find(manifest_.files, *fault.copied, &CopiedFile::name));
        }
        if (fault.file) {
            const auto again = std::ranges::find(after, fault.file, &Fault::file);
            if (again != after.end()) problem = again->told.problem;
        }
        fault.told.repaired = !problem;
        if (problem) fault.told.hindrance = cat("written again, and still: ", *problem);
    }
    faults_ = std::move(before);
    return {};
}

VerifyResult Checking::result() const {
    VerifyResult out;
    for (const Fault& fault : faults_) out.broken.push_back(fault.told);
    out.pieces = pieces_.pieces.size();
    out.bytes = progress_.total_bytes;
    return out;
}

}  // namespace

std::string BrokenPiece::text() const {
    std::string line = cat(what, " (", file.string(), ", byte ", offset, "): ", problem);
    if (repaired) return line + "; repaired";
    if (!hindrance.empty()) line += cat("; not repaired: ", hindrance);
    return line;
}

size_t VerifyResult::still_broken() const {
    return static_cast<size_t>(std::ranges::count(broken, false, &BrokenPiece::repaired));
}

Result<VerifyResult> verify(Disk& source_disk, Disk& disk, const VerifyOptions& options,
                            StoreWatcher& watcher) {
    std::optional<StoreManifest> manifest = TRY(find_manifest(disk, options.directory));
    if (!manifest) {
        if (store_state(options.directory) == StoreState::kUnfinished) {
            return unfinished_store(options.directory);
        }
        return Error{ErrorCode::kInvalid,
                     cat(options.directory.string(), " is no store (it has no ", kManifestName,
                         "); millrace pack makes one of a checkpoint")};
    }
    Checking checking(disk, options.directory, *std::move(manifest), watcher);
    TRY(checking.check_parts());
    TRY(checking.check(options));
    if (options.repair_from) TRY(checking.repair(source_disk, *options.repair_from));
    return checking.result();
}

}  // namespace millrace
