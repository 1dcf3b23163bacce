#include "ui/typeset/math.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>

#include "core/base/utf8.h"
#include "ui/typeset/math_build.h"
#include "ui/typeset/math_symbols.h"

namespace millrace {
namespace {

constexpr int kDepthMax = 64;
constexpr size_t kSourceMax = 10 << 10;

struct Atom {
    MathBox box;
    MathClass kind = MathClass::kOrdinary;
    bool limits = false;
};

// Reads a formula and sets it at the same time.
class Setter {
public:
    Setter(FontSet& fonts, std::string_view source) : fonts_(fonts), source_(source) {}

    MathBox whole(const MathSetting& style) {
        MathBox box = rows(style);
        box.understood = box.understood && understood_;
        return box;
    }

private:
    // ── Reading ──
    [[nodiscard]] bool at_end() const { return at_ >= source_.size(); }
    [[nodiscard]] char peek() const { return at_end() ? '\0' : source_[at_]; }
    void skip_spaces() {
        while (!at_end() && (peek() == ' ' || peek() == '\n' || peek() == '\t')) ++at_;
    }
    // The name behind a backslash that is at `from`.
    [[nodiscard]] std::string_view name_at(size_t from) const {
        size_t end = from + 1;
        const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
        while (end < source_.size() && letter(source_[end])) ++end;
        if (end == from + 1 && end < source_.size())
            end += static_cast<size_t>(decode_utf8(source_.substr(end)).bytes);
        return source_.substr(from + 1, end - from - 1);
    }
    [[nodiscard]] bool stands(std::string_view text) const {
        return source_.substr(std::min(at_, source_.size())).starts_with(text);
    }
    bool take(std::string_view text) {
        if (!stands(text)) return false;
        at_ += text.size();
        return true;
    }
    // The braces' inside as it is written.
    std::string_view raw_group() {
        skip_spaces();
        if (!take("{")) return {};
        const size_t begin = at_;
        int open = 1;
        while (!at_end() && open > 0) {
            if (peek() == '\\')
                ++at_;
            else if (peek() == '{')
                ++open;
            else if (peek() == '}')
                --open;
            ++at_;
        }
        at_ = std::min(at_, source_.size());
        return source_.substr(begin, at_ - begin - (open == 0 ? 1 : 0));
    }

    // ── Lists ──
    // Until `stop` (not taken), a closing brace, & or \\.
    MathBox list(const MathSetting& style, std::string_view stop) {
        std::vector<Atom> atoms;
        MathSetting now = style;
        while (!at_end()) {
            skip_spaces();
            if (at_end() || peek() == '}' || peek() == '&' || stands("\\\\") ||
                (!stop.empty() && stands(stop)))
                break;
            const std::string_view name = peek() == '\\' ? name_at(at_) : std::string_view();
            if (name == "right" || (name == "middle" && fences_ > 0)) break;
            if (stands("\\end{")) break;
            if (name == "displaystyle" || name == "textstyle") {
                at_ += 1 + name.size();
                now.display = name == "displaystyle";
                continue;
            }
            scripts(atom(now), now, atoms);
        }
        return join(atoms, style);
    }

    MathBox join(std::vector<Atom>& atoms, const MathSetting& style) {
        // A sign between nothing and something is no binary operator.
        for (size_t i = 0; i < atoms.size(); ++i) {
            if (atoms[i].kind != MathClass::kBinary) continue;
            const bool first = i == 0;
            const MathClass before = first ? MathClass::kOpen : atoms[i - 1].kind;
            const bool sign = first || before == MathClass::kBinary ||
                              before == MathClass::kOperator || before == MathClass::kRelation ||
                              before == MathClass::kOpen || before == MathClass::kPunctuation;
            if (sign || i + 1 == atoms.size()) atoms[i].kind = MathClass::kOrdinary;
        }
        MathBox box;
        for (size_t i = 0; i < atoms.size(); ++i) {
            if (i > 0) box.width += space_between(atoms[i - 1].kind, atoms[i].kind, style);
            append(box, atoms[i].box);
        }
        return box;
    }

    // ── Scripts ──
    void scripts(Atom base, const MathSetting& style, std::vector<Atom>& atoms) {
        std::optional<MathBox> above, below;
        std::string primes;
        bool limits = base.limits && style.display;
        while (true) {
            skip_spaces();
            if (take("\\limits")) {
                limits = true;
            } else if (take("\\nolimits")) {
                limits = false;
            } else if (peek() == '\'') {
                ++at_;
                primes += "′";
            } else if (!above && take("^")) {
                above = argument(style.script());
            } else if (!below && take("_")) {
                below = argument(style.script());
            } else {
                break;
            }
        }
        if (!primes.empty()) {
            // The font's prime stands where a superscript does already: it is not raised.
            const MathBox prime = glyph_box(fonts_, primes, style.size);
            const float left = base.box.width;
            if (above) {
                append(base.box, prime);
            } else {
                if (below) base.box = with_scripts(base.box, std::nullopt, below, style);
                below.reset();
                place(base.box, prime, left, 0);
                base.box.width = std::max(base.box.width, left + prime.width);
                base.box.ascent = std::max(base.box.ascent, prime.ascent);
            }
        }
        if (above || below)
            base.box = limits ? with_limits(base.box, above, below, style)
                              : with_scripts(base.box, above, below, style);
        atoms.push_back(std::move(base));
    }

    // ── Atoms ──
    // A group in braces, or one atom.
    MathBox argument(const MathSetting& style) {
        skip_spaces();
        if (at_end()) return {};
        if (peek() == '{') return group(style);
        return nested(style).box;
    }
    // An atom that belongs to a command: \sqrt\sqrt\sqrt… goes as deep as braces do.
    Atom nested(const MathSetting& style) {
        if (at_end()) return {};
        if (depth_ >= kDepthMax && peek() == '\\') {
            const std::string_view name = name_at(at_);
            at_ += 1 + name.size();
            return {source_box(std::string("\\") + std::string(name), style)};
        }
        ++depth_;
        Atom inner = atom(style);
        --depth_;
        return inner;
    }
    MathBox group(const MathSetting& style) {
        if (++depth_ > kDepthMax) {
            --depth_;
            return source_box(std::string("{") + std::string(raw_group()) + "}", style);
        }
        ++at_;
        MathBox box = list(style, "}");
        while (!at_end() && peek() != '}') {  // an & or \\ that stands where none belongs
            ++at_;
            append(box, list(style, "}"));
        }
        if (!at_end()) ++at_;
        --depth_;
        return box;
    }

    Atom atom(const MathSetting& style) {
        if (peek() == '{') return {group(style), MathClass::kOrdinary};
        if (peek() == '\\') return command(style);
        const Utf8Char c = decode_utf8(source_.substr(at_));
        const std::string_view text = source_.substr(at_, static_cast<size_t>(c.bytes));
        at_ += text.size();
        if (!c.valid) return {source_box("\xEF\xBF\xBD", style), MathClass::kOrdinary};
        switch (c.code) {
            case '+': return {glyph_box(fonts_, "+", style.size), MathClass::kBinary};
            case '-': return {glyph_box(fonts_, "−", style.size), MathClass::kBinary};
            case '*': return {glyph_box(fonts_, "∗", style.size), MathClass::kBinary};
            case '=':
            case '<':
            case '>':
            case ':': return {glyph_box(fonts_, text, style.size), MathClass::kRelation};
            case ',':
            case ';': return {glyph_box(fonts_, text, style.size), MathClass::kPunctuation};
            case '(':
            case '[': return {glyph_box(fonts_, text, style.size), MathClass::kOpen};
            case ')':
            case ']':
            case '!': return {glyph_box(fonts_, text, style.size), MathClass::kClose};
            case '~': return {spaced(style.size * 0.33F), MathClass::kOrdinary};
            default: break;
        }
        std::string letter;
        append_utf8(letter, math_letter(c.code, style.letters));
        return {glyph_box(fonts_, letter, style.size), MathClass::kOrdinary};
    }

    static MathBox spaced(float width) {
        MathBox box;
        box.width = width;
        return box;
    }

    // What is not understood, in the letters of code.
    MathBox source_box(std::string_view text, const MathSetting& style) {
        understood_ = false;
        MathBox box = glyph_box(fonts_, text, style.size * 0.9F, Face::kMono);
        box.understood = false;
        return box;
    }

    Atom command(const MathSetting& style) {
        const size_t begin = at_;
        const std::string_view name = name_at(at_);
        at_ += 1 + name.size();
        if (const auto space = math_space(name))
            return {spaced(*space * style.size), MathClass::kOrdinary};
        if (name == "not") return negated(style);
        if (const auto symbol = math_symbol(name)) {
            if (symbol->kind == MathClass::kOperator) {
                const float axis = math_measures(fonts_, style.size).axis;
                const float height = style.display ? style.size * 1.35F : style.size;
                return {grown_box(fonts_, symbol->text, style.size, height, axis),
                        MathClass::kOperator, symbol->limits};
            }
            const Utf8Char sign = decode_utf8(symbol->text);
            if (static_cast<size_t>(sign.bytes) != symbol->text.size())
                return {glyph_box(fonts_, symbol->text, style.size), symbol->kind};
            std::string letter;
            append_utf8(letter, math_letter(sign.code, style.letters));
            return {glyph_box(fonts_, letter, style.size), symbol->kind};
        }
        bool limits = false;
        if (is_math_function(name, limits))
            return {upright(name, style), MathClass::kOperator, limits};
        if (const auto alphabet = math_alphabet(name)) {
            MathSetting inner = style;
            inner.letters = *alphabet;
            return {argument(inner), MathClass::kOrdinary};
        }
        if (name == "text" || name == "textbf" || name == "textit" || name == "mbox" ||
            name == "textrm") {
            const Face face = name == "textbf"   ? Face::kSemibold
                              : name == "textit" ? Face::kItalic
                                                 : Face::kBody;
            return {glyph_box(fonts_, raw_group(), style.size * 0.95F, face), MathClass::kOrdinary};
        }
        if (name == "operatorname") return {upright(raw_group(), style), MathClass::kOperator};
        return structure(name, begin, style);
    }

    MathBox upright(std::string_view text, const MathSetting& style) {
        return glyph_box(fonts_,
                         text == "limsup"   ? "lim sup"
                         : text == "liminf" ? "lim inf"
                                            : text,
                         style.size);
    }

    Atom structure(std::string_view name, size_t begin, const MathSetting& style) {
        if (name == "frac" || name == "dfrac" || name == "tfrac" || name == "cfrac" ||
            name == "binom")
            return {fraction(name, style), MathClass::kInner};
        if (name == "sqrt") return {root(style), MathClass::kOrdinary};
        if (name == "left") return {delimited(style), MathClass::kInner};
        if (name == "begin") return {environment(style), MathClass::kInner};
        if (name.starts_with("big") || name.starts_with("Big"))
            return big_delimiter(name, begin, style);
        if (name == "overline" || name == "underline" || name == "boxed" || name == "overbrace" ||
            name == "underbrace")
            return {lined(fonts_, name, argument(style), style), MathClass::kOrdinary,
                    name.ends_with("brace")};
        if (const char* accent = math_accent(name))
            return {accented(fonts_, accent, argument(style), style), MathClass::kOrdinary};
        if (name == "overset" || name == "underset" || name == "stackrel") {
            const MathBox mark = argument(style.script());
            const Atom base = nested_or_group(style);
            const bool under = name == "underset";
            return {with_limits(base.box, under ? std::nullopt : std::optional(mark),
                                under ? std::optional(mark) : std::nullopt, style),
                    name == "stackrel" ? MathClass::kRelation : base.kind};
        }
        if (name == "xrightarrow" || name == "xleftarrow")
            return {long_arrow(fonts_, name == "xrightarrow" ? "→" : "←", argument(style.script()),
                               style),
                    MathClass::kRelation};
        if (name == "pmod") {
            MathBox box = spaced(style.size * 0.5F);
            append(box, glyph_box(fonts_, "(mod ", style.size));
            append(box, argument(style));
            append(box, glyph_box(fonts_, ")", style.size));
            return {box, MathClass::kOrdinary};
        }
        if (name == "substack") return {substack(style), MathClass::kOrdinary};
        if (name == "phantom") return {spaced(argument(style).width), MathClass::kOrdinary};
        if (name == "color" || name == "label" || name == "hline" || name == "nonumber" ||
            name == "notag") {
            if (name == "color" || name == "label") static_cast<void>(raw_group());
            return {MathBox{}, MathClass::kOrdinary};
        }
        if (name == "textcolor") {
            static_cast<void>(raw_group());
            return {argument(style), MathClass::kOrdinary};
        }
        if (name == "tag")
            return {glyph_box(fonts_, std::string("    (") + std::string(raw_group()) + ")",
                              style.size, Face::kBody),
                    MathClass::kOrdinary};
        return {source_box(source_.substr(begin, at_ - begin), style), MathClass::kOrdinary};
    }

    Atom negated(const MathSetting& style) {
        skip_spaces();
        Atom base = nested(style);
        const MathBox slash = glyph_box(fonts_, "/", style.size);
        place(base.box, slash, (base.box.width - slash.width) / 2, 0);
        base.box.ascent = std::max(base.box.ascent, slash.ascent);
        base.box.descent = std::max(base.box.descent, slash.descent);
        return base;
    }

    // An argument with the class it has as an atom; a group of one atom is as that atom.
    Atom nested_or_group(const MathSetting& style) {
        skip_spaces();
        if (peek() != '{') return nested(style);
        const std::string_view inside = source_.substr(at_ + 1);
        const MathClass kind = inside.starts_with('=')                ? MathClass::kRelation
                               : inside.starts_with("\\operatorname") ? MathClass::kOperator
                                                                      : MathClass::kOrdinary;
        return {group(style), kind};
    }

    // Lines under a sum.
    MathBox substack(const MathSetting& style) {
        skip_spaces();
        if (depth_ >= kDepthMax || !take("{")) return source_box("\\substack", style);
        ++depth_;
        const MathGrid lines = grid(style);
        --depth_;
        take("}");
        return set_grid(fonts_, lines, style, 'c');
    }

    MathBox fraction(std::string_view name, const MathSetting& style) {
        const bool shrinks =
            name == "tfrac" || (!style.display && name != "dfrac" && style.level > 0);
        MathSetting inner = shrinks ? style.script() : style.part();
        if (!style.display && name == "frac") inner.size = style.size * 0.85F;
        const MathBox top = argument(inner), bottom = argument(inner);
        const MathMeasures m = math_measures(fonts_, style.size);
        const bool bar = name != "binom";
        const float gap = style.size * (style.display ? 0.16F : 0.1F) + (bar ? m.rule / 2 : 0);
        MathBox box;
        const float side = style.size * 0.06F;
        box.width = std::max(top.width, bottom.width) + 4 * side;
        const float up = m.axis + gap + top.descent, down = -m.axis + gap + bottom.ascent;
        place(box, top, (box.width - top.width) / 2, -up);
        place(box, bottom, (box.width - bottom.width) / 2, down);
        box.ascent = up + top.ascent;
        box.descent = down + bottom.descent;
        if (bar) {
            const float y = std::round(-m.axis - m.rule / 2);
            add_rule(box, side, y, box.width - side, y + m.rule);
            return box;
        }
        return enclosed(fonts_, "(", box, ")", style);
    }

    MathBox root(const MathSetting& style) {
        MathBox index;
        skip_spaces();
        if (depth_ >= kDepthMax && stands("[")) {
            understood_ = false;  // the bracket becomes the radicand
        } else if (take("[")) {
            ++depth_;
            index = list(style.script().script(), "]");
            --depth_;
            take("]");
        }
        const MathBox inner = argument(style.part());
        const MathMeasures m = math_measures(fonts_, style.size);
        const float gap = style.size * 0.12F;
        const float height = inner.ascent + inner.descent + gap + m.rule;
        const float middle = (inner.ascent + gap + m.rule - inner.descent) / 2;
        const MathBox sign = grown_box(fonts_, "√", style.size, height, middle);
        MathBox box;
        const float indent = std::max(0.F, index.width - sign.width * 0.55F);
        place(box, index, std::max(0.F, sign.width * 0.55F - index.width), -sign.ascent * 0.55F);
        place(box, sign, indent, 0);
        const float left = indent + sign.width;
        place(box, inner, left, 0);
        const float top = std::round(-sign.ascent);
        add_rule(box, left - 1, top, left + inner.width + style.size * 0.05F, top + m.rule);
        box.width = left + inner.width + style.size * 0.08F;
        box.ascent = std::max(sign.ascent, sign.ascent * 0.55F + index.ascent);
        box.descent = std::max(sign.descent, inner.descent);
        return box;
    }

    // The delimiter behind \left, \right, \big.
    std::string_view delimiter() {
        skip_spaces();
        if (at_end()) return {};
        if (peek() == '\\') {
            const std::string_view name = name_at(at_);
            at_ += 1 + name.size();
            const auto symbol = math_symbol(name);
            return symbol ? symbol->text : std::string_view();
        }
        const auto bytes = static_cast<size_t>(decode_utf8(source_.substr(at_)).bytes);
        const std::string_view text = source_.substr(at_, bytes);
        at_ += bytes;
        if (text == "<") return "⟨";
        if (text == ">") return "⟩";
        return text == "." ? std::string_view() : text;
    }

    MathBox delimited(const MathSetting& style) {
        const std::string_view left = delimiter();
        if (++depth_ > kDepthMax) {
            --depth_;
            return source_box("\\left", style);
        }
        ++fences_;
        std::vector<MathBox> parts = {list(style, "\\right")};
        std::vector<std::string_view> between;
        while (take("\\middle")) {
            between.push_back(delimiter());
            parts.push_back(list(style, "\\right"));
        }
        --fences_;
        --depth_;
        const MathBox inner = between.empty() ? parts[0] : fenced(fonts_, parts, between, style);
        const std::string_view right = take("\\right") ? delimiter() : std::string_view();
        return enclosed(fonts_, left, inner, right, style);
    }

    Atom big_delimiter(std::string_view name, size_t begin, const MathSetting& style) {
        constexpr std::array<std::pair<std::string_view, float>, 4> sizes = {
            {{"big", 1.2F}, {"Big", 1.8F}, {"bigg", 2.4F}, {"Bigg", 3.F}}};
        const MathClass kind = name.ends_with("l")   ? MathClass::kOpen
                               : name.ends_with("r") ? MathClass::kClose
                                                     : MathClass::kOrdinary;
        const std::string_view stem =
            kind == MathClass::kOrdinary ? name : name.substr(0, name.size() - 1);
        for (const auto& [known, factor] : sizes) {
            if (stem != known) continue;
            const float axis = math_measures(fonts_, style.size).axis;
            return {grown_box(fonts_, delimiter(), style.size, factor * style.size, axis), kind};
        }
        return {source_box(source_.substr(begin, at_ - begin), style), MathClass::kOrdinary};
    }

    // ── Rows and columns ──
    MathGrid grid(const MathSetting& style) {
        constexpr size_t kCellsMax = 4096;
        MathGrid grid;
        grid.cells.emplace_back();
        size_t count = 0;
        while (count++ < kCellsMax) {
            grid.cells.back().push_back(list(style, ""));
            if (take("&")) continue;
            if (!take("\\\\")) break;
            skip_spaces();
            if (take("[")) {
                while (!at_end() && peek() != ']') ++at_;
                take("]");
            }
            grid.cells.emplace_back();
        }
        const bool empty_end = grid.cells.size() > 1 && grid.cells.back().size() == 1 &&
                               grid.cells.back()[0].width == 0;
        if (empty_end) grid.cells.pop_back();
        return grid;
    }

    MathBox environment(const MathSetting& style) {
        std::string name(raw_group());
        if (!name.empty() && name.back() == '*') name.pop_back();
        if (name == "array") static_cast<void>(raw_group());
        struct Known {
            std::string_view name, left, right;
            char columns;
        };
        constexpr auto known = std::to_array<Known>({{"matrix", "", "", 'c'},
                                                     {"pmatrix", "(", ")", 'c'},
                                                     {"bmatrix", "[", "]", 'c'},
                                                     {"Bmatrix", "{", "}", 'c'},
                                                     {"vmatrix", "|", "|", 'c'},
                                                     {"Vmatrix", "‖", "‖", 'c'},
                                                     {"smallmatrix", "", "", 'c'},
                                                     {"array", "", "", 'c'},
                                                     {"cases", "{", "", 'l'},
                                                     {"aligned", "", "", 'a'},
                                                     {"align", "", "", 'a'},
                                                     {"split", "", "", 'a'},
                                                     {"gathered", "", "", 'c'},
                                                     {"gather", "", "", 'c'},
                                                     {"equation", "", "", 'c'}});
        const auto found = std::ranges::find(known, std::string_view(name), &Known::name);
        if (++depth_ > kDepthMax) {
            --depth_;
            return source_box("\\begin", style);
        }
        MathSetting inner = style;
        inner.display = style.display && found != known.end() && found->columns == 'a';
        const MathGrid cells = grid(inner);
        --depth_;
        if (take("\\end")) static_cast<void>(raw_group());
        const bool is_known = found != known.end();
        const MathBox box = set_grid(fonts_, cells, style, is_known ? found->columns : 'c');
        if (!is_known) {
            MathBox named = source_box(name, style);
            append(named, box);
            return named;
        }
        return enclosed(fonts_, found->left, box, found->right, style);
    }

    // The whole: several lines where \\ or & stand outside an environment.
    MathBox rows(const MathSetting& style) {
        const MathGrid cells = grid(style);
        MathBox box = cells.cells.size() == 1 && cells.cells[0].size() == 1
                          ? cells.cells[0][0]
                          : set_grid(fonts_, cells, style, 'a');
        while (!at_end()) {  // a brace that closes nothing, an \end or \right without its beginning
            const size_t begin = at_;
            at_ += peek() == '\\' ? 1 + name_at(at_).size() : 1;
            append(box, source_box(source_.substr(begin, at_ - begin), style));
            append(box, list(style, ""));
        }
        return box;
    }

    FontSet& fonts_;
    std::string_view source_;
    size_t at_ = 0;
    int depth_ = 0, fences_ = 0;  // open: \left without its \right
    bool understood_ = true;
};

}  // namespace

MathLayout lay_out_math(FontSet& fonts, std::string_view source, MathStyle style, float size) {
    if (source.size() > kSourceMax) {
        MathLayout box = glyph_box(fonts, source.substr(0, 200), size * 0.9F, Face::kMono);
        box.understood = false;
        return box;
    }
    MathSetting first;
    first.size = size;
    first.display = style == MathStyle::kDisplay;
    return Setter(fonts, source).whole(first);
}

}  // namespace millrace
