#include "core/pack/pack_journal.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/base/strings.h"
#include "core/model/checksum.h"

namespace millrace {
namespace {

constexpr uint64_t kJournalBytesMax = uint64_t{64} << 20;
constexpr size_t kEntryBytes = 24;
using Entry = std::array<std::byte, kEntryBytes>;

void put(std::span<std::byte> at, uint64_t value) {
    for (size_t i = 0; i < 8; ++i) at[i] = static_cast<std::byte>(value >> (8 * i));
}
uint64_t get(std::span<const std::byte> at) {
    uint64_t value = 0;
    for (size_t i = 0; i < 8; ++i) value |= std::to_integer<uint64_t>(at[i]) << (8 * i);
    return value;
}

Entry encode(const FinishedPiece& piece, uint64_t seed) {
    Entry entry;
    const std::span<std::byte> bytes(entry);
    put(bytes, piece.index);
    put(bytes.subspan(8), piece.checksum);
    put(bytes.subspan(16), checksum_of(bytes.first(16), seed));
    return entry;
}

std::optional<FinishedPiece> decode(std::span<const std::byte> bytes, uint64_t seed) {
    if (get(bytes.subspan(16)) != checksum_of(bytes.first(16), seed)) return std::nullopt;
    return FinishedPiece{get(bytes), get(bytes.subspan(8))};
}

}  // namespace

Result<PackJournal> PackJournal::create(Disk& disk, const Path& directory, const StorePlan& plan,
                                        size_t pieces) {
    const std::string line = Json(plan_members(plan)).dump() + "\n";
    const Path path = directory / kPackProgressName;
    TRY(replace_file(disk, path, line + std::string(pieces * kEntryBytes, '\0')));
    return PackJournal(TRY(disk.open(path, OpenFor::kWriting, Through::kPageCache)), line.size(),
                       plan.id);
}

Result<std::optional<PackJournal::Found>> PackJournal::open(Disk& disk, const Path& directory) {
    const std::vector<std::string> names = TRY(disk.list(directory));
    if (!std::ranges::binary_search(names, kPackProgressName)) return std::optional<Found>();
    const Path path = directory / kPackProgressName;
    const auto damaged = [&](std::string_view how) {
        return Error{ErrorCode::kCorrupt,
                     cat(path.string(), " ", how,
                         "; nothing of the unfinished store can be used: remove it and begin "
                         "again")};
    };
    std::unique_ptr<DiskFile> file = TRY(disk.open(path, OpenFor::kWriting, Through::kPageCache));
    const uint64_t size = TRY(file->size());
    if (size > kJournalBytesMax) return damaged(cat("has ", size, " bytes, far too many"));
    std::string text(size, '\0');
    TRY(file->read(0, std::as_writable_bytes(std::span(text))));
    const size_t line = text.find('\n');
    if (line == std::string::npos) return damaged("has no first line");
    const Result<Json> json = Json::parse_unique(std::string_view(text).substr(0, line));
    Result<StorePlan> plan = json ? parse_plan(*json) : Result<StorePlan>(json.error());
    if (!plan) return damaged(cat("is damaged (", plan.error().message, ")"));
    std::vector<FinishedPiece> finished;
    uint64_t end = line + 1;
    const auto bytes = std::as_bytes(std::span(text));
    for (; end + kEntryBytes <= size; end += kEntryBytes) {
        const auto piece = decode(bytes.subspan(end, kEntryBytes), plan->id);
        if (!piece) break;  // torn: it and what follows was never promised
        finished.push_back(*piece);
    }
    const uint64_t id = plan->id;
    return std::optional<Found>(
        Found{*std::move(plan), std::move(finished), PackJournal(std::move(file), end, id)});
}

Status PackJournal::append(std::span<const FinishedPiece> pieces) {
    if (pieces.empty()) return {};
    std::vector<std::byte> bytes;
    for (const FinishedPiece& piece : pieces) {
        const Entry entry = encode(piece, seed_);
        bytes.insert(bytes.end(), entry.begin(), entry.end());
    }
    TRY(file_->write(end_, bytes));
    TRY(file_->sync());
    end_ += bytes.size();
    return {};
}

Status PackJournal::remove(Disk& disk, const Path& directory) {
    TRY(disk.remove(directory / kPackProgressName));
    return disk.sync_directory(directory);
}

}  // namespace millrace
