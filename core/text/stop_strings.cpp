#include "core/text/stop_strings.h"

#include <algorithm>

#include "core/base/strings.h"
#include "core/base/utf8.h"

namespace millrace {
namespace {

constexpr size_t kStopsMax = 64;
constexpr size_t kStopBytesMax = 4096;

size_t advance(std::string_view pattern, const std::vector<size_t>& fallback, size_t matched,
               char c) {
    if (matched == pattern.size()) matched = fallback[matched];
    while (matched > 0 && pattern[matched] != c) matched = fallback[matched];
    return pattern[matched] == c ? matched + 1 : 0;
}

}  // namespace

Result<StopStrings> StopStrings::create(const std::vector<std::string>& stops) {
    const auto invalid = [](std::string sentence) {
        return Error{ErrorCode::kInvalid, std::move(sentence)};
    };
    if (stops.size() > kStopsMax) {
        return invalid(cat("there are ", stops.size(), " stop strings, at most ", kStopsMax,
                           " are possible; give fewer"));
    }
    StopStrings out;
    for (const std::string& stop : stops) {
        if (stop.empty()) return invalid("a stop string is empty; leave it out");
        if (stop.size() > kStopBytesMax) {
            return invalid(cat("a stop string has ", stop.size(), " bytes, at most ", kStopBytesMax,
                               " are possible; shorten it"));
        }
        if (first_invalid_utf8(stop) != stop.size()) {
            return invalid(
                cat("the stop string ", quote_text(stop), " is not valid UTF-8; convert it first"));
        }
        Pattern pattern{stop, {0, 0}};
        for (size_t i = 1; i < stop.size(); ++i) {
            pattern.fallback.push_back(
                advance(stop, pattern.fallback, pattern.fallback.back(), stop[i]));
        }
        out.patterns_.push_back(std::move(pattern));
    }
    return out;
}

bool StopStrings::feed(std::string_view text, std::string& out) {
    if (patterns_.empty()) {
        out += text;
        return false;
    }
    size_t longest = 0;
    for (const char c : text) {
        waiting_.push_back(c);
        size_t complete = 0;
        longest = 0;
        for (Pattern& pattern : patterns_) {
            pattern.matched = advance(pattern.text, pattern.fallback, pattern.matched, c);
            longest = std::max(longest, pattern.matched);
            if (pattern.matched == pattern.text.size()) {
                complete = std::max(complete, pattern.matched);
            }
        }
        if (complete > 0) {
            out.append(waiting_, 0, waiting_.size() - complete);
            waiting_.clear();
            return true;
        }
    }
    if (text.empty()) return false;
    out.append(waiting_, 0, waiting_.size() - longest);
    waiting_.erase(0, waiting_.size() - longest);
    return false;
}

void StopStrings::flush(std::string& out) {
    out += waiting_;
    waiting_.clear();
    for (Pattern& pattern : patterns_) pattern.matched = 0;
}

}  // namespace millrace
