#include "tests/support/cuda_sim/traffic.h"

#include <algorithm>
#include <set>

namespace millrace::cuda_sim {
namespace {

void add(WarpTraffic& total, int64_t taken, int64_t needed) {
    total.accesses += 1;
    total.taken += taken;
    total.needed += needed;
    total.worst = std::max(total.worst, static_cast<double>(taken) / static_cast<double>(needed));
}

// Wavefronts of one access: 32 banks of 4 bytes; 8-byte accesses go by half warps, 16-byte ones by quarters. 0: of a lane
// that takes no part.
void count_shared(const std::array<uintptr_t, 32>& lanes, size_t bytes, WarpTraffic& total) {
    const size_t part = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
    int64_t taken = 0, needed = 0;
    for (size_t first = 0; first < lanes.size(); first += part) {
        std::set<uintptr_t> banks[32];
        for (size_t i = first; i < first + part; ++i) {
            if (lanes[i] == 0) continue;
            for (uintptr_t word = lanes[i] / 4; word <= (lanes[i] + bytes - 1) / 4; ++word)
                banks[word % 32].insert(word);
        }
        size_t most = 0;
        for (const auto& words : banks) most = std::max(most, words.size());
        taken += static_cast<int64_t>(most);
        needed += most > 0 ? 1 : 0;
    }
    add(total, taken, needed);
}

void count_global(const std::array<uintptr_t, 32>& lanes, size_t bytes, WarpTraffic& total) {
    std::set<uintptr_t> sectors, touched;
    for (const uintptr_t at : lanes) {
        if (at == 0) continue;
        for (uintptr_t i = at; i < at + bytes; ++i) {
            touched.insert(i);
            sectors.insert(i / 32);
        }
    }
    add(total, static_cast<int64_t>(sectors.size()),
        static_cast<int64_t>(touched.size() + 31) / 32);
}

}  // namespace

size_t Traffic::KeyHash::operator()(const AccessKey& key) const {
    uint64_t hash = key.instruction;
    for (const uint32_t part : {key.warp, key.waits, key.time})
        hash = (hash ^ part) * 0x9E3779B97F4A7C15u;
    return static_cast<size_t>(hash ^ (hash >> 29));
}

void Traffic::note(uint32_t thread, uint32_t waits, uintptr_t instruction, uintptr_t at,
                   size_t bytes, bool shared) {
    const uint32_t time = times_[{thread, waits, instruction, 0}]++;
    Lanes& lanes = accesses_[{thread / 32, waits, instruction, time}];
    lanes.at[thread % 32] = at;
    lanes.bytes = bytes;
    lanes.shared = shared;
}

void Traffic::count(WarpTraffic& shared, WarpTraffic& global) {
    for (auto& [key, lanes] : accesses_) {
        if (lanes.shared) {
            count_shared(lanes.at, lanes.bytes, shared);
        } else {
            count_global(lanes.at, lanes.bytes, global);
        }
    }
    accesses_.clear();
    times_.clear();
}

}  // namespace millrace::cuda_sim
