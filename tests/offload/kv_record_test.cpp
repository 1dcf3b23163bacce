// A file of the archive is what was written, or it is nothing.

#include "offload/kv_record.h"

#include <doctest/doctest.h>

#include "tests/support/archive_world.h"

namespace millrace::test {
namespace {

KvKey key_of(uint64_t seed) {
    KvKey key;
    SeededEntropy(seed).fill(key.bytes);
    return key;
}

struct Sealed {
    explicit Sealed(size_t payload_bytes = 5000) : payload(seeded_bytes(9, payload_bytes)) {
        ArchiveKey::Nonce nonce;
        SeededEntropy(10).fill(nonce);
        const auto sealed = sealer.seal(record, payload, nonce, scratch);
        REQUIRE(sealed.ok());
        file.assign(sealed->begin(), sealed->end());
    }
    // Whether `bytes` are a file whose payload can be had; if so it must be the right one.
    bool opens(std::vector<std::byte> bytes) {
        KvRecord found;
        if (sealer.read_record(bytes, found) != KvSight::kOurs) return false;
        CHECK(found.key == record.key);
        CHECK(found.used == record.used);
        std::vector<std::byte> out(payload.size());
        if (!sealer.unseal(bytes, found, out, scratch)) return false;
        CHECK(out == payload);
        return true;
    }

    ArchiveKey key = archive_key(1);
    KvSealer sealer{key};
    KvScratch scratch;
    KvRecord record{.key = key_of(1),
                    .parent = key_of(2),
                    .model = key_of(3),
                    .part = KvPart::kEdge,
                    .page = 17,
                    .used = 42};
    std::vector<std::byte> payload, file;
};

}  // namespace

TEST_CASE("a record comes back with its facts and bytes, in whole blocks") {
    for (const size_t bytes : {size_t{0}, size_t{1}, size_t{4096}, size_t{100000}}) {
        CAPTURE(bytes);
        Sealed sealed(bytes);
        CHECK(sealed.file.size() % 4096 == 0);
        CHECK(sealed.file.size() <= KvSealer::file_bytes_max(bytes));
        KvRecord found;
        REQUIRE(sealed.sealer.read_record(sealed.file, found) == KvSight::kOurs);
        CHECK(found.parent == sealed.record.parent);
        CHECK(found.model == sealed.record.model);
        CHECK(found.part == KvPart::kEdge);
        CHECK(found.page == 17);
        CHECK(found.raw_bytes == bytes);
        CHECK(sealed.opens(sealed.file));
        std::vector<std::byte> wrong(bytes + 1);
        CHECK_FALSE(sealed.sealer.unseal(sealed.file, found, wrong, sealed.scratch));
    }
}

TEST_CASE("a flipped bit anywhere in what counts is found") {
    Sealed sealed;
    KvRecord found;
    REQUIRE(sealed.sealer.read_record(sealed.file, found) == KvSight::kOurs);
    const size_t used = KvSealer::kHeaderBytes + found.packed_bytes + ArchiveKey::kTagBytes;
    REQUIRE(used < sealed.file.size());
    for (size_t at = 0; at < sealed.file.size(); ++at) {
        std::vector<std::byte> bytes = sealed.file;
        bytes[at] ^= std::byte{1} << (at % 8);
        CHECK_MESSAGE(sealed.opens(bytes) == (at >= used), "byte ", at);
    }
}

TEST_CASE("a file that ends too early is nothing, wherever it ends") {
    Sealed sealed;
    KvRecord found;
    REQUIRE(sealed.sealer.read_record(sealed.file, found) == KvSight::kOurs);
    const size_t used = KvSealer::kHeaderBytes + found.packed_bytes + ArchiveKey::kTagBytes;
    for (size_t end = 0; end <= used; ++end) {
        CHECK(sealed.opens({sealed.file.begin(), sealed.file.begin() + static_cast<std::ptrdiff_t>(
                                                                           end)}) == (end == used));
    }
}

TEST_CASE("the head of one file and the rest of another are no file") {
    Sealed one;
    Sealed two;
    two.record.page = 18;
    ArchiveKey::Nonce nonce;
    SeededEntropy(10).fill(nonce);  // even with the same nonce
    const auto again = two.sealer.seal(two.record, seeded_bytes(11, 5000), nonce, two.scratch);
    REQUIRE(again.ok());
    std::vector<std::byte> mixed = one.file;
    std::copy(again->begin() + KvSealer::kHeaderBytes, again->end(),
              mixed.begin() + KvSealer::kHeaderBytes);
    CHECK_FALSE(one.opens(mixed));
}

TEST_CASE("another secret's file is told from a broken one") {
    Sealed sealed;
    const ArchiveKey other = archive_key(2);
    KvRecord found;
    CHECK(KvSealer(other).read_record(sealed.file, found) == KvSight::kForeign);
    for (const size_t at : {size_t{0}, size_t{8}, size_t{15}, size_t{16}, size_t{40}, size_t{48}}) {
        std::vector<std::byte> bytes = sealed.file;
        bytes[at] ^= std::byte{1};
        CHECK(KvSealer(other).read_record(bytes, found) == KvSight::kBroken);
        CHECK(sealed.sealer.read_record(bytes, found) == KvSight::kBroken);
    }
}

}  // namespace millrace::test
