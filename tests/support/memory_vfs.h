#pragma once
// A file system in memory under SQLite, that can be stopped between any two of its writes, lose power, and run full.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/random.h"

struct sqlite3_vfs;

namespace millrace::test {

class MemoryVfs {
public:
    using Image = std::map<std::string, std::string>;  // path → bytes

    // `name` is what SQLite knows it by, until it ends.
    explicit MemoryVfs(std::string name, Image image = {});
    ~MemoryVfs();
    MemoryVfs(const MemoryVfs&) = delete;
    MemoryVfs& operator=(const MemoryVfs&) = delete;

    [[nodiscard]] const char* name() const { return name_.c_str(); }

    // As another program would find the files now: what a process that is killed leaves.
    [[nodiscard]] Image image() const;
    // As they would be found after a loss of power: of what was written since the last sync, some is there, in any choice,
    // and some in part.
    [[nodiscard]] Image image_without_power(Random& random) const;

    // Called before each write, truncation, sync and removal.
    std::function<void()> before_change;
    // So many more writes succeed, then the disk is full; negative: never.
    int64_t writes_left = -1;

    struct Write {
        size_t offset = 0;
        std::string bytes;
        bool truncate = false;
    };
    struct File {
        std::string now, synced;
        std::vector<Write> since;
    };
    // For SQLite's calls.
    [[nodiscard]] std::map<std::string, std::shared_ptr<File>>& files() { return files_; }
    [[nodiscard]] bool take_room();
    void changing() const {
        if (before_change) before_change();
    }

private:
    std::string name_;
    std::map<std::string, std::shared_ptr<File>> files_;
    std::unique_ptr<sqlite3_vfs> vfs_;
};

}  // namespace millrace::test
