#pragma once
// Which pages the archive has: a tree by prefixes, what each costs, and who is forgotten first. No files, no threads.
//
//   model ── page 0 ── page 1 ── page 2 ● edge        Leaves: edges, and pages with neither an edge nor a page behind
//                        ●  └─── page 2' ●            them. Only leaves are ever forgotten, so that a page is never left
//                                                     without its parents.

#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "offload/kv_record.h"

namespace millrace {

struct KvKeyHash {
    size_t operator()(const KvKey& key) const noexcept;
};

// What the archive knows of one file.
struct KvPlace {
    KvKey key, parent, model;
    KvPart part = KvPart::kRows;  // kRows or kEdge
    uint32_t page = 0;
    uint64_t used = 0;  // greater is later
    uint64_t bytes = 0;
};

class KvTable {
public:
    [[nodiscard]] bool has(const KvKey& key, KvPart part) const;
    // Whether `place` may be added: an edge has its page, a page its parent or is a model's first.
    [[nodiscard]] bool fits(const KvPlace& place) const;
    // It fits. What is there already is replaced.
    void add(const KvPlace& place);
    void touch(const KvKey& key, KvPart part, uint64_t used);
    // Used the longest time ago.
    [[nodiscard]] std::optional<KvPlace> oldest_leaf() const;
    // Forgets an edge, or a page with all that hangs on it. Returns what is gone, the farthest from the root first.
    std::vector<KvPlace> remove(const KvKey& key, KvPart part);

    [[nodiscard]] uint64_t bytes() const { return bytes_; }
    [[nodiscard]] size_t count() const { return count_; }
    // In no order.
    [[nodiscard]] std::vector<KvPlace> places() const;

private:
    struct File {
        uint64_t used = 0, bytes = 0;
    };
    struct Page {
        KvKey parent, model;
        uint32_t number = 0;
        File rows;
        std::optional<File> edge;
        std::vector<KvKey> children;
        [[nodiscard]] bool is_leaf() const { return children.empty() && !edge; }
    };
    using Pages = std::unordered_map<KvKey, Page, KvKeyHash>;
    struct Leaf {
        uint64_t used;
        KvKey key;
        KvPart part;
        friend auto operator<=>(const Leaf&, const Leaf&) = default;
    };
    [[nodiscard]] static KvPlace place_of(const KvKey& key, const Page& page, KvPart part);
    void remove_file(const KvKey& key, const Page& page, KvPart part, std::vector<KvPlace>& gone);

    Pages pages_;
    std::set<Leaf> leaves_;
    uint64_t bytes_ = 0;
    size_t count_ = 0;  // files
};

}  // namespace millrace
