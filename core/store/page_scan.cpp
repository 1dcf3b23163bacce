#include "core/store/page_scan.h"

#include <algorithm>
#include <array>

#include "core/store/rows.h"

// https://www.sqlite.org/fileformat2.html says what stands where.

namespace millrace {
namespace {

constexpr size_t kPage = kStorePageBytes;
constexpr size_t kLogHeaderBytes = 32, kFrameHeaderBytes = 24;
constexpr uint8_t kTableLeaf = 13, kIndexLeaf = 10, kIndexInside = 2;

uint8_t byte_at(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }

uint64_t big_endian(std::string_view bytes, size_t at, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i) value = (value << 8) | byte_at(bytes, at + i);
    return value;
}
uint32_t word(std::string_view bytes, size_t at) {
    return static_cast<uint32_t>(big_endian(bytes, at, 4));
}

// SQLite's number of 1 to 9 bytes; false where the bytes end.
bool take_varint(std::string_view bytes, size_t& at, uint64_t& value) {
    value = 0;
    for (int i = 0; i < 9; ++i) {
        if (at >= bytes.size()) return false;
        const uint8_t byte = byte_at(bytes, at++);
        if (i == 8) {
            value = (value << 8) | byte;
            return true;
        }
        value = (value << 7) | (byte & 0x7F);
        if ((byte & 0x80) == 0) return true;
    }
    return true;
}

struct Checksum {
    uint32_t first = 0, second = 0;
    bool operator==(const Checksum&) const = default;
};

Checksum read_checksum(std::string_view bytes, size_t at) {
    return {word(bytes, at), word(bytes, at + 4)};
}

Checksum add_words(Checksum sum, std::string_view bytes, bool big) {
    const auto next = [&](size_t at) {
        const uint32_t value = word(bytes, at);
        return big ? value : __builtin_bswap32(value);
    };
    for (size_t at = 0; at + 8 <= bytes.size(); at += 8) {
        sum.first += next(at) + sum.second;
        sum.second += next(at + 4) + sum.first;
    }
    return sum;
}

// The record of a cell: what lies in the page and what its chain of overflow pages holds. False: it is not whole.
bool gather(const PageSet& pages, std::string_view page, size_t at, uint64_t size, size_t local_max,
            std::string& out) {
    // No record is larger than the file.
    if (size > uint64_t{pages.count()} * kPage) return false;
    const size_t local_min = (kPage - 12) * 32 / 255 - 23;
    size_t local = static_cast<size_t>(size);
    if (size > local_max) {
        const size_t wanted = local_min + (static_cast<size_t>(size) - local_min) % (kPage - 4);
        local = wanted <= local_max ? wanted : local_min;
    }
    if (at + local > page.size()) return false;
    out = page.substr(at, local);
    if (local == size) return true;
    if (at + local + 4 > page.size()) return false;
    uint32_t next = word(page, at + local);
    while (out.size() < size) {
        const auto piece = pages.page(next);
        if (!piece) return false;
        const size_t want = std::min<size_t>(static_cast<size_t>(size) - out.size(), kPage - 4);
        out.append(piece->substr(4, want));
        next = word(*piece, 0);
    }
    return true;
}

// How many bytes a value of this serial type has; absent: there is no such type.
std::optional<uint64_t> value_bytes(uint64_t type) {
    constexpr std::array<uint64_t, 10> kFixed{0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
    if (type < kFixed.size()) return kFixed[type];
    if (type < 12) return std::nullopt;
    return (type - 12) / 2;
}

RawValue read_value(std::string_view record, size_t at, uint64_t type, size_t size) {
    RawValue value;
    if (type == 0) return value;
    if (type == 8 || type == 9) {
        value.kind = RawValue::Kind::kInteger;
        value.integer = static_cast<int64_t>(type) - 8;
    } else if (type < 7) {
        value.kind = RawValue::Kind::kInteger;
        const int unused = 64 - 8 * static_cast<int>(size);
        value.integer = static_cast<int64_t>(big_endian(record, at, size) << unused) >> unused;
    } else if (type >= 12 && type % 2 == 0) {
        value.kind = RawValue::Kind::kBlob;
        value.blob = record.substr(at, size);
    } else {
        value.kind = RawValue::Kind::kOther;
    }
    return value;
}

bool read_record(RawRow& row) {
    const std::string_view record = row.record;
    size_t at = 0;
    uint64_t header = 0;
    if (!take_varint(record, at, header) || header > record.size()) return false;
    size_t data = static_cast<size_t>(header);
    while (at < header) {
        uint64_t type = 0;
        if (!take_varint(record, at, type)) return false;
        const auto size = value_bytes(type);
        if (!size || *size > record.size() - data) return false;
        row.values.push_back(read_value(record, data, type, static_cast<size_t>(*size)));
        data += static_cast<size_t>(*size);
    }
    return true;
}

enum class Tree { kTable, kIndex };

bool read_cell(const PageSet& pages, std::string_view page, size_t at, Tree tree, bool inside,
               RawRow& row) {
    if (inside) at += 4;  // the page that is left of it
    uint64_t size = 0, id = 0;
    if (!take_varint(page, at, size)) return false;
    if (tree == Tree::kTable && !take_varint(page, at, id)) return false;
    row.id = static_cast<int64_t>(id);
    const size_t local_max = tree == Tree::kTable ? kPage - 35 : (kPage - 12) * 64 / 255 - 23;
    return gather(pages, page, at, size, local_max, row.record) && read_record(row);
}

std::vector<RawRow> rows_of(const PageSet& pages, Tree tree) {
    std::vector<RawRow> rows;
    for (uint32_t number = 1; number <= pages.count(); ++number) {
        const auto page = pages.page(number);
        if (!page) continue;
        const size_t start = number == 1 ? 100 : 0;
        const uint8_t type = byte_at(*page, start);
        const bool inside = type == kIndexInside;
        const bool wanted =
            tree == Tree::kTable ? type == kTableLeaf : type == kIndexLeaf || inside;
        if (!wanted) continue;
        const size_t pointers = start + (inside ? 12 : 8);
        const size_t cells =
            std::min<size_t>(big_endian(*page, start + 3, 2), (kPage - pointers) / 2);
        for (size_t i = 0; i < cells; ++i) {
            RawRow row;
            const size_t at = big_endian(*page, pointers + 2 * i, 2);
            if (at < kPage && read_cell(pages, *page, at, tree, inside, row)) {
                rows.push_back(std::move(row));
            }
        }
    }
    // A short record lies inside its string, so moving a row moves the bytes: the views are made anew.
    for (RawRow& row : rows) {
        row.values.clear();
        void(read_record(row));
    }
    return rows;
}

}  // namespace

PageSet::PageSet(std::string_view file, std::string_view log)
    : file_(file), count_(static_cast<uint32_t>(file.size() / kPage)) {
    lay_over(log);
}

void PageSet::lay_over(std::string_view log) {
    if (log.size() < kLogHeaderBytes) return;
    const bool big = (word(log, 0) & 1) != 0;
    const std::string_view salt = log.substr(16, 8);
    Checksum before = read_checksum(log, 24);
    std::unordered_map<uint32_t, std::string_view> open;  // of a transaction that may not end
    constexpr size_t kFrame = kFrameHeaderBytes + kPage;
    for (size_t at = kLogHeaderBytes; at + kFrame <= log.size(); at += kFrame) {
        const std::string_view frame = log.substr(at, kFrame);
        if (frame.substr(8, 8) != salt) break;  // what an earlier round of the log left behind
        const std::string_view page = frame.substr(kFrameHeaderBytes);
        const Checksum sum = add_words(add_words(before, frame.substr(0, 8), big), page, big);
        before = read_checksum(frame, 16);
        if (sum != before) continue;
        const uint32_t number = word(frame, 0), pages = word(frame, 4);
        if (number != 0) open[number] = page;
        if (pages == 0) continue;
        for (const auto& [n, bytes] : open) {
            log_pages_[n] = bytes;
            // A hostile number must not make the scan long.
            if (n <= count_ + log.size() / kPage) count_ = std::max(count_, n);
        }
        open.clear();
    }
}

std::optional<std::string_view> PageSet::page(uint32_t number) const {
    if (number == 0) return std::nullopt;
    if (const auto found = log_pages_.find(number); found != log_pages_.end()) return found->second;
    if (number > file_.size() / kPage) return std::nullopt;
    return file_.substr((size_t{number} - 1) * kPage, kPage);
}

std::vector<RawRow> table_rows(const PageSet& pages) { return rows_of(pages, Tree::kTable); }
std::vector<RawRow> index_rows(const PageSet& pages) { return rows_of(pages, Tree::kIndex); }

}  // namespace millrace
