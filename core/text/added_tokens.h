#pragma once
// Added tokens: literals such as `<｜User｜>` that become one token before the text is cut into
// pieces. The reference library looks for them in two passes, first those that are not
// "normalized", then the others in what is left; each pass takes the leftmost match, and the
// longest among those that start together.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/types.h"

namespace millrace {

struct AddedToken {
    TokenId id;
    std::string literal;
    bool normalized = false;  // found in the second pass
};

// Immutable once built; any thread may use it.
class AddedTokens {
public:
    struct Match {
        size_t begin = 0, end = 0;
        TokenId id;
    };

    // No literal is empty, none stands twice.
    explicit AddedTokens(std::vector<AddedToken> tokens);

    // Appends the matches in text[begin, end), in order, without overlaps; nothing outside that
    // range is looked at.
    void find(std::string_view text, size_t begin, size_t end, std::vector<Match>& out) const;

private:
    // The literals of one pass, sorted, so that those with a common beginning are neighbours.
    struct Pass {
        std::vector<AddedToken> sorted;
        std::array<bool, 256> first_byte{};

        void prepare();
        void find(std::string_view text, size_t begin, size_t end, std::vector<Match>& out) const;
        [[nodiscard]] const AddedToken* longest_at(std::string_view text) const;
    };
    std::array<Pass, 2> passes_;
};

}  // namespace millrace
