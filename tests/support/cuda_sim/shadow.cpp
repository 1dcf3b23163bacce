#include "tests/support/cuda_sim/shadow.h"

#include <algorithm>

namespace millrace::cuda_sim {

void Shadow::define(size_t first, size_t count, bool defined) {
    std::fill_n(defined_.begin() + static_cast<std::ptrdiff_t>(first), count,
                static_cast<uint8_t>(defined));
}

bool Shadow::defined(size_t first, size_t count) const {
    const auto begin = defined_.begin() + static_cast<std::ptrdiff_t>(first);
    return std::all_of(begin, begin + static_cast<std::ptrdiff_t>(count),
                       [](uint8_t d) { return d != 0; });
}

// Two accesses are ordered by a launch, by a barrier of their block, by a barrier of their warp, or made by one thread.
bool Shadow::races(const Toucher& earlier, Company company, const Toucher& now) {
    if (earlier.launch != now.launch) return false;
    if (earlier.block != now.block || company == Company::kGrid) return true;
    if (earlier.barriers != now.barriers) return false;
    if (company == Company::kBlock || earlier.thread / 32 != now.thread / 32) return true;
    if (company == Company::kAlone && earlier.thread == now.thread) return false;
    return earlier.warp_barriers == now.warp_barriers;
}

void Shadow::note_read(Cell& cell, const Toucher& who) {
    const Toucher& last = cell.read;
    Company company = Company::kAlone;
    if (last.launch == who.launch) {
        if (last.block != who.block || cell.readers == Company::kGrid) {
            company = Company::kGrid;
        } else if (last.barriers == who.barriers) {
            if (last.thread / 32 != who.thread / 32 || cell.readers == Company::kBlock) {
                company = Company::kBlock;
            } else if (last.warp_barriers == who.warp_barriers &&
                       (last.thread != who.thread || cell.readers == Company::kWarp)) {
                company = Company::kWarp;
            }
        }
    }
    cell.read = who;
    cell.readers = company;
}

std::optional<std::string> Shadow::touch(size_t first, size_t count, Access access,
                                         const Toucher& who) {
    const auto describe = [](const char* what, const Toucher& other, size_t at) {
        return "byte " + std::to_string(at) + " was " + what + " by thread " +
               std::to_string(other.thread) + " of block " + std::to_string(other.block) +
               " with no barrier between";
    };
    for (size_t i = first; i < first + count; ++i) {
        Cell& cell = cells_[i];
        const bool both_atomic = access == Access::kAtomic && cell.atomic;
        if (!both_atomic && races(cell.write, Company::kAlone, who)) {
            return describe("written", cell.write, i);
        }
        if (access == Access::kRead) {
            note_read(cell, who);
            continue;
        }
        if (races(cell.read, cell.readers, who)) return describe("read", cell.read, i);
        cell.write = who;
        cell.atomic = access == Access::kAtomic;
        defined_[i] = 1;
    }
    return std::nullopt;
}

}  // namespace millrace::cuda_sim
