#pragma once
// A file system in memory that does what disks and machines do to those who write: it runs full, tears writes, flips bits,
// loses a device, kills the process between any two calls, and loses power with everything that was not synced in doubt.
// From one seed, so that a run can be repeated exactly (as long as one thread calls).
//
// After a loss of power:
//   bytes    synced ones stay. Of the writes since, every block of 512 bytes is old or new by chance, whatever the order.
//   sizes    a file whose end was not synced ends anywhere from its synced to its last end; what no write reached is zero.
//   names    creations, renames and removals that no sync_directory covered: a prefix of them has happened.
//
// It is strict as well: reads and writes through the drive must be aligned to 4096 bytes.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/disk.h"
#include "core/base/random.h"

namespace millrace::test {

// Probabilities of one call.
struct DiskFaults {
    double read_error = 0;   // EIO
    double write_error = 0;  // EIO, after some of the bytes
    double bit_flip = 0;     // one bit of what a read returns; the disk itself keeps the right one
};

struct DiskFaultCounts {
    uint64_t read_errors = 0, write_errors = 0, bit_flips = 0, no_space = 0, vanished = 0;
    uint64_t stops = 0;  // killed or without power

    [[nodiscard]] uint64_t total() const {
        return read_errors + write_errors + bit_flips + no_space + vanished + stops;
    }
};

enum class Stop {
    kKill,   // the process ends; all that was written stays
    kPower,  // the machine ends
};

class SimulatedDisk final : public Disk {
public:
    explicit SimulatedDisk(uint64_t seed, uint64_t capacity_bytes = UINT64_MAX);

    void set_faults(const DiskFaults& faults) { faults_ = faults; }
    void set_capacity(uint64_t bytes) { capacity_ = bytes; }
    // Every path at or below `prefix` fails with ENODEV until `bring_back`.
    void vanish(const Path& prefix) { vanished_.insert(prefix.string()); }
    void bring_back(const Path& prefix) { vanished_.erase(prefix.string()); }
    // The call that changes something after `calls` more of them fails, a write possibly in its middle, and so does every
    // call until `restart`.
    void stop_after(uint64_t calls, Stop how);
    [[nodiscard]] bool stopped() const { return stopped_; }
    // What a new process finds. Files opened before stay dead.
    void restart();
    // Calls that changed something so far.
    [[nodiscard]] uint64_t changes() const { return changes_; }
    [[nodiscard]] const DiskFaultCounts& counts() const { return counts_; }

    // For tests, around all faults: the bytes now. Null when there is no such file.
    [[nodiscard]] std::vector<std::byte>* bytes(const Path& path);
    // Every file, its name and its bytes: two runs of one seed have the same.
    [[nodiscard]] uint64_t fingerprint() const;
    [[nodiscard]] uint64_t used_bytes() const;

    [[nodiscard]] Result<std::unique_ptr<DiskFile>> open(const Path& path, OpenFor purpose,
                                                         Through through) override;
    [[nodiscard]] Status rename(const Path& from, const Path& to) override;
    [[nodiscard]] Status remove(const Path& path) override;
    [[nodiscard]] Status make_directory(const Path& path) override;
    [[nodiscard]] Status sync_directory(const Path& path) override;
    [[nodiscard]] Result<std::vector<std::string>> list(const Path& directory) override;
    [[nodiscard]] Result<uint64_t> free_bytes(const Path& path) override;

private:
    class Handle;
    struct Node {
        std::vector<std::byte> now, synced;
        std::set<uint64_t> dirty;  // blocks written since the last sync
    };
    using NodePtr = std::shared_ptr<Node>;
    // A change of names that no sync has covered yet: `name` now means `node` (null: nothing), and a renamed file has lost
    // its old name in the same moment.
    struct NameChange {
        std::string name;
        NodePtr node;
        std::string old_name = {};
    };

    [[nodiscard]] Status enter(const Path& path);
    [[nodiscard]] Status enter_change(const Path& path);
    [[nodiscard]] Status read(const Path& path, Node& node, uint64_t offset,
                              std::span<std::byte> out);
    [[nodiscard]] Status write(const Path& path, Node& node, uint64_t offset,
                               std::span<const std::byte> bytes);
    static void apply(const NameChange& change, std::map<std::string, NodePtr>& names);
    void change_names(NameChange change);
    void put(Node& node, uint64_t offset, std::span<const std::byte> bytes);
    void lose_power(Node& node);
    [[nodiscard]] uint64_t used_locked() const;
    [[nodiscard]] bool chance(double probability) { return random_.unit() < probability; }

    mutable std::mutex mutex_;
    Random random_;
    uint64_t capacity_;
    DiskFaults faults_;
    std::set<std::string> vanished_;
    std::map<std::string, NodePtr> names_, synced_names_;
    std::vector<NameChange> name_changes_;
    std::set<std::string> directories_;
    std::optional<uint64_t> stop_at_;
    Stop stop_how_ = Stop::kKill;
    bool stopped_ = false;
    uint64_t changes_ = 0;
    uint64_t life_ = 0;
    DiskFaultCounts counts_;
};

}  // namespace millrace::test
