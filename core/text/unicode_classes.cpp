#include "core/text/unicode_classes.h"

#include <utf8proc.h>

#include <algorithm>

namespace millrace {
namespace {

// Unicode's White_Space; utf8proc's categories alone would miss the control characters among them.
bool is_space(char32_t c) {
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

uint8_t category_bits(char32_t c) {
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
        case UTF8PROC_CATEGORY_LU:
        case UTF8PROC_CATEGORY_LL:
        case UTF8PROC_CATEGORY_LT:
        case UTF8PROC_CATEGORY_LM:
        case UTF8PROC_CATEGORY_LO: return kLetter;
        case UTF8PROC_CATEGORY_MN:
        case UTF8PROC_CATEGORY_MC:
        case UTF8PROC_CATEGORY_ME: return kMark;
        case UTF8PROC_CATEGORY_ND:
        case UTF8PROC_CATEGORY_NL:
        case UTF8PROC_CATEGORY_NO: return kNumber;
        case UTF8PROC_CATEGORY_PC:
        case UTF8PROC_CATEGORY_PD:
        case UTF8PROC_CATEGORY_PS:
        case UTF8PROC_CATEGORY_PE:
        case UTF8PROC_CATEGORY_PI:
        case UTF8PROC_CATEGORY_PF:
        case UTF8PROC_CATEGORY_PO: return kPunctuation;
        case UTF8PROC_CATEGORY_SM:
        case UTF8PROC_CATEGORY_SC:
        case UTF8PROC_CATEGORY_SK:
        case UTF8PROC_CATEGORY_SO: return kSymbol;
        default: return 0;
    }
}

uint8_t class_of(char32_t c) {
    uint32_t bits = category_bits(c);
    if (is_space(c)) bits |= kSpace;
    if (c == '\r' || c == '\n') bits |= kNewline;
    if ((c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF)) bits |= kIdeograph;
    return static_cast<uint8_t>(bits);
}

}  // namespace

UnicodeClasses::UnicodeClasses() {
    std::array<uint8_t, 256> block{};
    for (size_t high = 0; high < block_of_.size(); ++high) {
        for (size_t low = 0; low < block.size(); ++low) {
            block[low] = class_of(static_cast<char32_t>((high << 8) | low));
        }
        // Most blocks repeat (unassigned, Han, Hangul); comparing with those kept so far is cheap
        // enough.
        const size_t kept = blocks_.size() / block.size();
        size_t same = 0;
        while (same < kept && !std::equal(block.begin(), block.end(),
                                          blocks_.begin() + static_cast<ptrdiff_t>(same << 8))) {
            ++same;
        }
        if (same == kept) blocks_.insert(blocks_.end(), block.begin(), block.end());
        block_of_[high] = static_cast<uint16_t>(same);
    }
}

}  // namespace millrace
