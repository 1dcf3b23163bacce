#include "offload/kv_index.h"

#include <array>
#include <cstring>
#include <type_traits>

namespace millrace {
namespace {

struct Stored {
    ArchiveKey::Digest key{}, parent{}, model{};
    uint32_t part = 0, page = 0, owner = 0, zero = 0;
    uint64_t used = 0, bytes = 0;
};
static_assert(sizeof(Stored) == 128 && std::has_unique_object_representations_v<Stored>);

constexpr std::array<std::string_view, kKvParts> kEndings = {".rows", ".edge", ".model", ".index"};
constexpr std::string_view kUnfinished = ".part";
constexpr std::string_view kDigits = "0123456789abcdef";

}  // namespace

std::vector<std::byte> pack_index(std::span<const KvIndexEntry> entries) {
    std::vector<std::byte> bytes(entries.size() * sizeof(Stored));
    for (size_t i = 0; i < entries.size(); ++i) {
        const KvPlace& place = entries[i].place;
        const Stored stored{.key = place.key.bytes,
                            .parent = place.parent.bytes,
                            .model = place.model.bytes,
                            .part = static_cast<uint32_t>(place.part),
                            .page = place.page,
                            .owner = static_cast<uint32_t>(entries[i].owner),
                            .zero = 0,
                            .used = place.used,
                            .bytes = place.bytes};
        std::memcpy(bytes.data() + i * sizeof stored, &stored, sizeof stored);
    }
    return bytes;
}

std::optional<std::vector<KvIndexEntry>> unpack_index(std::span<const std::byte> bytes) {
    if (bytes.size() % sizeof(Stored) != 0) return std::nullopt;
    std::vector<KvIndexEntry> entries;
    entries.reserve(bytes.size() / sizeof(Stored));
    for (; !bytes.empty(); bytes = bytes.subspan(sizeof(Stored))) {
        Stored stored;
        std::memcpy(&stored, bytes.data(), sizeof stored);
        if (stored.part > static_cast<uint32_t>(KvPart::kEdge) ||
            stored.owner > static_cast<uint32_t>(KvOwner::kForeign)) {
            return std::nullopt;
        }
        entries.push_back({.place = {.key = {stored.key},
                                     .parent = {stored.parent},
                                     .model = {stored.model},
                                     .part = static_cast<KvPart>(stored.part),
                                     .page = stored.page,
                                     .used = stored.used,
                                     .bytes = stored.bytes},
                           .owner = static_cast<KvOwner>(stored.owner)});
    }
    return entries;
}

std::string kv_file_name(const KvKey& key, KvPart part) {
    std::string name;
    for (const std::byte b : key.bytes) {
        name += kDigits[std::to_integer<size_t>(b >> 4)];
        name += kDigits[std::to_integer<size_t>(b & std::byte{15})];
    }
    name += kEndings[static_cast<size_t>(part)];
    return name;
}

std::optional<KvFileName> parse_kv_file_name(std::string_view name) {
    KvFileName out;
    if (name.size() < 2 * out.key.bytes.size()) return std::nullopt;
    for (std::byte& b : out.key.bytes) {
        const size_t high = kDigits.find(name[0]), low = kDigits.find(name[1]);
        if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
        b = static_cast<std::byte>(high * 16 + low);
        name.remove_prefix(2);
    }
    if (name.ends_with(kUnfinished)) {
        out.whole = false;
        return out;
    }
    for (size_t part = 0; part < kEndings.size(); ++part) {
        if (name != kEndings[part]) continue;
        out.part = static_cast<KvPart>(part);
        return out;
    }
    return std::nullopt;
}

}  // namespace millrace
