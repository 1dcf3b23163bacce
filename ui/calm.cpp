#include "ui/calm.h"

namespace millrace {

bool acted(const PersonInput& input, const PersonInput& drawn) {
    return !input.keys.empty() || !input.text.empty() || input.wheel != 0 || input.left.pressed ||
           input.left.released || input.right.pressed || input.middle.pressed ||
           !input.dropped.empty() || input.x != drawn.x || input.y != drawn.y || input.close_wanted;
}

void keep_calm(Window& window, double until_s, const PersonInput& drawn) {
    while (!acted(window.input(), drawn) && window.input().now_s < until_s) {
        const double left_ms = (until_s - window.input().now_s) * 1000;
        static_cast<void>(
            window.wait(std::chrono::milliseconds(static_cast<int64_t>(left_ms) + 1)));
    }
}

}  // namespace millrace
