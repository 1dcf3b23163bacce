#pragma once
// Stop strings in a stream: text passes through, what may be the beginning of a stop string waits,
// and the first stop string to end cuts the text before it. Works byte by byte
// (Knuth–Morris–Pratt), so portions do not matter.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace millrace {

class StopStrings {
public:
    // Matches nothing.
    StopStrings() = default;
    // At most 64 strings, none empty, each valid UTF-8 and at most 4096 bytes long.
    [[nodiscard]] static Result<StopStrings> create(const std::vector<std::string>& stops);

    // Appends to `out` what cannot belong to a stop string; true when one has ended (what follows
    // is not looked at).
    [[nodiscard]] bool feed(std::string_view text, std::string& out);
    // No more text: appends what waited.
    void flush(std::string& out);

private:
    struct Pattern {
        std::string text;
        std::vector<size_t>
            fallback;  // fallback[n]: the longest proper border of the first n bytes
        size_t matched = 0;
    };
    std::vector<Pattern> patterns_;
    std::string waiting_;
};

}  // namespace millrace
