#include "tests/support/cuda_sim/shadow.h"

#include <algorithm>

namespace millrace::cuda_sim {

void Shadow::define(size_t first, size_t count) {
    std::fill_n(writes_.begin() + static_cast<std::ptrdiff_t>(first), count,
                Stamp{kFirstEpoch} << kEpochShift);
}

template <Access kAccess>
Shadow::Finding Shadow::touch_bytes(size_t first, size_t count, const Moment& moment) {
    for (size_t i = first; i < first + count; ++i) {
        if (kAccess != Access::kWrite && epoch_of(writes_[i]) < moment.written_first) {
            return {Verdict::kUnwritten, i, writes_[i]};
        }
    }
    // Runs of bytes with one history have one verdict.
    for (size_t i = first; i < first + count;) {
        const Stamp write = writes_[i], read = reads_[i];
        const Verdict verdict = judge<kAccess>(write, read, moment);
        if (verdict != Verdict::kFine) {
            return {verdict, i, verdict == Verdict::kRaceWithRead ? read : write};
        }
        const bool reads = kAccess == Access::kRead;
        const Stamp next = reads ? read_after(read, moment)
                                 : moment.now | (kAccess == Access::kAtomic ? kAtomicBit : 0);
        for (; i < first + count && writes_[i] == write && reads_[i] == read; ++i)
            (reads ? reads_ : writes_)[i] = next;
    }
    return {};
}

template Shadow::Finding Shadow::touch_bytes<Access::kRead>(size_t, size_t, const Moment&);
template Shadow::Finding Shadow::touch_bytes<Access::kWrite>(size_t, size_t, const Moment&);
template Shadow::Finding Shadow::touch_bytes<Access::kAtomic>(size_t, size_t, const Moment&);

}  // namespace millrace::cuda_sim
