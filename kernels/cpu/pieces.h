#pragma once
// Cutting independent work into pieces for the pool.

#include <algorithm>
#include <cstdint>

#include "core/base/pool.h"

namespace millrace {

// Elements of simple work below which waking another thread costs more than it gives.
inline constexpr int64_t kPieceElements = 32768;

// body(first, last) on ranges that cover [0, count), each of at least kPieceElements elements if one item has
// `elements`; several a thread, so that one who is late does not hold up the others.
template <class Body>
void in_pieces(Pool& pool, int64_t count, int64_t elements, const Body& body,
               int64_t pieces_a_thread = 4) {
    const int64_t grain = std::max<int64_t>(1, kPieceElements / std::max<int64_t>(elements, 1));
    if (count <= 0) return;
    const int64_t pieces =
        std::min<int64_t>((count + grain - 1) / grain, pieces_a_thread * pool.threads());
    pool.run(pieces, [&](int64_t i) { body(count * i / pieces, count * (i + 1) / pieces); });
}

}  // namespace millrace
