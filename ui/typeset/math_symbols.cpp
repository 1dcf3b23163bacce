#include "ui/typeset/math_symbols.h"

#include <algorithm>
#include <array>

namespace millrace {
namespace {

struct Entry {
    std::string_view name;
    MathSymbol symbol;
};
constexpr MathClass O = MathClass::kOrdinary, B = MathClass::kBinary, R = MathClass::kRelation,
                    P = MathClass::kOperator, L = MathClass::kOpen, C = MathClass::kClose,
                    U = MathClass::kPunctuation, I = MathClass::kInner;

constexpr Entry kSymbols[] = {
    {"alpha", {"𝛼", O}},
    {"beta", {"𝛽", O}},
    {"gamma", {"𝛾", O}},
    {"delta", {"𝛿", O}},
    {"epsilon", {"𝜖", O}},
    {"varepsilon", {"𝜀", O}},
    {"zeta", {"𝜁", O}},
    {"eta", {"𝜂", O}},
    {"theta", {"𝜃", O}},
    {"vartheta", {"𝜗", O}},
    {"iota", {"𝜄", O}},
    {"kappa", {"𝜅", O}},
    {"lambda", {"𝜆", O}},
    {"mu", {"𝜇", O}},
    {"nu", {"𝜈", O}},
    {"xi", {"𝜉", O}},
    {"pi", {"𝜋", O}},
    {"rho", {"𝜌", O}},
    {"sigma", {"𝜎", O}},
    {"tau", {"𝜏", O}},
    {"upsilon", {"𝜐", O}},
    {"phi", {"𝜙", O}},
    {"varphi", {"𝜑", O}},
    {"chi", {"𝜒", O}},
    {"psi", {"𝜓", O}},
    {"omega", {"𝜔", O}},
    {"Gamma", {"Γ", O}},
    {"Delta", {"Δ", O}},
    {"Theta", {"Θ", O}},
    {"Lambda", {"Λ", O}},
    {"Xi", {"Ξ", O}},
    {"Pi", {"Π", O}},
    {"Sigma", {"Σ", O}},
    {"Upsilon", {"Υ", O}},
    {"Phi", {"Φ", O}},
    {"Psi", {"Ψ", O}},
    {"Omega", {"Ω", O}},
    {"infty", {"∞", O}},
    {"partial", {"𝜕", O}},
    {"nabla", {"∇", O}},
    {"hbar", {"ℏ", O}},
    {"ell", {"ℓ", O}},
    {"Re", {"ℜ", O}},
    {"Im", {"ℑ", O}},
    {"aleph", {"ℵ", O}},
    {"emptyset", {"∅", O}},
    {"varnothing", {"∅", O}},
    {"forall", {"∀", O}},
    {"exists", {"∃", O}},
    {"nexists", {"∄", O}},
    {"neg", {"¬", O}},
    {"lnot", {"¬", O}},
    {"top", {"⊤", O}},
    {"bot", {"⊥", O}},
    {"angle", {"∠", O}},
    {"triangle", {"△", O}},
    {"prime", {"′", O}},
    {"degree", {"°", O}},
    {"ldots", {"…", I}},
    {"dots", {"…", I}},
    {"cdots", {"⋯", I}},
    {"vdots", {"⋮", O}},
    {"ddots", {"⋱", I}},
    {"square", {"□", O}},
    {"checkmark", {"✓", O}},
    {"dagger", {"†", B}},
    {"star", {"⋆", B}},
    {"bullet", {"∙", B}},
    {"pm", {"±", B}},
    {"mp", {"∓", B}},
    {"times", {"×", B}},
    {"div", {"÷", B}},
    {"cdot", {"⋅", B}},
    {"ast", {"∗", B}},
    {"circ", {"∘", B}},
    {"oplus", {"⊕", B}},
    {"ominus", {"⊖", B}},
    {"otimes", {"⊗", B}},
    {"odot", {"⊙", B}},
    {"cup", {"∪", B}},
    {"cap", {"∩", B}},
    {"setminus", {"∖", B}},
    {"wedge", {"∧", B}},
    {"land", {"∧", B}},
    {"vee", {"∨", B}},
    {"lor", {"∨", B}},
    {"leq", {"≤", R}},
    {"le", {"≤", R}},
    {"geq", {"≥", R}},
    {"ge", {"≥", R}},
    {"neq", {"≠", R}},
    {"ne", {"≠", R}},
    {"equiv", {"≡", R}},
    {"approx", {"≈", R}},
    {"sim", {"∼", R}},
    {"simeq", {"≃", R}},
    {"cong", {"≅", R}},
    {"propto", {"∝", R}},
    {"ll", {"≪", R}},
    {"gg", {"≫", R}},
    {"in", {"∈", R}},
    {"notin", {"∉", R}},
    {"ni", {"∋", R}},
    {"subset", {"⊂", R}},
    {"subseteq", {"⊆", R}},
    {"supset", {"⊃", R}},
    {"supseteq", {"⊇", R}},
    {"perp", {"⟂", R}},
    {"parallel", {"∥", R}},
    {"mid", {"∣", R}},
    {"vdash", {"⊢", R}},
    {"models", {"⊨", R}},
    {"to", {"→", R}},
    {"rightarrow", {"→", R}},
    {"leftarrow", {"←", R}},
    {"gets", {"←", R}},
    {"leftrightarrow", {"↔", R}},
    {"Rightarrow", {"⇒", R}},
    {"Leftarrow", {"⇐", R}},
    {"Leftrightarrow", {"⇔", R}},
    {"implies", {"⟹", R}},
    {"iff", {"⟺", R}},
    {"mapsto", {"↦", R}},
    {"longrightarrow", {"⟶", R}},
    {"uparrow", {"↑", R}},
    {"downarrow", {"↓", R}},
    {"hookrightarrow", {"↪", R}},
    {"rightharpoonup", {"⇀", R}},
    {"because", {"∵", R}},
    {"therefore", {"∴", R}},
    {"varpi", {"𝜛", O}},
    {"varrho", {"𝜚", O}},
    {"varsigma", {"𝜍", O}},
    {"complement", {"∁", O}},
    {"wp", {"℘", O}},
    {"dotsc", {"…", I}},
    {"dotsb", {"⋯", I}},
    {"lozenge", {"◊", O}},
    {"blacksquare", {"■", O}},
    {"ddagger", {"‡", B}},
    {"diamond", {"⋄", B}},
    {"sqcup", {"⊔", B}},
    {"sqcap", {"⊓", B}},
    {"uplus", {"⊎", B}},
    {"amalg", {"⨿", B}},
    {"ltimes", {"⋉", B}},
    {"rtimes", {"⋊", B}},
    {"bmod", {"mod", B}},
    {"prec", {"≺", R}},
    {"succ", {"≻", R}},
    {"preceq", {"⪯", R}},
    {"succeq", {"⪰", R}},
    {"leqslant", {"⩽", R}},
    {"geqslant", {"⩾", R}},
    {"lesssim", {"≲", R}},
    {"gtrsim", {"≳", R}},
    {"asymp", {"≍", R}},
    {"doteq", {"≐", R}},
    {"triangleq", {"≜", R}},
    {"coloneqq", {"≔", R}},
    {"subsetneq", {"⊊", R}},
    {"supsetneq", {"⊋", R}},
    {"sqsubseteq", {"⊑", R}},
    {"nmid", {"∤", R}},
    {"nparallel", {"∦", R}},
    {"Vdash", {"⊩", R}},
    {"vDash", {"⊨", R}},
    {"dashv", {"⊣", R}},
    {"bowtie", {"⋈", R}},
    {"longleftarrow", {"⟵", R}},
    {"longleftrightarrow", {"⟷", R}},
    {"Longrightarrow", {"⟹", R}},
    {"Longleftarrow", {"⟸", R}},
    {"Longleftrightarrow", {"⟺", R}},
    {"impliedby", {"⟸", R}},
    {"longmapsto", {"⟼", R}},
    {"nrightarrow", {"↛", R}},
    {"hookleftarrow", {"↩", R}},
    {"rightleftharpoons", {"⇌", R}},
    {"leftharpoonup", {"↼", R}},
    {"rightrightarrows", {"⇉", R}},
    {"rightsquigarrow", {"⇝", R}},
    {"leadsto", {"⇝", R}},
    {"twoheadrightarrow", {"↠", R}},
    {"updownarrow", {"↕", R}},
    {"Uparrow", {"⇑", R}},
    {"Downarrow", {"⇓", R}},
    {"nearrow", {"↗", R}},
    {"searrow", {"↘", R}},
    {"swarrow", {"↙", R}},
    {"nwarrow", {"↖", R}},
    {"bigsqcup", {"⨆", P, true}},
    {"biguplus", {"⨄", P, true}},
    {"bigodot", {"⨀", P, true}},
    {"colon", {":", U}},
    {"sum", {"∑", P, true}},
    {"prod", {"∏", P, true}},
    {"coprod", {"∐", P, true}},
    {"int", {"∫", P}},
    {"iint", {"∬", P}},
    {"iiint", {"∭", P}},
    {"oint", {"∮", P}},
    {"bigcup", {"⋃", P, true}},
    {"bigcap", {"⋂", P, true}},
    {"bigoplus", {"⨁", P, true}},
    {"bigotimes", {"⨂", P, true}},
    {"bigvee", {"⋁", P, true}},
    {"bigwedge", {"⋀", P, true}},
    {"lbrace", {"{", L}},
    {"rbrace", {"}", C}},
    {"{", {"{", L}},
    {"}", {"}", C}},
    {"langle", {"⟨", L}},
    {"rangle", {"⟩", C}},
    {"lfloor", {"⌊", L}},
    {"rfloor", {"⌋", C}},
    {"lceil", {"⌈", L}},
    {"rceil", {"⌉", C}},
    {"lbrack", {"[", L}},
    {"rbrack", {"]", C}},
    {"lvert", {"|", L}},
    {"rvert", {"|", C}},
    {"lVert", {"‖", L}},
    {"rVert", {"‖", C}},
    {"|", {"‖", O}},
    {"Vert", {"‖", O}},
    {"vert", {"|", O}},
    {"backslash", {"\\", O}},
    {"%", {"%", O}},
    {"$", {"$", O}},
    {"#", {"#", O}},
    {"&", {"&", O}},
    {"_", {"_", O}},
};

constexpr auto kFunctions = std::to_array<std::string_view>(
    {"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
     "log", "ln",  "lg",  "exp", "det", "dim", "ker",    "deg",    "gcd",    "hom",  "arg",  "Pr"});
constexpr auto kLimitFunctions = std::to_array<std::string_view>(
    {"lim", "max", "min", "sup", "inf", "limsup", "liminf", "argmax", "argmin"});

}  // namespace

std::optional<MathSymbol> math_symbol(std::string_view name) {
    const auto found = std::ranges::find(kSymbols, name, &Entry::name);
    if (found == std::end(kSymbols)) return std::nullopt;
    return found->symbol;
}

bool is_math_function(std::string_view name, bool& limits) {
    limits = std::ranges::find(kLimitFunctions, name) != kLimitFunctions.end();
    return limits || std::ranges::find(kFunctions, name) != kFunctions.end();
}

std::optional<float> math_space(std::string_view name) {
    if (name == "," || name == "thinspace") return 3 / 18.F;
    if (name == ":" || name == ">") return 4 / 18.F;
    if (name == ";") return 5 / 18.F;
    if (name == "!") return -3 / 18.F;
    if (name == " ") return 0.33F;
    if (name == "quad") return 1.F;
    if (name == "qquad") return 2.F;
    return std::nullopt;
}

std::optional<MathAlphabet> math_alphabet(std::string_view name) {
    if (name == "mathrm" || name == "rm") return MathAlphabet::kUpright;
    if (name == "mathbf" || name == "boldsymbol" || name == "bm") return MathAlphabet::kBold;
    if (name == "mathbb") return MathAlphabet::kBlackboard;
    if (name == "mathcal" || name == "mathscr") return MathAlphabet::kScript;
    if (name == "mathsf") return MathAlphabet::kSans;
    if (name == "mathfrak") return MathAlphabet::kFraktur;
    if (name == "mathtt") return MathAlphabet::kMono;
    if (name == "mathit") return MathAlphabet::kItalic;
    return std::nullopt;
}

const char* math_accent(std::string_view name) {
    if (name == "hat" || name == "widehat") return "^";
    if (name == "bar") return "¯";
    if (name == "vec" || name == "overrightarrow") return "→";
    if (name == "dot") return "˙";
    if (name == "ddot") return "¨";
    if (name == "tilde" || name == "widetilde") return "~";
    if (name == "check") return "ˇ";
    return nullptr;
}

char32_t math_letter(char32_t code, MathAlphabet alphabet) {
    struct Base {
        char32_t upper, lower, digit;  // 0: as it is
    };
    constexpr std::array<Base, 8> bases = {{{0x1D434, 0x1D44E, 0},
                                            {0, 0, 0},
                                            {0x1D400, 0x1D41A, 0x1D7CE},
                                            {0x1D538, 0x1D552, 0x1D7D8},
                                            {0x1D49C, 0x1D4B6, 0},
                                            {0x1D5A0, 0x1D5BA, 0x1D7E2},
                                            {0x1D504, 0x1D51E, 0},
                                            {0x1D670, 0x1D68A, 0x1D7F6}}};
    // Letters that had a place in Unicode before the alphabets came.
    struct Old {
        MathAlphabet alphabet;
        char32_t code, stands;
    };
    constexpr MathAlphabet S = MathAlphabet::kScript, D = MathAlphabet::kBlackboard,
                           F = MathAlphabet::kFraktur;
    constexpr auto old = std::to_array<Old>({{MathAlphabet::kItalic, 'h', 0x210E},
                                             {D, 'C', 0x2102},
                                             {D, 'H', 0x210D},
                                             {D, 'N', 0x2115},
                                             {D, 'P', 0x2119},
                                             {D, 'Q', 0x211A},
                                             {D, 'R', 0x211D},
                                             {D, 'Z', 0x2124},
                                             {S, 'B', 0x212C},
                                             {S, 'E', 0x2130},
                                             {S, 'F', 0x2131},
                                             {S, 'H', 0x210B},
                                             {S, 'I', 0x2110},
                                             {S, 'L', 0x2112},
                                             {S, 'M', 0x2133},
                                             {S, 'R', 0x211B},
                                             {S, 'e', 0x212F},
                                             {S, 'g', 0x210A},
                                             {S, 'o', 0x2134},
                                             {F, 'C', 0x212D},
                                             {F, 'H', 0x210C},
                                             {F, 'I', 0x2111},
                                             {F, 'R', 0x211C},
                                             {F, 'Z', 0x2128}});
    for (const Old& entry : old) {
        if (entry.alphabet == alphabet && entry.code == code) return entry.stands;
    }
    // Greek: capitals upright, small letters italic (as the names of the table are), bold both.
    if (alphabet == MathAlphabet::kBold) {
        if (code >= 0x391 && code <= 0x3A9) return 0x1D6A8 + (code - 0x391);
        if (code >= 0x1D6FC && code <= 0x1D71B) return 0x1D736 + (code - 0x1D6FC);
    }
    const Base& base = bases[static_cast<size_t>(alphabet)];
    if (code >= 'A' && code <= 'Z' && base.upper != 0) return base.upper + (code - 'A');
    if (code >= 'a' && code <= 'z' && base.lower != 0) return base.lower + (code - 'a');
    if (code >= '0' && code <= '9' && base.digit != 0) return base.digit + (code - '0');
    return code;
}

}  // namespace millrace
