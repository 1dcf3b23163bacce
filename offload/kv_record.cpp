#include "offload/kv_record.h"

#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "core/base/check.h"

namespace millrace {
namespace {

constexpr std::array<char, 8> kMagic = {'M', 'R', 'K', 'V', 'R', 'E', 'C', '1'};
// Rows are codes with little to find in them: higher levels take longer and gain little.
constexpr int kLevel = 1;

struct Clear {
    std::array<char, 8> magic{};
    uint64_t key_id = 0;
    ArchiveKey::Nonce nonce{};
    uint64_t sealed_bytes = 0;
    uint64_t check = 0;  // XXH3 of the above: another secret's file is told from a broken one
    uint64_t zero = 0;

    [[nodiscard]] uint64_t sum() const { return XXH3_64bits(this, offsetof(Clear, check)); }
};
static_assert(sizeof(Clear) == 64 && std::has_unique_object_representations_v<Clear>);

struct Facts {
    ArchiveKey::Digest key{}, parent{}, model{};
    uint32_t part = 0, page = 0;
    uint64_t used = 0, raw_bytes = 0, packed_bytes = 0, checksum = 0;
    std::array<std::byte, 24> zeros{};
};
static_assert(sizeof(Facts) == 160 && std::has_unique_object_representations_v<Facts>);

constexpr size_t kFactsAt = sizeof(Clear);
constexpr size_t kPayloadAt = kFactsAt + sizeof(Facts) + ArchiveKey::kTagBytes;
static_assert(kPayloadAt == KvSealer::kHeaderBytes);

// Two seals of one file must not share a nonce.
ArchiveKey::Nonce payload_nonce(ArchiveKey::Nonce nonce) {
    nonce.back() ^= std::byte{1};
    return nonce;
}

}  // namespace

struct KvScratch::Contexts {
    ZSTD_CCtx* pack = ZSTD_createCCtx();
    ZSTD_DCtx* unpack = ZSTD_createDCtx();
    ~Contexts() {
        ZSTD_freeCCtx(pack);
        ZSTD_freeDCtx(unpack);
    }
};

KvScratch::KvScratch() : contexts_(std::make_unique<Contexts>()) {}
KvScratch::~KvScratch() = default;
KvScratch::KvScratch(KvScratch&&) noexcept = default;
KvScratch& KvScratch::operator=(KvScratch&&) noexcept = default;

Result<std::span<std::byte>> KvScratch::file_room(uint64_t bytes) {
    if (file_.bytes().size() < bytes) file_ = TRY(PageBuffer::create(bytes, HugePages::kNo));
    return file_.bytes();
}

uint64_t KvSealer::file_bytes_max(uint64_t raw_bytes) {
    return round_up(kPayloadAt + ZSTD_compressBound(raw_bytes) + ArchiveKey::kTagBytes, kPageBytes);
}

Result<std::span<const std::byte>> KvSealer::seal(KvRecord& record,
                                                  std::span<const std::byte> bytes,
                                                  const ArchiveKey::Nonce& nonce,
                                                  KvScratch& scratch) const {
    const std::span<std::byte> file = TRY(scratch.file_room(file_bytes_max(bytes.size())));
    std::byte* const payload = file.data() + kPayloadAt;
    const size_t packed =
        ZSTD_compressCCtx(scratch.contexts_->pack, payload, ZSTD_compressBound(bytes.size()),
                          bytes.data(), bytes.size(), kLevel);
    if (ZSTD_isError(packed) != 0) {
        return Error{ErrorCode::kCapacity,
                     "there is no memory to compress a page of the KV archive"};
    }
    record.raw_bytes = bytes.size();
    record.packed_bytes = packed;
    record.checksum = XXH3_64bits(bytes.data(), bytes.size());
    Clear clear{.magic = kMagic,
                .key_id = key_.id(),
                .nonce = nonce,
                .sealed_bytes = packed + ArchiveKey::kTagBytes};
    clear.check = clear.sum();
    const Facts facts{.key = record.key.bytes,
                      .parent = record.parent.bytes,
                      .model = record.model.bytes,
                      .part = static_cast<uint32_t>(record.part),
                      .page = record.page,
                      .used = record.used,
                      .raw_bytes = record.raw_bytes,
                      .packed_bytes = record.packed_bytes,
                      .checksum = record.checksum,
                      .zeros = {}};
    std::memcpy(file.data(), &clear, sizeof clear);
    key_.seal(std::as_bytes(std::span(&facts, 1)), file.first(kFactsAt), nonce,
              file.subspan(kFactsAt, kPayloadAt - kFactsAt));
    key_.seal({payload, packed}, file.first(kPayloadAt), payload_nonce(nonce),
              {payload, packed + ArchiveKey::kTagBytes});
    const size_t used = kPayloadAt + packed + ArchiveKey::kTagBytes;
    const size_t whole = round_up(used, kPageBytes);
    std::fill_n(file.data() + used, whole - used, std::byte{0});
    return std::span<const std::byte>(file.first(whole));
}

KvSight KvSealer::read_record(std::span<const std::byte> file, KvRecord& record) const {
    if (file.size() < kPayloadAt) return KvSight::kBroken;
    Clear clear;
    std::memcpy(&clear, file.data(), sizeof clear);
    if (clear.magic != kMagic || clear.check != clear.sum()) return KvSight::kBroken;
    if (clear.key_id != key_.id()) return KvSight::kForeign;
    Facts facts;
    if (!key_.unseal(file.subspan(kFactsAt, kPayloadAt - kFactsAt), file.first(kFactsAt),
                     clear.nonce, std::as_writable_bytes(std::span(&facts, 1)))) {
        return KvSight::kBroken;
    }
    if (facts.part >= kKvParts ||
        clear.sealed_bytes != facts.packed_bytes + ArchiveKey::kTagBytes) {
        return KvSight::kBroken;
    }
    record = {.key = {facts.key},
              .parent = {facts.parent},
              .model = {facts.model},
              .part = static_cast<KvPart>(facts.part),
              .page = facts.page,
              .used = facts.used,
              .raw_bytes = facts.raw_bytes,
              .packed_bytes = facts.packed_bytes,
              .checksum = facts.checksum};
    return KvSight::kOurs;
}

bool KvSealer::unseal(std::span<std::byte> file, const KvRecord& record, std::span<std::byte> out,
                      KvScratch& scratch) const {
    if (record.raw_bytes != out.size() || file.size() < kPayloadAt) return false;
    const size_t room = file.size() - kPayloadAt;
    if (room < ArchiveKey::kTagBytes || record.packed_bytes > room - ArchiveKey::kTagBytes) {
        return false;
    }
    Clear clear;
    std::memcpy(&clear, file.data(), sizeof clear);
    const std::span<std::byte> sealed =
        file.subspan(kPayloadAt, record.packed_bytes + ArchiveKey::kTagBytes);
    const std::span<std::byte> packed = sealed.first(record.packed_bytes);
    if (!key_.unseal(sealed, file.first(kPayloadAt), payload_nonce(clear.nonce), packed)) {
        return false;
    }
    const size_t unpacked = ZSTD_decompressDCtx(scratch.contexts_->unpack, out.data(), out.size(),
                                                packed.data(), packed.size());
    return ZSTD_isError(unpacked) == 0 && unpacked == out.size() &&
           XXH3_64bits(out.data(), out.size()) == record.checksum;
}

}  // namespace millrace
