#include "offload/kv_files.h"

#include <array>

#include "core/base/strings.h"

namespace millrace {
namespace {

Error broken(const Path& path) {
    return {ErrorCode::kCorrupt,
            cat(path.string(), " is not what was written there; it counts as missing")};
}

}  // namespace

Result<std::vector<KvFileName>> KvFiles::list(Unfinished unfinished) {
    std::vector<KvFileName> out;
    for (const std::string& name : TRY(disk_.list(directory_))) {
        const auto parsed = parse_kv_file_name(name);
        if (!parsed) continue;
        if (parsed->whole) {
            out.push_back(*parsed);
        } else if (unfinished == Unfinished::kRemove) {
            (void)disk_.remove(directory_ / name);
        }
    }
    return out;
}

std::optional<KvFiles::Seen> KvFiles::look(const KvKey& key, KvPart part) {
    const auto file = disk_.open(path(key, part), OpenFor::kReading, Through::kDrive);
    if (!file.ok()) return std::nullopt;
    const auto bytes = (*file)->size();
    const auto room = PageBuffer::create(kPageBytes, HugePages::kNo);
    if (!bytes.ok() || !room.ok()) return std::nullopt;
    Seen seen;
    seen.bytes = *bytes;
    if (*bytes % kPageBytes != 0 || *bytes == 0) return seen;  // torn
    if (!(*file)->read(0, room->bytes()).ok()) return std::nullopt;
    seen.sight = sealer_.read_record(room->bytes(), seen.record);
    if (seen.sight == KvSight::kOurs && (seen.record.key != key || seen.record.part != part)) {
        seen.sight = KvSight::kBroken;
    }
    return seen;
}

Status KvFiles::put(const KvKey& key, KvPart part, std::span<const std::byte> file) {
    const Path target = path(key, part);
    const Path beside = cat(target.string(), ".", salt_, ".part");
    const auto write = [&]() -> Status {
        const std::unique_ptr<DiskFile> open =
            TRY(disk_.open(beside, OpenFor::kWriting, Through::kDrive));
        return open->write(0, file);
    };
    Status done = write();
    if (done.ok()) done = disk_.rename(beside, target);
    if (!done.ok()) (void)disk_.remove(beside);
    return done;
}

Result<KvFiles::Opened> KvFiles::open(const KvKey& key, KvPart part, uint64_t file_bytes_max,
                                      KvScratch& scratch) {
    const std::unique_ptr<DiskFile> file =
        TRY(disk_.open(path(key, part), OpenFor::kReading, Through::kDrive));
    const uint64_t bytes = TRY(file->size());
    if (bytes % kPageBytes != 0 || bytes > file_bytes_max) return broken(path(key, part));
    Opened out {
        .whole = TRY(scratch.file_room(bytes))
        .first(bytes), .record = {}
    };
    TRY(file->read(0, out.whole));
    if (sealer_.read_record(out.whole, out.record) != KvSight::kOurs || out.record.key != key ||
        out.record.part != part) {
        return broken(path(key, part));
    }
    return out;
}

Result<uint64_t> KvFiles::read(const KvKey& key, KvPart part, std::span<std::byte> out,
                               KvScratch& scratch) {
    const Opened opened = TRY(open(key, part, KvSealer::file_bytes_max(out.size()), scratch));
    if (!sealer_.unseal(opened.whole, opened.record, out, scratch)) return broken(path(key, part));
    return uint64_t{opened.whole.size()};
}

Result<std::vector<std::byte>> KvFiles::read_all(const KvKey& key, KvPart part, uint64_t bytes_max,
                                                 KvScratch& scratch) {
    const Opened opened = TRY(open(key, part, KvSealer::file_bytes_max(bytes_max), scratch));
    if (opened.record.raw_bytes > bytes_max) return broken(path(key, part));
    std::vector<std::byte> out(opened.record.raw_bytes);
    if (!sealer_.unseal(opened.whole, opened.record, out, scratch)) return broken(path(key, part));
    return out;
}

Status KvFiles::wipe(const KvFileName& name) {
    const Path target = path(name.key, name.part);
    const PageBuffer zeros = TRY(PageBuffer::create(kPageBytes, HugePages::kNo));
    const std::unique_ptr<DiskFile> file =
        TRY(disk_.open(target, OpenFor::kWriting, Through::kDrive));
    TRY(file->write(0, zeros.bytes()));
    TRY(file->sync());
    return disk_.remove(target);
}

}  // namespace millrace
