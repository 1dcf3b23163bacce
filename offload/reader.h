#pragma once
// The seam between the cache and the drive: reads go in with a tag, completions come out in any order. Below it are
// io_uring, a pool of preads, and in the tests a simulated drive on a virtual clock; above it is everything clever
// (chunks, windows, priorities, short reads, retries), so that the simulator exercises the code that runs on drives.
//
// One thread owns a reader: the one that created it. Only `wake` may be called from others.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/result.h"

namespace millrace {

struct ReadOp {
    uint32_t tag = 0;           // comes back with the completion
    int32_t file = 0;           // index into the layout's files
    uint64_t offset = 0;        // a multiple of 4096
    uint32_t bytes = 0;         // a multiple of 4096
    std::byte* into = nullptr;  // aligned to 4096; must stay until the completion was reaped
};

struct ReadDone {
    uint32_t tag = 0;
    int32_t result =
        0;  // bytes read, fewer than asked when short, 0 at the end of the file, or −errno
};

enum class Wait { kNo, kYes };

// What to read with. auto: the better one, or the other where that is refused.
enum class IoBackend { kAuto, kUring, kPread };
enum class DirectIo { kAuto, kOff };  // O_DIRECT or the page cache

class Reader {
public:
    // No read may be in flight. Any thread, once the owner has stopped using it.
    virtual ~Reader() = default;

    // For people: "io_uring", "pread".
    [[nodiscard]] virtual std::string_view name() const = 0;
    // So many reads may be submitted and not yet reaped.
    [[nodiscard]] virtual int32_t depth() const = 0;
    // Queues one read. It may wait for the next `reap` to be handed to the kernel. A refusal is a completion too.
    virtual void submit(const ReadOp& op) = 0;
    // Hands over what was submitted and returns the number of completions written to `done`. With kYes it blocks until
    // there is one or `wake` was called.
    [[nodiscard]] virtual size_t reap(std::span<ReadDone> done, Wait wait) = 0;
    // Makes a `reap` that blocks, or else the next one that would, return. Any thread.
    virtual void wake() = 0;

    // Whether reads of `file` bypass the page cache (O_DIRECT).
    [[nodiscard]] virtual bool is_direct(int32_t file) const = 0;
    // From now on `file` is read through the page cache.
    virtual Status use_page_cache(int32_t file) = 0;
    // Forgets what the page cache holds of these blocks, as far as it can be told to.
    virtual void drop_cached(int32_t file, uint64_t offset, uint64_t bytes) = 0;
    // Files with one number share a drive. From 0 without gaps; never changes.
    [[nodiscard]] virtual int32_t drive(int32_t file) const = 0;
    // The present size of `file`.
    [[nodiscard]] virtual Result<uint64_t> file_bytes(int32_t file) const = 0;
};

}  // namespace millrace
