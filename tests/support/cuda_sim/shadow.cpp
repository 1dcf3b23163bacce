#include "tests/support/cuda_sim/shadow.h"

#include <algorithm>

namespace millrace::cuda_sim {

void Shadow::define(size_t first, size_t count) {
    std::fill_n(writes_.begin() + static_cast<std::ptrdiff_t>(first), count,
                Stamp{kFirstEpoch} << kEpochShift);
}

template <Access kAccess>
Shadow::Finding Shadow::touch_bytes(size_t first, size_t count, const Moment& moment) {
    const size_t end = first + count;
    // Runs of bytes with one history have one verdict. A byte that nobody wrote goes before a race at another.
    const auto end_of_run = [&](size_t i) {
        const Stamp write = writes_[i], read = reads_[i];
        while (i < end && writes_[i] == write && reads_[i] == read) ++i;
        return i;
    };
    Finding race;
    for (size_t i = first; i < end; i = end_of_run(i)) {
        const Verdict verdict = judge<kAccess>(writes_[i], reads_[i], moment);
        if (verdict == Verdict::kUnwritten) return {verdict, i, writes_[i]};
        if (verdict != Verdict::kFine && race.verdict == Verdict::kFine) {
            race = {verdict, i, verdict == Verdict::kRaceWithRead ? reads_[i] : writes_[i]};
        }
    }
    if (race.verdict != Verdict::kFine) return race;
    for (size_t i = first; i < end;) {
        const size_t next = end_of_run(i);
        const Stamp stamp =
            kAccess == Access::kRead ? read_after(reads_[i], moment) : written(kAccess, moment);
        std::vector<Stamp>& stamps = kAccess == Access::kRead ? reads_ : writes_;
        for (; i < next; ++i) stamps[i] = stamp;
    }
    return {};
}

template Shadow::Finding Shadow::touch_bytes<Access::kRead>(size_t, size_t, const Moment&);
template Shadow::Finding Shadow::touch_bytes<Access::kWrite>(size_t, size_t, const Moment&);
template Shadow::Finding Shadow::touch_bytes<Access::kAtomic>(size_t, size_t, const Moment&);

}  // namespace millrace::cuda_sim
