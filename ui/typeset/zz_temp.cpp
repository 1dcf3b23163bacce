#include "ui/typeset/highlight.h"
#include "ui/typeset/math.h"
namespace millrace {
namespace {
class Z final : public Highlighter {
public:
    HighlightState line(std::string_view, HighlightState s,
                        std::vector<ColourSpan>&) const override {
        return s;
    }
};
const Z z;
}  // namespace
const Highlighter& Highlighter::named(std::string_view) { return z; }
MathLayout lay_out_math(FontSet&, std::string_view, MathStyle, float s) {
    MathLayout m;
    m.width = s * 2;
    m.ascent = s;
    return m;
}
}  // namespace millrace
