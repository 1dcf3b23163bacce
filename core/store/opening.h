#pragma once
// How a store's file comes to stand open: alone, of our version, under our key, and whole.

#include <optional>

#include "core/base/secret_file.h"
#include "core/store/database.h"
#include "core/store/sealer.h"
#include "core/store/store_world.h"

namespace millrace {

inline constexpr const char* kDatabaseName = "chats.db";
inline constexpr const char* kLogName = "chats.db-wal";
inline constexpr const char* kJournalName = "chats.db-journal";  // only while the file is made

// Holds the directory against every other process, and every other store of this one, until it ends; a process that dies
// lets go too.
class DirectoryLock {
public:
    [[nodiscard]] static Result<DirectoryLock> take(const Path& directory);
    DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    DirectoryLock& operator=(DirectoryLock&&) = delete;
    ~DirectoryLock();

private:
    explicit DirectoryLock(int fd) : fd_(fd) {}
    int fd_;
};

// DIR/state.key. It is made only where there are no chats yet: chats without their key are not opened with a new one.
[[nodiscard]] Result<Secret> open_state_key(const Path& directory, Entropy& entropy);

// The file as it will be used. kCorrupt: it is not whole, and salvaging is the next step; nothing was changed in it.
// kInvalid: a newer version, another key, or somebody else has it open.
[[nodiscard]] Result<Database> open_chats(const Path& directory, const StoreWorld& world,
                                          const Sealer& sealer);

// Erases for good: a chat with all that it holds, or a branch of one.
[[nodiscard]] Status erase_chat(Database& database, ChatId chat);
// Then the log forgets it too.
void clear_log(Database& database);
// What has lain in the bin for 30 days.
[[nodiscard]] Status empty_bin(Database& database, int64_t now_ms);

}  // namespace millrace
