#include "app/size.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr uint64_t kSizeMax = uint64_t{1} << 62;

// The power of 1024, or −1 for what is no unit.
int unit_power(std::string_view unit) {
    std::string lower;
    for (const char c : unit) {
        lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    if (lower.empty() || lower == "b") return 0;
    constexpr std::string_view kLetters = "kmgt";
    const size_t power = kLetters.find(lower[0]);
    if (power == std::string_view::npos) return -1;
    const std::string_view rest = std::string_view(lower).substr(1);
    return rest.empty() || rest == "b" || rest == "ib" ? static_cast<int>(power) + 1 : -1;
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
    const Error malformed{ErrorCode::kInvalid,
                          cat(quote_text(text),
                              " is no amount of memory; write a number and a unit, such as 64M, "
                              "2G or 1.5G")};
    const Error too_large{ErrorCode::kInvalid, cat(quote_text(text), " is more than 4096 PiB")};
    __extension__ using Wide = unsigned __int128;
    const auto is_digit = [&](size_t i) {
        return i < text.size() && text[i] >= '0' && text[i] <= '9';
    };
    if (!is_digit(0)) return malformed;
    Wide number = 0;  // the digits without their point
    Wide scale = 1;   // number / scale is what was written
    size_t i = 0;
    for (; is_digit(i); ++i) {
        number = number * 10 + static_cast<Wide>(text[i] - '0');
        if (number > kSizeMax) return too_large;
    }
    if (i < text.size() && text[i] == '.') {
        if (!is_digit(++i)) return malformed;
        constexpr Wide kScaleMax = 1000000;
        for (; is_digit(i); ++i) {
            if (scale == kScaleMax) return malformed;
            number = number * 10 + static_cast<Wide>(text[i] - '0');
            scale *= 10;
        }
    }
    const int power = unit_power(text.substr(i));
    if (power < 0 || (power == 0 && scale > 1)) return malformed;  // there are no parts of a byte
    const Wide bytes = (number << (10 * power)) / scale;
    if (bytes > kSizeMax) return too_large;
    return static_cast<uint64_t>(bytes);
}

Result<double> parse_rate(std::string_view text) {
    const Error malformed{ErrorCode::kInvalid, cat(quote_text(text),
                                                   " is no rate; write a number and a unit, such "
                                                   "as 7GB/s, 900MB/s or 1.5GB/s")};
    const std::string_view amount = text.ends_with("/s") ? text.substr(0, text.size() - 2) : text;
    const size_t digits = std::min(amount.find_first_not_of("0123456789."), amount.size());
    const std::string_view unit = amount.substr(digits);
    const int power = unit.ends_with("ib") || unit.ends_with("iB") ? -1 : unit_power(unit);
    double number = 0;
    const auto [end, error] = std::from_chars(amount.data(), amount.data() + digits, number);
    if (power < 0 || error != std::errc() || end != amount.data() + digits) return malformed;
    const double rate = number * std::pow(1000.0, power);
    if (!(rate >= 1 && rate <= 1e18)) return malformed;
    return rate;
}

}  // namespace millrace
