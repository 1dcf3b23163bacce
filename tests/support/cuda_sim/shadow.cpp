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
    for (size_t i = first; i < first + count; ++i) {
        const Verdict verdict = judge<kAccess>(writes_[i], reads_[i], moment);
        if (verdict != Verdict::kFine) {
            return {verdict, i, verdict == Verdict::kRaceWithRead ? reads_[i] : writes_[i]};
        }
        if constexpr (kAccess == Access::kRead) {
            reads_[i] = read_after(reads_[i], moment);
        } else {
            writes_[i] = moment.now | (kAccess == Access::kAtomic ? kAtomicBit : 0);
        }
    }
    return {};
}

template Shadow::Finding Shadow::touch_bytes<Access::kRead>(size_t, size_t, const Moment&);
template Shadow::Finding Shadow::touch_bytes<Access::kWrite>(size_t, size_t, const Moment&);
template Shadow::Finding Shadow::touch_bytes<Access::kAtomic>(size_t, size_t, const Moment&);

}  // namespace millrace::cuda_sim
