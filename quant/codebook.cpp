#include "quant/codebook.h"

#include <algorithm>

namespace millrace {
namespace {

// The encoder looks for the nearest of ascending levels; −128 would have no counterpart in 8 bits; blocks of zeros need
// a book with the level 0.
template <size_t kLevels>
constexpr bool sound(const LevelBooks<kLevels>& books) {
    bool zero = false;
    for (const auto& book : books) {
        if (!std::ranges::is_sorted(book) || book.front() < -127) return false;
        zero = zero || std::ranges::find(book, 0) != book.end();
    }
    return zero;
}
static_assert(sound(kQ3sBooks) && sound(kQ2sBooks));

constexpr bool sound(const PointBooks& books) {
    bool zero = false;
    for (const auto& book : books) {
        for (const auto& point : book) {
            if (point[0] < -127 || point[1] < -127) return false;
            zero = zero || (point[0] == 0 && point[1] == 0);
        }
    }
    return zero;
}
static_assert(sound(kQ2vBooks));

}  // namespace
}  // namespace millrace
