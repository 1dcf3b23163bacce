#include "quant/error.h"

#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "quant/decode.h"

namespace millrace {

SquaredError squared_error(const LinearWeight& source, const LinearWeight& made,
                           std::span<const float> importance, int64_t first_row,
                           int64_t row_count) {
    ENSURE(source.rows == made.rows && source.cols == made.cols && first_row >= 0 &&
           first_row + row_count <= source.rows);
    ENSURE(importance.empty() || static_cast<int64_t>(importance.size()) == source.cols);
    SquaredError out;
    for (int64_t row = first_row; row < first_row + row_count; ++row) {
        for (int64_t block = 0; block < source.cols / kLowBitBlock; ++block) {
            const ValueBlock exact = decode_values(source, row, block);
            const ValueBlock near = decode_values(made, row, block);
            for (size_t i = 0; i < exact.size(); ++i) {
                double weight = 1;
                if (!importance.empty()) {
                    const float given = importance[static_cast<size_t>(block * kLowBitBlock) + i];
                    const bool counts = given > 0 && given < std::numeric_limits<float>::infinity();
                    weight = counts ? static_cast<double>(given) : 0;
                }
                const auto wanted = static_cast<double>(exact[i]);
                const double off = wanted - static_cast<double>(near[i]);
                out.error += weight * off * off;
                out.energy += weight * wanted * wanted;
            }
        }
    }
    return out;
}

}  // namespace millrace
