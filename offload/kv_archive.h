#pragma once
// KV state on disk: what a model made of tokens, so that nobody has to make it again. Knows bytes, keys and time; not what
// is in a page.
//
// A page stands for 128 tokens behind those of its parent page; its key is a keyed hash of all of them and of the model, so
// a page can only be found by who has the same tokens, the same model and the secret. It has up to two files:
//
//   rows   what all later tokens read: small (450 KB for Flash)
//   edge   what only the tokens right behind it read: large (3.6 MB for Flash), there where somebody may go on
//
// One file a record, written beside its place and renamed there; nothing is ever changed in place. Why not segments of many
// pages: a page is the unit of forgetting, and to forget one is to unlink it; there is no space to reclaim, no log to
// repair, no lock between processes. The price is an open and a seek a page, paid by reading four pages at a time:
// 4 × 450 KB in flight is what 2 MiB chunks of one file would be. A million tokens of Flash are 8192 pages.
//
// Whatever happens, a read gives the bytes that were written for that key or nothing: names, facts and bytes are sealed
// together. So nothing is synced; after a loss of power some of the last pages are noise, found out when they are read,
// and removed. Several processes may use a directory at once: a file that vanished is a page that is not
// there, two that write the same page write the same bytes, and each sees what the others wrote when it looks for it.
//
// Any thread may call.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/base/disk.h"
#include "core/base/types.h"
#include "offload/archive_key.h"
#include "offload/kv_files.h"
#include "offload/kv_table.h"

namespace millrace {

struct KvArchiveOptions {
    Path directory;
    // What all pages may take together. Absent: 20 GiB, or a tenth of what the disk has free or the archive has taken.
    std::optional<uint64_t> budget_bytes = std::nullopt;
};

// What the archive lives on. All must outlive it.
struct KvArchiveWorld {
    Disk& disk;
    Entropy& entropy;
    Calendar& calendar;
};

// Where a page belongs.
struct KvPage {
    KvKey key, parent, model;
    uint32_t number = 0;
};

enum class KvWrite {
    kStored,
    kKnown,    // it was there
    kNoPlace,  // its parent is not there, or the budget holds no such page
    kOff,      // the disk failed or is full: nothing more is stored
};

struct KvArchiveStats {
    uint64_t files = 0, bytes = 0, foreign_files = 0, foreign_bytes = 0, budget_bytes = 0;
    uint64_t stored = 0, stored_bytes = 0, stored_raw_bytes = 0;
    uint64_t read = 0, read_bytes = 0;
    uint64_t lost = 0;  // could not be read when they were wanted
    uint64_t evicted = 0;
};

// What the archive keeps of one model.
struct KvModelUse {
    std::string label;  // "" when nobody knows any more
    uint64_t pages = 0, edges = 0, bytes = 0;
    int64_t used_s = 0;  // seconds since 1970
};

class KvArchive {
public:
    static constexpr size_t kPageTokens = 128;

    // Makes the directory if need be, looks what is there, and forgets what is over the budget. Fails when the directory
    // cannot be made or listed.
    [[nodiscard]] static Result<std::unique_ptr<KvArchive>> open(const KvArchiveWorld& world,
                                                                 const ArchiveKey& key,
                                                                 const KvArchiveOptions& options);
    ~KvArchive();  // saves the index

    // `identity` is everything that a page's bits depend on; `label` is for people.
    [[nodiscard]] KvKey add_model(std::string_view identity, std::string_view label);
    // The page of these 128 tokens behind `parent`; the parent of the first is the model.
    [[nodiscard]] KvKey next(const KvKey& parent, std::span<const TokenId> page) const;

    // The longest run of pages of these tokens, from the first on, that somebody can go on from: the last has an edge.
    // They count as used now.
    [[nodiscard]] std::vector<KvKey> find(const KvKey& model, std::span<const TokenId> tokens);
    // How many pages `find` would give, of those that this process knows of; nothing counts as used, and no file is touched.
    [[nodiscard]] size_t count_known(const KvKey& model, std::span<const TokenId> tokens) const;
    [[nodiscard]] bool has(const KvKey& key, KvPart part) const;
    // Fills all of `out` with what was written, or says false and forgets the file and what hangs on it.
    [[nodiscard]] bool read(const KvKey& key, KvPart part, std::span<std::byte> out,
                            KvScratch& scratch);
    [[nodiscard]] KvWrite write(const KvPage& page, KvPart part, std::span<const std::byte> bytes,
                                KvScratch& scratch);

    // Sentences that a person should see, each once.
    [[nodiscard]] std::vector<std::string> take_notices();
    [[nodiscard]] KvArchiveStats stats() const;
    [[nodiscard]] std::vector<KvModelUse> models();

    // Writes the index; looks at what other processes did first.
    void save();
    // Removes what nobody can read or reach, then the longest unused until `budget_bytes` are left.
    void prune(uint64_t budget_bytes);
    // Everything, so that not even the drive's own leftovers can be decrypted.
    [[nodiscard]] Status erase();

private:
    using Lock = std::unique_lock<std::mutex>;
    struct Foreign {
        KvFileName name;
        uint64_t bytes = 0;
    };
    KvArchive(const KvArchiveWorld& world, const ArchiveKey& key, const Path& directory);

    [[nodiscard]] uint64_t now(const Lock& lock);
    [[nodiscard]] uint64_t total_bytes(const Lock& lock) const;
    [[nodiscard]] KvKey index_key() const;
    [[nodiscard]] Status refresh(KvFiles::Unfinished unfinished, const Lock& lock);
    [[nodiscard]] std::vector<KvIndexEntry> read_index(const Lock& lock);
    [[nodiscard]] bool take_in(const KvFileName& name, std::vector<KvPlace>& places,
                               const Lock& lock);
    enum class Orphans { kRemove, kLeave };
    void place_all(std::vector<KvPlace> places, Orphans orphans, const Lock& lock);
    [[nodiscard]] bool adopt(const KvPage& page, KvPart part, const Lock& lock);
    void remove_files(std::span<const KvPlace> places, const Lock& lock);
    void make_room(uint64_t bytes, uint64_t budget, const Lock& lock);
    void save(const Lock& lock);
    void turn_off(const Error& error, const Lock& lock);
    [[nodiscard]] uint64_t default_budget(const Lock& lock) const;

    KvArchiveWorld world_;
    const ArchiveKey key_;
    KvFiles files_;
    uint64_t budget_ = 0;  // never changes

    mutable std::mutex mutex_;  // all below
    KvTable table_;
    std::vector<Foreign> foreign_;              // files of another secret
    std::vector<KvKey> labelled_;               // models with a file of their own
    std::set<std::pair<KvKey, KvPart>> stuck_;  // broken, and could not be removed
    uint64_t foreign_bytes_ = 0;
    uint64_t last_used_ = 0;
    uint64_t written_since_look_ = 0, writes_since_save_ = 0;
    bool off_ = false, foreign_told_ = false, changed_ = false;
    std::vector<std::string> notices_;
    KvArchiveStats stats_;
};

}  // namespace millrace
