#pragma once
// A lease keeps one expert's bytes in memory: while it lives its slot is not evicted, when it goes the slot may be.
// Engine thread only. Every lease and batch must be gone before the cache is destroyed.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "core/base/result.h"
#include "core/base/types.h"

namespace millrace {

class ExpertCache;

// One expert, fully read. Move-only.
class Lease {
public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : cache_(std::exchange(other.cache_, nullptr)), key_(other.key_), slot_(other.slot_) {}
    Lease& operator=(Lease&& other) noexcept {
        std::swap(cache_, other.cache_);
        std::swap(key_, other.key_);
        std::swap(slot_, other.slot_);
        return *this;
    }
    ~Lease();

    [[nodiscard]] bool holds() const { return cache_ != nullptr; }
    [[nodiscard]] ExpertKey key() const { return key_; }
    // The first byte of the expert's range number `range`; aligned to nothing in general. Valid while the lease lives.
    [[nodiscard]] const std::byte* data(int32_t range) const;

private:
    friend class LeaseBatch;
    Lease(ExpertCache* cache, ExpertKey key, SlotId slot) : cache_(cache), key_(key), slot_(slot) {}

    ExpertCache* cache_ = nullptr;
    ExpertKey key_;
    SlotId slot_;
};

// What one `acquire` got: one entry per id, in the order asked. Move-only; dropping it drops all its leases, also those
// whose bytes have not landed (their reads are called off as far as they can be).
class LeaseBatch {
public:
    LeaseBatch() = default;
    LeaseBatch(LeaseBatch&& other) noexcept
        : cache_(std::exchange(other.cache_, nullptr)), batch_(other.batch_) {}
    LeaseBatch& operator=(LeaseBatch&& other) noexcept {
        std::swap(cache_, other.cache_);
        std::swap(batch_, other.batch_);
        return *this;
    }
    ~LeaseBatch();

    [[nodiscard]] size_t size() const;
    // The index of an entry that is ready and was not returned before: first those that were in memory, in the order
    // asked, then the others as they land; blocks until there is one. nullopt when all were returned. An Error names
    // the file, the expert and the reason; it uses up that entry, and the others can still be had by asking again.
    [[nodiscard]] Result<std::optional<size_t>> next();
    // Whether `next` has an entry to return already, as far as was known when it was called last.
    [[nodiscard]] bool ready() const;
    // As Lease::data, of an entry that `next` has returned.
    [[nodiscard]] const std::byte* data(size_t i, int32_t range) const;
    // True once for every time that the expert is read from the drive: then whoever asks may change the bytes in place
    // (a layout, say), and everybody after it gets them as it left them, until the expert is read anew.
    [[nodiscard]] bool first_use(size_t i);
    // Whether that would be true, without using it up: the bytes are as the drive gave them.
    [[nodiscard]] bool unused(size_t i) const;
    [[nodiscard]] std::byte* writable(size_t i, int32_t range);
    // Moves an entry that `next` has returned out of the batch, to drop it earlier or keep it longer.
    [[nodiscard]] Lease take(size_t i);

private:
    friend class ExpertCache;

    LeaseBatch(ExpertCache* cache, int32_t batch) : cache_(cache), batch_(batch) {}

    ExpertCache* cache_ = nullptr;
    int32_t batch_ = -1;  // index into the cache's table of batches
};

}  // namespace millrace
