#pragma once
// What the store takes from the machine, as arguments: for tests that own the file system, the date and chance.

#include <memory>

#include "core/base/clock.h"
#include "core/base/secret_file.h"
#include "core/store/chats.h"

namespace millrace {

struct StoreWorld {
    const char* vfs;  // SQLite's name of a file system; null: the machine's
    Calendar& calendar;
    Entropy& entropy;
};

// As ChatStore::open. What `world` refers to outlives the store.
[[nodiscard]] Result<std::unique_ptr<ChatStore>> open_store(const Path& directory,
                                                            const StoreWorld& world);

}  // namespace millrace
