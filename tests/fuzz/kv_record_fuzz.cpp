// Any bytes as a file of the KV archive, as what is sealed in one, and as the name of one.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "offload/kv_index.h"
#include "offload/kv_record.h"

using namespace millrace;

namespace {

// A file of anybody: it opens with whole facts or not at all, and never gives more than was asked for.
void open_file(std::span<const std::byte> bytes, const KvSealer& sealer, KvScratch& scratch) {
    std::vector<std::byte> file(bytes.begin(), bytes.end());
    KvRecord record;
    if (sealer.read_record(file, record) != KvSight::kOurs) return;
    constexpr uint64_t kLongest = 1 << 20;
    std::vector<std::byte> out(std::min(record.raw_bytes, kLongest));
    static_cast<void>(sealer.unseal(file, record, out, scratch));
}

// What comes out of a seal is what went in.
void seal_and_open(std::span<const std::byte> bytes, const KvSealer& sealer, KvScratch& scratch) {
    KvRecord record, found;
    record.page = static_cast<uint32_t>(bytes.size());
    const auto sealed = sealer.seal(record, bytes, {}, scratch);
    ENSURE(sealed.ok());
    std::vector<std::byte> file(sealed->begin(), sealed->end()), out(bytes.size());
    ENSURE(sealer.read_record(file, found) == KvSight::kOurs);
    ENSURE(found.page == record.page && found.raw_bytes == bytes.size());
    ENSURE(sealer.unseal(file, found, out, scratch));
    ENSURE(std::ranges::equal(out, bytes));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const ArchiveKey key = ArchiveKey::of({});
    static const KvSealer sealer(key);
    static KvScratch scratch;
    const auto bytes = std::as_bytes(std::span(data, size));
    open_file(bytes, sealer, scratch);
    seal_and_open(bytes, sealer, scratch);
    if (const auto entries = unpack_index(bytes)) {
        ENSURE(unpack_index(pack_index(*entries))->size() == entries->size());
    }
    const std::string_view name(reinterpret_cast<const char*>(data), size);
    if (const auto parsed = parse_kv_file_name(name); parsed && parsed->whole) {
        ENSURE(kv_file_name(parsed->key, parsed->part) == name);
    }
    return 0;
}
