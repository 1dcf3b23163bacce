#pragma once
// One file of the KV archive: a record of bytes, compressed, checked and sealed.
//
//   0     magic "MRKVREC1", id of the secret (8), nonce (24), length of the sealed payload (8), XXH3 of these (8), zeros (8)
//   64    sealed facts: KvRecord as 160 bytes, and their tag of 16
//   240   sealed payload: zstd of the bytes, and a tag of 16
//   …     zeros up to a multiple of 4096: files are read around the page cache, whose place belongs to weights
//
// The seal of the facts covers what stands before it, the seal of the payload all of that: nothing can be exchanged between
// two files. XXH3 of the bytes stands with the facts; it is checked last, over what will be used.
//
// What is read here may be anything: torn, flipped, another file, another secret's.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/base/memory.h"
#include "offload/archive_key.h"

namespace millrace {

// Names a run of tokens from the first on, and the model that saw them.
struct KvKey {
    ArchiveKey::Digest bytes{};
    friend auto operator<=>(const KvKey&, const KvKey&) = default;
};

enum class KvPart : uint32_t {
    kRows,   // of a page: what every later token reads
    kEdge,   // of a page: what only the tokens right behind it read
    kModel,  // a model's name for people
    kIndex,  // kv_index.h
};
inline constexpr uint32_t kKvParts = 4;

struct KvRecord {
    KvKey key, parent, model;  // the parent of a model's first page is the model
    KvPart part = KvPart::kRows;
    uint32_t page = 0;  // its number in the sequence
    uint64_t used = 0;  // when it was written (KvArchive's time)
    uint64_t raw_bytes = 0, packed_bytes = 0;
    uint64_t checksum = 0;  // XXH3 of the raw bytes
};

// Room to read and write records; grows to the largest it saw. One thread at a time.
class KvScratch {
public:
    KvScratch();
    ~KvScratch();
    KvScratch(KvScratch&&) noexcept;
    KvScratch& operator=(KvScratch&&) noexcept;

    // At least so many bytes, aligned for the drive. What was there is lost. kCapacity when refused.
    [[nodiscard]] Result<std::span<std::byte>> file_room(uint64_t bytes);

private:
    friend class KvSealer;
    struct Contexts;  // of zstd
    std::unique_ptr<Contexts> contexts_;
    PageBuffer file_;
};

enum class KvSight {
    kOurs,
    kForeign,  // whole as far as one can see, but of another secret
    kBroken,
};

class KvSealer {
public:
    explicit KvSealer(const ArchiveKey& key) : key_(key) {}

    // The file of `record` with these bytes, in the scratch; fills the record's sizes and checksum.
    [[nodiscard]] Result<std::span<const std::byte>> seal(KvRecord& record,
                                                          std::span<const std::byte> bytes,
                                                          const ArchiveKey::Nonce& nonce,
                                                          KvScratch& scratch) const;

    // The facts, from the first kHeaderBytes of a file or more.
    [[nodiscard]] KvSight read_record(std::span<const std::byte> file, KvRecord& record) const;
    // The bytes of a whole file whose facts are `record`; the file is decrypted where it lies. False: they are not there.
    [[nodiscard]] bool unseal(std::span<std::byte> file, const KvRecord& record,
                              std::span<std::byte> out, KvScratch& scratch) const;

    static constexpr size_t kHeaderBytes = 240;
    // Of a file with so many bytes in it, at most.
    [[nodiscard]] static uint64_t file_bytes_max(uint64_t raw_bytes);

private:
    const ArchiveKey& key_;
};

}  // namespace millrace
