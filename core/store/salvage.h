#pragma once
// A broken file of chats is set aside, and what its pages still hold goes into a new one.

#include "core/store/sealer.h"
#include "core/store/store_world.h"

namespace millrace {

struct Salvage {
    Path set_aside;
    int64_t messages = 0, chats = 0;
    int64_t messages_lost = 0;  // that the index still knew of
};

// kInvalid: the file says that it was written with another key; it is left where it is. On any other failure too: the new
// file takes its place at the very end.
//
// A message whose parent is lost hangs on the nearest ancestor that is there, as far as the index still knows the way; else
// on the newest message of the chat that is older than the lost one.
[[nodiscard]] Result<Salvage> salvage_chats(const Path& directory, const StoreWorld& world,
                                            Sealer& sealer);

// A salvage that was interrupted between the old file and the new one is brought to its end, one that was interrupted
// before that is forgotten.
[[nodiscard]] Status finish_salvage(const Path& directory);

}  // namespace millrace
