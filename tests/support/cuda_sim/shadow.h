#pragma once
// What is known about every byte of a memory: whether anybody wrote it, and who touched it last.
//
// Blocks run one after another. So one count of launches, blocks begun and barriers passed, the epoch, tells of an access
// whether it was in this launch, in this block, and before or after its last barrier.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace::cuda_sim {

enum class Access { kRead, kWrite, kAtomic };

// Who touched a byte, and when: 32 bits of epoch, 10 of the thread, 19 of the warp barriers it passed since the last one of
// the block, 1 for atomics, 2 for the company of readers.
using Stamp = uint64_t;

// Who shares the last read of a byte with the one noted.
enum class Company : uint8_t { kAlone, kWarp, kBlock, kGrid };

inline constexpr int kEpochShift = 32, kThreadShift = 22, kWarpBarrierShift = 3;
inline constexpr Stamp kAtomicBit = 4, kCompanyMask = 3;
inline constexpr Stamp kThreadMask = Stamp{1023} << kThreadShift;
inline constexpr Stamp kWarpMask = Stamp{1023 & ~31} << kThreadShift;
inline constexpr Stamp kWarpBarrierMask = ((Stamp{1} << 19) - 1) << kWarpBarrierShift;
inline constexpr uint32_t kFirstEpoch = 1;  // what the host writes; nobody wrote what is of epoch 0

[[nodiscard]] constexpr uint32_t epoch_of(Stamp stamp) {
    return static_cast<uint32_t>(stamp >> kEpochShift);
}
[[nodiscard]] constexpr uint32_t thread_of(Stamp stamp) {
    return static_cast<uint32_t>((stamp & kThreadMask) >> kThreadShift);
}

// The access that is made, and which earlier ones count for this memory.
struct Moment {
    Stamp now = 0;
    uint32_t block_first = 0;  // epoch when the block began
    // Bytes written earlier than this were written by nobody; accesses earlier than that are in order with all of now.
    uint32_t written_first = 0, ordered_before = 0;
};

class Shadow {
public:
    explicit Shadow(size_t bytes) : writes_(bytes), reads_(bytes) {}

    // The host wrote the bytes.
    void define(size_t first, size_t count);

    enum class Verdict { kFine, kUnwritten, kRaceWithWrite, kRaceWithRead };
    struct Finding {
        Verdict verdict = Verdict::kFine;
        size_t at = 0;      // the byte
        Stamp earlier = 0;  // of the other access
    };
    // Notes an access if it is fine.
    template <Access kAccess>
    [[nodiscard]] Finding touch(size_t first, size_t count, const Moment& moment);

private:
    [[nodiscard]] static bool races(Stamp earlier, Company company, const Moment& moment);
    [[nodiscard]] static Stamp read_after(Stamp last, const Moment& moment);
    [[nodiscard]] static Stamp written(Access access, const Moment& moment) {
        return moment.now | (access == Access::kAtomic ? kAtomicBit : 0);
    }
    template <Access kAccess>
    [[nodiscard]] static Verdict judge(Stamp write, Stamp read, const Moment& moment);
    template <Access kAccess>
    [[nodiscard]] Finding touch_bytes(size_t first, size_t count, const Moment& moment);

    std::vector<Stamp> writes_, reads_;  // of every byte
};

// Two accesses are ordered by a launch, by a barrier of their block, by a barrier of their warp, or made by one thread.
inline bool Shadow::races(Stamp earlier, Company company, const Moment& moment) {
    const uint32_t epoch = epoch_of(earlier);
    if (epoch < moment.ordered_before) return false;
    if (epoch < moment.block_first || company == Company::kGrid) return true;
    if (epoch != epoch_of(moment.now)) return false;
    const Stamp differ = earlier ^ moment.now;
    if (company == Company::kBlock || (differ & kWarpMask) != 0) return true;
    if (company == Company::kAlone && (differ & kThreadMask) == 0) return false;
    return (differ & kWarpBarrierMask) == 0;
}

// What is noted of the readers of a byte after one more.
inline Stamp Shadow::read_after(Stamp last, const Moment& moment) {
    const uint32_t epoch = epoch_of(last);
    if (epoch < moment.ordered_before) return moment.now;
    const auto company = static_cast<Company>(last & kCompanyMask);
    const auto with = [&](Company now) { return moment.now | static_cast<Stamp>(now); };
    if (company == Company::kGrid) return last;
    if (epoch < moment.block_first) return with(Company::kGrid);
    if (epoch != epoch_of(moment.now)) return moment.now;
    if (company == Company::kBlock) return last;
    const Stamp differ = last ^ moment.now;
    if ((differ & kWarpMask) != 0) return with(Company::kBlock);
    if ((differ & kWarpBarrierMask) != 0) return moment.now;
    if (company == Company::kWarp) return last;
    return (differ & kThreadMask) != 0 ? with(Company::kWarp) : last;
}

template <Access kAccess>
Shadow::Verdict Shadow::judge(Stamp write, Stamp read, const Moment& moment) {
    if (kAccess != Access::kWrite && epoch_of(write) < moment.written_first) {
        return Verdict::kUnwritten;
    }
    const bool both_atomic = kAccess == Access::kAtomic && (write & kAtomicBit) != 0;
    if (!both_atomic && races(write, Company::kAlone, moment)) return Verdict::kRaceWithWrite;
    if (kAccess != Access::kRead &&
        races(read, static_cast<Company>(read & kCompanyMask), moment)) {
        return Verdict::kRaceWithRead;
    }
    return Verdict::kFine;
}

template <Access kAccess>
[[gnu::always_inline]] inline Shadow::Finding Shadow::touch(size_t first, size_t count,
                                                            const Moment& moment) {
    Stamp* const writes = writes_.data() + first;
    Stamp* const reads = reads_.data() + first;
    const Stamp write = *writes, read = *reads;
    // The bytes of an access mostly have one history: one verdict is enough then.
    Stamp differ = 0;
    for (size_t i = 1; i < count; ++i) differ |= (writes[i] ^ write) | (reads[i] ^ read);
    if (differ != 0) return touch_bytes<kAccess>(first, count, moment);
    const Verdict verdict = judge<kAccess>(write, read, moment);
    if (verdict != Verdict::kFine) {
        return {verdict, first, verdict == Verdict::kRaceWithRead ? read : write};
    }
    if constexpr (kAccess == Access::kRead) {
        const Stamp next = read_after(read, moment);
        if (next == read) return {};
        for (size_t i = 0; i < count; ++i) reads[i] = next;
    } else {
        const Stamp next = written(kAccess, moment);
        for (size_t i = 0; i < count; ++i) writes[i] = next;
    }
    return {};
}

}  // namespace millrace::cuda_sim
