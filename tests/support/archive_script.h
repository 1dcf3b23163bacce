#pragma once
// Conversations for a KV archive to keep, and what it must answer about them: the bytes of a page follow from its tokens
// alone, so whatever happened to the disk, a page that is read at all can be checked.

#include <optional>
#include <string>
#include <vector>

#include "tests/support/archive_world.h"

namespace millrace::test {

// A sequence of pages; page i is 128 tokens made of path[i].
using PagePath = std::vector<int32_t>;

[[nodiscard]] inline std::vector<TokenId> tokens_of(const PagePath& path) {
    std::vector<TokenId> tokens;
    for (const int32_t page : path) {
        for (int32_t i = 0; i < static_cast<int32_t>(KvArchive::kPageTokens); ++i) {
            tokens.push_back({page * 1000 + i});
        }
    }
    return tokens;
}

// Incompressible, so that the size of a file is known: one block for rows, two for an edge.
[[nodiscard]] inline std::vector<std::byte> bytes_of(const PagePath& path, KvPart part) {
    uint64_t seed = static_cast<uint64_t>(part) + 77;
    for (const int32_t page : path) seed = mix64(seed ^ static_cast<uint64_t>(page));
    std::vector<std::byte> out(part == KvPart::kRows ? 3000 : 7000);
    SeededEntropy(seed).fill(out);
    return out;
}
[[nodiscard]] inline uint64_t file_bytes(KvPart part) {
    return part == KvPart::kRows ? 4096 : 8192;
}

// A user of an archive.
class ArchiveUser {
public:
    ArchiveUser(KvArchive& archive, const std::string& model)
        : archive_(archive), model_(archive.add_model(model, model)) {}

    // The last page of `path`.
    [[nodiscard]] KvPage page(const PagePath& path) const {
        KvPage page{.key = model_, .parent = model_, .model = model_, .number = 0};
        const std::vector<TokenId> tokens = tokens_of(path);
        for (size_t i = 0; i < path.size(); ++i) {
            page.parent = page.key;
            page.key = archive_.next(
                page.parent,
                std::span(tokens).subspan(i * KvArchive::kPageTokens, KvArchive::kPageTokens));
            page.number = static_cast<uint32_t>(i);
        }
        return page;
    }
    KvWrite write(const PagePath& path, KvPart part) {
        return archive_.write(page(path), part, bytes_of(path, part), scratch_);
    }
    // All pages of a path, and an edge at its end.
    void write_all(const PagePath& path) {
        for (size_t n = 1; n <= path.size(); ++n) {
            (void)write({path.begin(), path.begin() + static_cast<std::ptrdiff_t>(n)},
                        KvPart::kRows);
        }
        (void)write(path, KvPart::kEdge);
    }
    [[nodiscard]] bool has(const PagePath& path, KvPart part) const {
        return archive_.has(page(path).key, part);
    }
    // Nothing: it is not there. False: it is there and wrong.
    [[nodiscard]] std::optional<bool> read(const PagePath& path, KvPart part) {
        const auto expected = bytes_of(path, part);
        std::vector<std::byte> out(expected.size());
        if (!archive_.read(page(path).key, part, out, scratch_)) return std::nullopt;
        return out == expected;
    }
    // How many pages somebody who goes on from `path` gets, all read and right; nothing: something was wrong. What cannot be
    // read is looked for again, as a session does it.
    [[nodiscard]] std::optional<size_t> load(const PagePath& path) {
        const std::vector<TokenId> tokens = tokens_of(path);
        while (true) {
            const size_t count = archive_.find(model_, tokens).size();
            if (count == 0) return 0;
            bool whole = true;
            for (size_t n = 1; n <= count && whole; ++n) {
                const PagePath part(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(n));
                const auto rows = read(part, KvPart::kRows);
                if (rows && !*rows) return std::nullopt;
                whole = rows.has_value();
                if (n < count || !whole) continue;
                const auto edge = read(part, KvPart::kEdge);
                if (edge && !*edge) return std::nullopt;
                whole = edge.has_value();
            }
            if (whole) return count;
        }
    }
    [[nodiscard]] size_t found(const PagePath& path) {
        return archive_.find(model_, tokens_of(path)).size();
    }

private:
    KvArchive& archive_;
    KvKey model_;
    KvScratch scratch_;
};

}  // namespace millrace::test
