#include "ui/typeset/fonts.h"

#include <fribidi.h>
#include <hb.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <list>
#include <optional>
#include <unordered_map>

#include "core/base/strings.h"
#include "core/base/utf8.h"
#include "ui/typeset/font_file.h"

namespace millrace {
namespace {

struct FontEntry {
    std::string_view path, package;
    int index = 0;
};
// Every file of the product, once. A chain names them by place.
constexpr std::array<FontEntry, 24> kFiles = {{
    {"opentype/inter/Inter-Regular.otf", "fonts-inter"},
    {"opentype/inter/Inter-SemiBold.otf", "fonts-inter"},
    {"opentype/inter/Inter-Italic.otf", "fonts-inter"},
    {"opentype/inter/Inter-SemiBoldItalic.otf", "fonts-inter"},
    {"truetype/jetbrains-mono/JetBrainsMono-Regular.ttf", "fonts-jetbrains-mono"},
    {"truetype/jetbrains-mono/JetBrainsMono-Bold.ttf", "fonts-jetbrains-mono"},
    {"../texmf/fonts/opentype/public/lm-math/latinmodern-math.otf", "fonts-lmodern"},
    {"truetype/noto/NotoSans-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoSansArabic-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoSansHebrew-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoSansDevanagari-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoSansThai-Regular.ttf", "fonts-noto-core"},
    {"opentype/noto/NotoSansCJK-Regular.ttc", "fonts-noto-cjk", 2},
    {"opentype/noto/NotoSansCJK-Bold.ttc", "fonts-noto-cjk", 2},
    {"truetype/noto/NotoSansSymbols-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoSansSymbols2-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoSansMath-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoColorEmoji.ttf", "fonts-noto-color-emoji"},
    {"truetype/noto/NotoSansBengali-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoSansTamil-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoSansGeorgian-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoSansArmenian-Regular.ttf", "fonts-noto-core"},
    {"truetype/noto/NotoSansMono-Regular.ttf", "fonts-noto-mono"},
    {"truetype/dejavu/DejaVuSans.ttf", "fonts-dejavu-core"},
}};
constexpr size_t kFirsts = 7;  // files that are a face's first
constexpr size_t kEmoji = 17, kCjkBold = 13, kCjk = 12;

// The first file of each face, in the order of Face.
constexpr std::array<size_t, kFaces> kFirst = {0, 1, 2, 3, 4, 5, 6};
constexpr size_t kLineBytesMax = 4096;  // of a line that is drawn on one line
constexpr size_t kLinesMax = 3000;

uint32_t take_code(std::string_view text, size_t& at) {
    const Utf8Char c = decode_utf8(text.substr(at));
    at += static_cast<size_t>(c.bytes);
    return c.valid ? static_cast<uint32_t>(c.code) : 0xFFFD;
}

bool is_bidi_control(uint32_t code) {
    return code == 0x61C || (code >= 0x200E && code <= 0x200F) ||
           (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}
// What is shown in place of a character that has no picture, or must not have its effect.
uint32_t shown(uint32_t code) {
    if (code == '\t' || code == 0x85) return ' ';
    if (code == '\n' || code == '\r') return 0x21B5;
    if (code < 0x20) return 0x2400 + code;
    if (code == 0x7F) return 0x2421;
    if (code >= 0x80 && code < 0xA0) return 0xFFFD;
    if (is_bidi_control(code)) return 0x25AB;
    if (code == 0x2028 || code == 0x2029) return 0x21B5;
    return code;
}
// Belongs to the cluster of what stands before it.
bool joins(uint32_t code) {
    if (code == 0x200D || (code >= 0xFE00 && code <= 0xFE0F) ||
        (code >= 0x1F3FB && code <= 0x1F3FF) || code == 0x20E3)
        return true;
    const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME ||
           category == UTF8PROC_CATEGORY_MC;
}
bool is_emoji(uint32_t code) {
    return (code >= 0x1F300 && code <= 0x1FAFF) || (code >= 0x1F1E6 && code <= 0x1F1FF) ||
           (code >= 0x2600 && code <= 0x27BF &&
            utf8proc_charwidth(static_cast<utf8proc_int32_t>(code)) == 2);
}

class Fonts final : public FontSet {
public:
    explicit Fonts(Path directory) : directory_(std::move(directory)) {
        if (FT_Init_FreeType(&library_) != 0) library_ = nullptr;
        buffer_ = hb_buffer_create();
    }
    ~Fonts() override {
        hb_buffer_destroy(buffer_);
        for (auto& font : fonts_) font.file.reset();
        if (library_ != nullptr) FT_Done_FreeType(library_);
    }

    [[nodiscard]] Status check() {
        for (const size_t first : {size_t{0}, size_t{7}, kFiles.size() - 1}) {
            if (library_ != nullptr && file(first) != nullptr) return {};
        }
        return Error{ErrorCode::kNotFound,
                     cat("there is no font to write with under ", directory_.string(),
                         "; install fonts-inter, fonts-noto-core or fonts-dejavu-core")};
    }

    const ShapedLine& line(std::string_view text, TextStyle style) override {
        Key key{std::string(text.substr(0, kLineBytesMax)), style};
        if (const auto known = lines_.find(key); known != lines_.end()) {
            recent_.splice(recent_.begin(), recent_, known->second);
            return recent_.front().second;
        }
        ShapedLine shaped = shape(key.text, style);
        recent_.emplace_front(key, std::move(shaped));
        lines_.emplace(std::move(key), recent_.begin());
        if (recent_.size() > kLinesMax) {
            lines_.erase(recent_.back().first);
            recent_.pop_back();
        }
        return recent_.front().second;
    }

    const ShapedLine& line_within(std::string_view text, TextStyle style, float width) override {
        // Nothing that fits has more bytes than this: not one glyph is narrower than a tenth of an em, marks aside.
        const auto bytes_max = static_cast<size_t>(std::max(8.F, width / style.size * 40));
        const bool long_text = text.size() > bytes_max;
        if (long_text)
            text = text.substr(0, bytes_max - incomplete_utf8_tail(text.substr(0, bytes_max)));
        const ShapedLine& whole = line(text, style);
        if (whole.width <= width && !long_text) return whole;
        const float dots = line("…", style).width;
        const ShapedLine& again = line(text, style);
        size_t cut = 0;
        float x = 0;
        for (const ShapedGlyph& glyph : again.glyphs) {
            if (x + glyph.advance + dots > width) break;
            x += glyph.advance;
            cut = std::max(cut, static_cast<size_t>(glyph.byte));
        }
        // `cut` is where the last cluster that fits begins; it goes as well, so that its end need not be known.
        return line(cat(text.substr(0, cut), "…"), style);
    }

    void draw(TextPainter& painter, const ShapedLine& line, float x, float baseline,
              Ink ink) override {
        for (const ShapedGlyph& glyph : line.glyphs) {
            draw_glyph(painter, glyph.font, glyph.id, line.style.size, x + glyph.x,
                       baseline - glyph.y, ink);
        }
    }

    void draw_glyph(TextPainter& painter, uint16_t font, uint32_t id, float size, float x,
                    float baseline, Ink ink) override {
        if (const AtlasGlyph* image = glyph(font, id, size); image != nullptr && image->width > 0) {
            painter.glyph(*image, x, baseline, ink);
        }
    }

    ShapedLine shape(std::string_view text, TextStyle style) override {
        ShapedLine out;
        out.style = style;
        const FontFile* first = first_of(style.face);
        const FontFile::Extent extent = first == nullptr
                                            ? FontFile::Extent{.ascent = 0.95F, .descent = 0.25F}
                                            : first->extent();
        out.ascent = extent.ascent * style.size;
        out.descent = extent.descent * style.size;
        codes_.clear();
        bytes_.clear();
        for (size_t at = 0; at < text.size();) {
            bytes_.push_back(static_cast<uint32_t>(at));
            codes_.push_back(shown(take_code(text, at)));
        }
        if (codes_.empty()) return out;
        order_runs();
        for (const Run& run : runs_) append_run(run, style, out);
        return out;
    }

    GlyphAtlas& atlas() override { return atlas_; }
    std::span<const std::string> notices() const override { return notices_; }
    hb_font_t* shaper(uint16_t font, float size) override {
        return fonts_[font].file->shaper(size);
    }
    std::optional<uint16_t> font_of(Face face) override {
        const size_t at = kFirst[static_cast<size_t>(face)];
        if (file(at) == nullptr) return std::nullopt;
        return static_cast<uint16_t>(at);
    }

private:
    struct Font {
        std::unique_ptr<FontFile> file;
        bool tried = false;
    };
    struct Key {
        std::string text;
        TextStyle style;
        bool operator==(const Key&) const = default;
    };
    struct KeyHash {
        size_t operator()(const Key& key) const {
            return std::hash<std::string>()(key.text) * 31 +
                   static_cast<size_t>(key.style.size * 64) * 8 +
                   static_cast<size_t>(key.style.face);
        }
    };
    struct Run {
        size_t begin = 0, end = 0;  // codes
        bool right_to_left = false;
    };

    FontFile* file(size_t index) {
        Font& font = fonts_[index];
        if (font.tried) return font.file.get();
        font.tried = true;
        const FontEntry& entry = kFiles[index];
        const Path path = directory_ / entry.path;
        std::error_code ignored;
        if (!std::filesystem::exists(path, ignored)) {
            notice(cat("The font ", path.filename().string(), " is not installed (package ",
                       entry.package, "); another one takes its place."));
            return nullptr;
        }
        Result<std::unique_ptr<FontFile>> opened = FontFile::open(library_, path, entry.index);
        if (!opened.ok()) {
            notice(cat(opened.error().message,
                       "; another one takes its place. Reinstall the package ", entry.package,
                       "."));
            return nullptr;
        }
        font.file = std::move(*opened);
        return font.file.get();
    }
    void notice(std::string text) {
        if (std::ranges::find(notices_, text) == notices_.end())
            notices_.push_back(std::move(text));
    }
    FontFile* first_of(Face face) {
        if (FontFile* own = file(kFirst[static_cast<size_t>(face)])) return own;
        for (const size_t other : {size_t{0}, size_t{7}, kFiles.size() - 1}) {
            if (FontFile* found = file(other)) return found;
        }
        return nullptr;
    }

    // The font for a cluster: the face's own, then those of all scripts, in the order of kFiles.
    size_t font_for(uint32_t code, bool pictured, Face face) {
        if (pictured && file(kEmoji) != nullptr && file(kEmoji)->has(code)) return kEmoji;
        const size_t first = kFirst[static_cast<size_t>(face)];
        if (code < 0x80 && file(first) != nullptr) return first;
        const bool bold =
            face == Face::kSemibold || face == Face::kSemiboldItalic || face == Face::kMonoBold;
        const uint64_t key = (uint64_t{code} << 8) | static_cast<uint64_t>(face);
        if (const auto known = chosen_.find(key); known != chosen_.end()) return known->second;
        size_t found = kFiles.size();
        const auto offer = [&](size_t index) {
            if (found == kFiles.size() && file(index) != nullptr && file(index)->has(code))
                found = index;
        };
        offer(first);
        if (face == Face::kMono || face == Face::kMonoBold) offer(22);
        if (face == Face::kMath) offer(16);
        if (face != Face::kBody) offer(0);
        for (size_t i = kFirsts; i < kFiles.size(); ++i) {
            const bool cjk = i == kCjk || i == kCjkBold;
            if (cjk && (i == kCjkBold) != bold) continue;
            offer(i);
        }
        if (found == kFiles.size()) {
            found = file(first) != nullptr ? first
                    : file(0) != nullptr   ? 0
                    : file(7) != nullptr   ? 7
                                           : kFiles.size() - 1;
        }
        chosen_.emplace(key, static_cast<uint8_t>(found));
        return found;
    }

    // Runs of one direction, in the order in which they stand on the line.
    void order_runs() {
        runs_.clear();
        const bool plain = std::ranges::all_of(codes_, [](uint32_t code) { return code < 0x590; });
        const auto count = static_cast<FriBidiStrIndex>(codes_.size());
        if (plain) {
            runs_.push_back({0, codes_.size(), false});
            return;
        }
        types_.resize(codes_.size());
        brackets_.resize(codes_.size());
        levels_.resize(codes_.size());
        fribidi_get_bidi_types(codes_.data(), count, types_.data());
        fribidi_get_bracket_types(codes_.data(), count, types_.data(), brackets_.data());
        FriBidiParType direction = FRIBIDI_PAR_ON;
        const int highest = fribidi_get_par_embedding_levels_ex(types_.data(), brackets_.data(),
                                                                count, &direction, levels_.data());
        if (highest <= 0) {
            runs_.push_back({0, codes_.size(), false});
            return;
        }
        for (size_t i = 0; i < codes_.size();) {
            size_t end = i + 1;
            while (end < codes_.size() && levels_[end] == levels_[i]) ++end;
            runs_.push_back({i, end, (levels_[i] & 1) != 0});
            i = end;
        }
        // Rule L2: from the highest level down to the lowest odd one, sequences are turned round.
        for (int level = highest - 1; level >= 1; --level) {
            for (size_t i = 0; i < runs_.size();) {
                size_t end = i;
                while (end < runs_.size() && levels_[runs_[end].begin] >= level) ++end;
                std::reverse(runs_.begin() + static_cast<ptrdiff_t>(i),
                             runs_.begin() + static_cast<ptrdiff_t>(end));
                i = end + 1;
            }
        }
    }

    // A run in one font after the other.
    void append_run(const Run& run, TextStyle style, ShapedLine& out) {
        struct Piece {
            size_t begin, end, font;
        };
        std::vector<Piece> pieces;
        for (size_t i = run.begin; i < run.end;) {
            size_t end = i + 1;
            bool pictured = is_emoji(codes_[i]);
            while (end < run.end && (joins(codes_[end]) || codes_[end - 1] == 0x200D)) {
                pictured = pictured || codes_[end] == 0xFE0F;
                ++end;
            }
            const bool space = codes_[i] == ' ' && !pieces.empty() && pieces.back().font != kEmoji;
            const size_t font =
                space ? pieces.back().font : font_for(codes_[i], pictured, style.face);
            // Flags are two letters of their own kind.
            if (!pieces.empty() && pieces.back().font == font) {
                pieces.back().end = end;
            } else {
                pieces.push_back({i, end, font});
            }
            i = end;
        }
        if (run.right_to_left) std::ranges::reverse(pieces);
        for (const Piece& piece : pieces)
            append_piece(piece.begin, piece.end, piece.font, run.right_to_left, style, out);
    }

    void append_piece(size_t begin, size_t end, size_t font, bool right_to_left, TextStyle style,
                      ShapedLine& out) {
        FontFile* from = file(font);
        if (from == nullptr) return;
        hb_buffer_clear_contents(buffer_);
        hb_buffer_add_utf32(buffer_, codes_.data(), static_cast<int>(codes_.size()),
                            static_cast<unsigned>(begin), static_cast<int>(end - begin));
        hb_buffer_set_direction(buffer_, right_to_left ? HB_DIRECTION_RTL : HB_DIRECTION_LTR);
        hb_buffer_guess_segment_properties(buffer_);
        // Numbers keep their width while they change; code keeps its letters apart.
        const bool mono = style.face == Face::kMono || style.face == Face::kMonoBold;
        constexpr hb_tag_t tnum = HB_TAG('t', 'n', 'u', 'm'), calt = HB_TAG('c', 'a', 'l', 't'),
                           liga = HB_TAG('l', 'i', 'g', 'a');
        const std::array<hb_feature_t, 3> features = {
            {{tnum, 1, 0, ~0U}, {calt, mono ? 0U : 1U, 0, ~0U}, {liga, mono ? 0U : 1U, 0, ~0U}}};
        hb_shape(from->shaper(style.size), buffer_, features.data(), features.size());
        unsigned count = 0;
        const hb_glyph_info_t* infos = hb_buffer_get_glyph_infos(buffer_, &count);
        const hb_glyph_position_t* places = hb_buffer_get_glyph_positions(buffer_, &count);
        constexpr float kUnit = 64;
        for (unsigned i = 0; i < count; ++i) {
            ShapedGlyph glyph;
            glyph.font = static_cast<uint16_t>(font);
            glyph.id = infos[i].codepoint;
            glyph.x = out.width + static_cast<float>(places[i].x_offset) / kUnit;
            glyph.y = static_cast<float>(places[i].y_offset) / kUnit;
            glyph.advance = static_cast<float>(places[i].x_advance) / kUnit;
            glyph.byte = bytes_[infos[i].cluster];
            out.width += glyph.advance;
            out.glyphs.push_back(glyph);
        }
    }

    const AtlasGlyph* glyph(uint16_t font, uint32_t id, float size) {
        if (generation_ != atlas_.generation()) {
            images_.clear();
            generation_ = atlas_.generation();
        }
        const uint64_t key = (static_cast<uint64_t>(size * 4) << 40) | (uint64_t{font} << 32) | id;
        if (const auto known = images_.find(key); known != images_.end()) return &known->second;
        FontFile* from = file(font);
        if (from == nullptr) return nullptr;
        const AtlasGlyph image = from->raster(id, size, atlas_);
        if (generation_ != atlas_.generation()) {
            images_.clear();
            generation_ = atlas_.generation();
        }
        return &images_.emplace(key, image).first->second;
    }

    const Path directory_;
    FT_Library library_ = nullptr;
    hb_buffer_t* buffer_ = nullptr;
    std::array<Font, kFiles.size()> fonts_;
    std::unordered_map<uint64_t, uint8_t> chosen_;  // (code, face) → font
    std::unordered_map<uint64_t, AtlasGlyph> images_;
    GlyphAtlas atlas_;
    uint64_t generation_ = 0;
    std::vector<std::string> notices_;
    std::list<std::pair<Key, ShapedLine>> recent_;  // newest first
    std::unordered_map<Key, std::list<std::pair<Key, ShapedLine>>::iterator, KeyHash> lines_;
    // Of the line that is being shaped.
    std::vector<uint32_t> codes_, bytes_;
    std::vector<FriBidiCharType> types_;
    std::vector<FriBidiBracketType> brackets_;
    std::vector<FriBidiLevel> levels_;
    std::vector<Run> runs_;
};

}  // namespace

Result<std::unique_ptr<FontSet>> FontSet::open(const Path& directory) {
    auto fonts = std::make_unique<Fonts>(directory);
    TRY(fonts->check());
    return std::unique_ptr<FontSet>(std::move(fonts));
}

}  // namespace millrace
