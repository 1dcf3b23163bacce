#pragma once
// Rows of an SQLite file without SQLite: every page by itself, so that neither a broken first page nor a broken branch of
// the tree hides what lies elsewhere. The write-ahead log is laid over the file as far as it was committed; a frame whose
// checksum is wrong is passed over. Any bytes may stand here; what rows mean and whether they are genuine is the caller's
// business (a seal tells).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace millrace {

struct RawValue {
    enum class Kind : uint8_t { kNull, kInteger, kBlob, kOther } kind = Kind::kNull;
    int64_t integer = 0;
    std::string_view blob;  // of the row's record
};

struct RawRow {
    int64_t id = 0;  // of a table's row; 0 in an index
    std::vector<RawValue> values;
    std::string record;
};

// Pages of `file` under those of `log`. Both must stay.
class PageSet {
public:
    PageSet(std::string_view file, std::string_view log);
    [[nodiscard]] uint32_t count() const { return count_; }
    // From 1; absent where the file ends.
    [[nodiscard]] std::optional<std::string_view> page(uint32_t number) const;

private:
    void lay_over(std::string_view log);

    std::string_view file_;
    std::unordered_map<uint32_t, std::string_view> log_pages_;
    uint32_t count_ = 0;
};

// Rows that can be read, in the order of pages.
[[nodiscard]] std::vector<RawRow> table_rows(const PageSet& pages);
[[nodiscard]] std::vector<RawRow> index_rows(const PageSet& pages);

}  // namespace millrace
