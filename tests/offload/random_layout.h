#pragma once
// Layouts of small experts whose ranges lie anywhere in a few files, as unaligned as they come.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/base/random.h"
#include "offload/expert_layout.h"

namespace millrace::test {

struct RandomLayout {
    ExpertLayout layout;
    std::vector<uint64_t> file_bytes;  // each file ends with the last byte of some expert
};

inline RandomLayout random_layout(Random& random, uint64_t range_bytes_max) {
    RandomLayout made;
    ExpertLayout& layout = made.layout;
    const auto files = 1 + random.below(3);
    for (uint64_t i = 0; i < files; ++i) {
        layout.files.emplace_back("shard-" + std::to_string(i));
        made.file_bytes.push_back(random.below(3 * kBlockBytes));
    }
    layout.layers = static_cast<int32_t>(1 + random.below(3));
    layout.experts = static_cast<int32_t>(2 + random.below(9));
    const auto ranges = static_cast<int32_t>(1 + random.below(kExpertRangesMax));
    for (int64_t i = 0; i < layout.expert_count(); ++i) {
        ExpertPlace place;
        place.range_count = ranges;
        for (int32_t r = 0; r < ranges; ++r) {
            const uint64_t file = random.below(files);
            uint64_t& end = made.file_bytes[file];
            const uint64_t gap = random.below(4) == 0 ? random.below(5000) : 0;
            FileRange& range = place.ranges[static_cast<size_t>(r)];
            range = {static_cast<int32_t>(file), end + gap, 1 + random.below(range_bytes_max)};
            end = range.end();
        }
        layout.places.push_back(place);
    }
    // Neighbours in number need not be neighbours on the drive.
    for (size_t i = layout.places.size(); i > 1; --i) {
        std::swap(layout.places[i - 1], layout.places[random.below(i)]);
    }
    return made;
}

// `count` different experts of a layer.
inline std::vector<ExpertId> random_experts(Random& random, int32_t experts, int32_t count) {
    std::vector<ExpertId> ids;
    for (int32_t i = 0; i < experts; ++i) ids.push_back({i});
    for (size_t i = ids.size(); i > 1; --i) std::swap(ids[i - 1], ids[random.below(i)]);
    ids.resize(static_cast<size_t>(std::min(count, experts)));
    return ids;
}

}  // namespace millrace::test
