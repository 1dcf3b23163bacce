#pragma once
// Names of LaTeX's mathematics and what they stand for.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

// TeX's classes: what stands beside what decides the space between.
enum class MathClass : uint8_t {
    kOrdinary,
    kOperator,
    kBinary,
    kRelation,
    kOpen,
    kClose,
    kPunctuation,
    kInner
};

struct MathSymbol {
    std::string_view text;
    MathClass kind = MathClass::kOrdinary;
    bool limits = false;  // scripts stand above and below in a display
};

// "alpha", "sum", "leq"; without the backslash.
[[nodiscard]] std::optional<MathSymbol> math_symbol(std::string_view name);
// "sin", "lim": set upright. `limits`: as for \lim.
[[nodiscard]] bool is_math_function(std::string_view name, bool& limits);

enum class MathAlphabet : uint8_t {
    kItalic,
    kUpright,
    kBold,
    kBlackboard,
    kScript,
    kSans,
    kFraktur,
    kMono
};
// "mathbb".
[[nodiscard]] std::optional<MathAlphabet> math_alphabet(std::string_view name);
// The width of ",", "quad", in ems.
[[nodiscard]] std::optional<float> math_space(std::string_view name);
// The mark of "hat"; nullptr for what is no accent.
[[nodiscard]] const char* math_accent(std::string_view name);
// A letter or digit of an alphabet, as Unicode has it.
[[nodiscard]] char32_t math_letter(char32_t code, MathAlphabet alphabet);

}  // namespace millrace
