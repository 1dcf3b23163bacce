#include "tests/support/simulated_disk.h"

#include <algorithm>
#include <cerrno>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/strings.h"

namespace millrace::test {
namespace {

constexpr uint64_t kSectorBytes = 512;

void mix(uint64_t& hash, uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 29;
}

bool is_below(const std::string& path, const std::string& prefix) {
    return path == prefix || path.starts_with(prefix + "/");
}

std::string parent_of(const std::string& path) { return Path(path).parent_path().string(); }

}  // namespace

class SimulatedDisk::Handle final : public DiskFile {
public:
    Handle(SimulatedDisk& disk, NodePtr node, Path path, Through through, OpenFor purpose)
        : disk_(disk),
          node_(std::move(node)),
          path_(std::move(path)),
          through_(through),
          purpose_(purpose),
          life_(disk.life_) {}

    [[nodiscard]] Status read(uint64_t offset, std::span<std::byte> out) override {
        const std::scoped_lock lock(disk_.mutex_);
        check_aligned(offset, out.size(), out.data());
        TRY(alive());
        return disk_.read(path_, *node_, offset, out);
    }
    [[nodiscard]] Status write(uint64_t offset, std::span<const std::byte> bytes) override {
        const std::scoped_lock lock(disk_.mutex_);
        check_aligned(offset, bytes.size(), bytes.data());
        TRY(alive());
        if (purpose_ == OpenFor::kReading) return io_error("writing", path_, EBADF);
        return disk_.write(path_, *node_, offset, bytes);
    }
    [[nodiscard]] Status resize(uint64_t bytes) override {
        const std::scoped_lock lock(disk_.mutex_);
        TRY(alive());
        TRY(disk_.enter_change(path_));
        for (uint64_t at = round_down(std::min<uint64_t>(bytes, node_->now.size()), kSectorBytes);
             at < std::max<uint64_t>(bytes, node_->now.size()); at += kSectorBytes) {
            node_->dirty.insert(at / kSectorBytes);
        }
        node_->now.resize(bytes);
        return {};
    }
    [[nodiscard]] Result<uint64_t> size() override {
        const std::scoped_lock lock(disk_.mutex_);
        TRY(alive());
        TRY(disk_.enter(path_));
        return uint64_t{node_->now.size()};
    }
    [[nodiscard]] Status sync() override {
        const std::scoped_lock lock(disk_.mutex_);
        TRY(alive());
        TRY(disk_.enter_change(path_));
        node_->synced = node_->now;
        node_->dirty.clear();
        return {};
    }

private:
    [[nodiscard]] Status alive() const {
        if (life_ == disk_.life_) return {};
        return io_error("using", path_, EBADF);
    }
    void check_aligned(uint64_t offset, size_t bytes, const std::byte* memory) const {
        if (through_ == Through::kPageCache) return;
        ENSURE(offset % kPageBytes == 0);
        ENSURE(bytes % kPageBytes == 0);
        ENSURE(reinterpret_cast<uintptr_t>(memory) % kPageBytes == 0);
    }

    SimulatedDisk& disk_;
    NodePtr node_;
    Path path_;
    Through through_;
    OpenFor purpose_;
    uint64_t life_;
};

void SimulatedDisk::apply(const NameChange& change, std::map<std::string, NodePtr>& names) {
    if (!change.old_name.empty()) names.erase(change.old_name);
    if (change.node) {
        names[change.name] = change.node;
    } else {
        names.erase(change.name);
    }
}

SimulatedDisk::SimulatedDisk(uint64_t seed, uint64_t capacity_bytes)
    : random_(seed), capacity_(capacity_bytes) {
    directories_.insert("/");
}

void SimulatedDisk::stop_after(uint64_t calls, Stop how) {
    const std::scoped_lock lock(mutex_);
    stop_at_ = changes_ + calls;
    stop_how_ = how;
}

void SimulatedDisk::restart() {
    const std::scoped_lock lock(mutex_);
    if (stopped_ && stop_how_ == Stop::kPower) {
        const uint64_t happened = random_.below(name_changes_.size() + 1);
        names_ = synced_names_;
        for (uint64_t i = 0; i < happened; ++i) apply(name_changes_[i], names_);
        std::set<Node*> nodes;
        for (const auto& [name, node] : names_) nodes.insert(node.get());
        // In the order of the names, not of addresses, so that a seed repeats itself.
        for (const auto& [name, node] : names_) {
            if (nodes.erase(node.get()) == 1) lose_power(*node);
        }
        synced_names_ = names_;
        name_changes_.clear();
    }
    stopped_ = false;
    stop_at_.reset();
    ++life_;
}

// Blocks since the last sync are old or new; so is the end.
void SimulatedDisk::lose_power(Node& node) {
    std::vector<std::byte> found = node.synced;
    const uint64_t low = std::min(node.synced.size(), node.now.size());
    const uint64_t high = std::max(node.synced.size(), node.now.size());
    found.resize(low + random_.below(high - low + 1));
    for (const uint64_t sector : node.dirty) {
        if (chance(0.5)) continue;
        const uint64_t begin = sector * kSectorBytes;
        const uint64_t end =
            std::min({begin + kSectorBytes, uint64_t{found.size()}, uint64_t{node.now.size()}});
        for (uint64_t i = begin; i < end; ++i) found[i] = node.now[i];
    }
    node.now = found;
    node.synced = std::move(found);
    node.dirty.clear();
}

std::vector<std::byte>* SimulatedDisk::bytes(const Path& path) {
    const std::scoped_lock lock(mutex_);
    const auto found = names_.find(path.string());
    return found == names_.end() ? nullptr : &found->second->now;
}

uint64_t SimulatedDisk::fingerprint() const {
    const std::scoped_lock lock(mutex_);
    uint64_t hash = 0;
    for (const auto& [name, node] : names_) {
        for (const char c : name) mix(hash, static_cast<unsigned char>(c));
        for (const std::byte b : node->now) mix(hash, std::to_integer<uint64_t>(b));
        mix(hash, node->now.size());
    }
    return hash;
}

uint64_t SimulatedDisk::used_locked() const {
    uint64_t sum = 0;
    for (const auto& [name, node] : names_) sum += node->now.size();
    return sum;
}

uint64_t SimulatedDisk::used_bytes() const {
    const std::scoped_lock lock(mutex_);
    return used_locked();
}

Status SimulatedDisk::enter(const Path& path) {
    if (stopped_) return io_error("reaching", path, EIO);
    for (const std::string& prefix : vanished_) {
        if (!is_below(path.string(), prefix)) continue;
        ++counts_.vanished;
        return io_error("reaching", path, ENODEV);
    }
    return {};
}

Status SimulatedDisk::enter_change(const Path& path) {
    TRY(enter(path));
    if (stop_at_ && changes_ >= *stop_at_) {
        stopped_ = true;
        ++counts_.stops;
        return io_error("reaching", path, EIO);
    }
    ++changes_;
    return {};
}

Status SimulatedDisk::read(const Path& path, Node& node, uint64_t offset,
                           std::span<std::byte> out) {
    TRY(enter(path));
    if (chance(faults_.read_error)) {
        ++counts_.read_errors;
        return io_error("reading", path, EIO);
    }
    if (offset > node.now.size() || out.size() > node.now.size() - offset) {
        return Error{ErrorCode::kCorrupt,
                     cat(path.string(), " ends at byte ", node.now.size(),
                         ", inside a part that was to be read; the file is truncated")};
    }
    std::copy_n(node.now.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    if (!out.empty() && chance(faults_.bit_flip)) {
        ++counts_.bit_flips;
        const uint64_t bit = random_.below(out.size() * 8);
        out[bit / 8] ^= std::byte{1} << (bit % 8);
    }
    return {};
}

void SimulatedDisk::put(Node& node, uint64_t offset, std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    if (node.now.size() < offset + bytes.size()) node.now.resize(offset + bytes.size());
    std::copy(bytes.begin(), bytes.end(), node.now.begin() + static_cast<std::ptrdiff_t>(offset));
    for (uint64_t sector = offset / kSectorBytes;
         sector <= (offset + bytes.size() - 1) / kSectorBytes; ++sector) {
        node.dirty.insert(sector);
    }
}

Status SimulatedDisk::write(const Path& path, Node& node, uint64_t offset,
                            std::span<const std::byte> bytes) {
    const auto some = [&] { return bytes.first(random_.below(bytes.size() + 1)); };
    const bool ran = !stopped_;
    if (const Status entered = enter_change(path); !entered.ok()) {
        if (ran && stopped_) put(node, offset, some());  // killed in the middle
        return entered;
    }
    if (chance(faults_.write_error)) {
        ++counts_.write_errors;
        put(node, offset, some());
        return io_error("writing", path, EIO);
    }
    const uint64_t end = offset + bytes.size();
    const uint64_t growth = end > node.now.size() ? end - node.now.size() : 0;
    const uint64_t used = used_locked();
    if (growth > 0 && (used > capacity_ || growth > capacity_ - used)) {
        ++counts_.no_space;
        const uint64_t room = used > capacity_ ? 0 : capacity_ - used;
        const uint64_t fits = bytes.size() - growth + room;
        if (node.now.size() >= offset) put(node, offset, bytes.first(std::min(fits, bytes.size())));
        return io_error("writing", path, ENOSPC);
    }
    put(node, offset, bytes);
    return {};
}

void SimulatedDisk::change_names(NameChange change) {
    apply(change, names_);
    name_changes_.push_back(std::move(change));
}

Result<std::unique_ptr<DiskFile>> SimulatedDisk::open(const Path& path, OpenFor purpose,
                                                      Through through) {
    const std::scoped_lock lock(mutex_);
    TRY(enter(path));
    const std::string name = path.string();
    auto found = names_.find(name);
    if (found == names_.end()) {
        if (purpose == OpenFor::kReading || !directories_.contains(parent_of(name))) {
            return io_error("opening", path, ENOENT);
        }
        TRY(enter_change(path));
        change_names({.name = name, .node = std::make_shared<Node>()});
        found = names_.find(name);
    }
    return std::unique_ptr<DiskFile>(
        std::make_unique<Handle>(*this, found->second, path, through, purpose));
}

Status SimulatedDisk::rename(const Path& from, const Path& to) {
    const std::scoped_lock lock(mutex_);
    TRY(enter(to));
    TRY(enter_change(from));
    const auto found = names_.find(from.string());
    if (found == names_.end() || !directories_.contains(parent_of(to.string()))) {
        return io_error("replacing", to, ENOENT);
    }
    change_names({.name = to.string(), .node = found->second, .old_name = from.string()});
    return {};
}

Status SimulatedDisk::remove(const Path& path) {
    const std::scoped_lock lock(mutex_);
    TRY(enter_change(path));
    if (names_.contains(path.string())) change_names({.name = path.string(), .node = nullptr});
    return {};
}

Status SimulatedDisk::make_directory(const Path& path) {
    const std::scoped_lock lock(mutex_);
    TRY(enter_change(path));
    // Directories are durable at once: nobody here writes code that depends on losing one.
    for (Path at = path; !at.empty() && at != at.parent_path(); at = at.parent_path()) {
        directories_.insert(at.string());
    }
    return {};
}

Status SimulatedDisk::sync_directory(const Path& path) {
    const std::scoped_lock lock(mutex_);
    TRY(enter_change(path));
    if (!directories_.contains(path.string())) return io_error("opening", path, ENOENT);
    // As a journal does: everything up to now, whatever the directory.
    synced_names_ = names_;
    name_changes_.clear();
    return {};
}

Result<std::vector<std::string>> SimulatedDisk::list(const Path& directory) {
    const std::scoped_lock lock(mutex_);
    TRY(enter(directory));
    std::vector<std::string> found;
    for (const auto& [name, node] : names_) {
        if (parent_of(name) == directory.string()) found.push_back(Path(name).filename().string());
    }
    return found;
}

Result<uint64_t> SimulatedDisk::free_bytes(const Path& path) {
    const std::scoped_lock lock(mutex_);
    TRY(enter(path));
    const uint64_t used = used_locked();
    return used > capacity_ ? 0 : capacity_ - used;
}

}  // namespace millrace::test
