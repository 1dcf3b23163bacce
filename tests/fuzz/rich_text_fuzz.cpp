// Any bytes as a message: whole, streamed in two parts, laid out, drawn, copied, searched; positions stay inside. The first
// byte says where the parts meet. Does nothing where no fonts are installed.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "core/base/check.h"
#include "ui/typeset/rich_text.h"

namespace millrace {
namespace {

class NoPainter final : public TextPainter {
public:
    void glyph(const AtlasGlyph&, float, float, Ink) override {}
    void fill(const Box&, Ink, float) override {}
    void outline(const Box&, Ink, float) override {}
    void stroke(float, float, float, float, float, Ink) override {}
};

FontSet* fonts() {
    static const std::unique_ptr<FontSet> opened = [] {
        auto set = FontSet::open("/usr/share/fonts");
        return set.ok() ? std::move(*set) : nullptr;
    }();
    return opened.get();
}

void use(RichText& text, size_t size) {
    NoPainter painter;
    text.draw(painter, 0, 0, 0, 2000, {.selection = {size / 3, size / 2}, .found = {}});
    ENSURE(text.copy({0, size}, CopyAs::kMarkdown) == text.source());
    (void)text.copy({size / 4, size / 2}, CopyAs::kPlain);
    for (const TextRange& range : text.find("a", 20))
        ENSURE(range.begin <= range.end && range.end <= size);
    for (float y = 0; y < 200; y += 23) {
        const size_t position = text.position_at(3 * y, y);
        ENSURE(position <= size);
        (void)text.box_of(position);
        const TextRange word = text.word_at(position), paragraph = text.paragraph_at(position);
        ENSURE(word.end <= size && paragraph.end <= size);
        (void)text.link_at(3 * y, y);
        (void)text.formula_at(3 * y, y);
    }
    for (const CodeBox& code : text.code_boxes()) ENSURE(code.code.end <= size);
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace millrace;
    if (size == 0 || fonts() == nullptr) return 0;
    const std::string_view source(reinterpret_cast<const char*>(data) + 1, size - 1);
    const auto whole = RichText::create(*fonts(), Markup::kMarkdown);
    whole->set(source, Streaming::kNo);
    whole->lay_out(300, {});
    use(*whole, source.size());
    const size_t part = source.size() * data[0] / 256;
    const auto streamed = RichText::create(*fonts(), Markup::kMarkdown);
    streamed->set(source.substr(0, part), Streaming::kYes);
    streamed->lay_out(300, {});
    use(*streamed, part);
    streamed->set(source, Streaming::kYes);
    streamed->set(source, Streaming::kNo);
    streamed->lay_out(300, {});
    ENSURE(source.size() > 60000 || streamed->height() == whole->height());
    const auto plain = RichText::create(*fonts(), Markup::kPlain);
    plain->set(source, Streaming::kNo);
    plain->lay_out(300, {});
    use(*plain, source.size());
    return 0;
}
