#include "ui/typeset/font_chain.h"

#include <ft2build.h>
#include FT_FREETYPE_H
#include <hb.h>

#include <algorithm>
#include <cstddef>

#include "core/base/strings.h"

namespace millrace {
namespace {

// A file below the directory of fonts. Without a package it is not missed when it is not there.
struct Source {
    std::string_view path, package, family = {};
};

constexpr std::string_view kInter = "fonts-inter", kNoto = "fonts-noto-core";
constexpr Source kSources[] = {
    {"opentype/inter/Inter-Regular.otf", kInter},
    {"opentype/inter/Inter-SemiBold.otf", kInter},
    {"opentype/inter/Inter-Italic.otf", kInter},
    {"opentype/inter/Inter-SemiBoldItalic.otf", kInter},
    {"truetype/jetbrains-mono/JetBrainsMono-Regular.ttf", "fonts-jetbrains-mono"},
    {"truetype/jetbrains-mono/JetBrainsMono-Bold.ttf", "fonts-jetbrains-mono"},
    // Debian keeps TeX's fonts beside the directory, not in it.
    {"../texmf/fonts/opentype/public/lm-math/latinmodern-math.otf", "fonts-lmodern"},
    {"truetype/noto/NotoSans-Regular.ttf", kNoto},
    {"truetype/noto/NotoSans-Bold.ttf", kNoto},
    {"opentype/noto/NotoSansCJK-Regular.ttc", "fonts-noto-cjk", "Noto Sans CJK SC"},
    {"opentype/noto/NotoSansCJK-Bold.ttc", "fonts-noto-cjk", "Noto Sans CJK SC"},
    {"truetype/noto/NotoSansSymbols-Regular.ttf", kNoto},
    {"truetype/noto/NotoSansSymbols2-Regular.ttf", kNoto},
    {"truetype/noto/NotoSansMath-Regular.ttf", kNoto},
    {"truetype/noto/NotoColorEmoji.ttf", "fonts-noto-color-emoji"},
    {"truetype/ancient-scripts/Symbola_hint.ttf", ""},
    {"truetype/noto/NotoSansMono-Regular.ttf", ""},
    {"truetype/dejavu/DejaVuSansMono.ttf", ""},
    {"truetype/dejavu/DejaVuSans.ttf", ""},
};
constexpr uint16_t kMath = 6, kNotoSans = 7, kNotoSansBold = 8, kCjk = 9, kCjkBold = 10,
                   kSymbols = 11, kSymbols2 = 12, kNotoMath = 13, kEmoji = 14, kSymbola = 15,
                   kNotoMono = 16, kDejaVuMono = 17, kDejaVu = 18;
constexpr uint16_t kFirstScript = std::size(kSources);
constexpr uint16_t kNone = 0xFFFF;

struct Script {
    hb_script_t script;
    std::string_view path;
};
constexpr Script kScripts[] = {
    {HB_SCRIPT_ARABIC, "truetype/noto/NotoSansArabic-Regular.ttf"},
    {HB_SCRIPT_HEBREW, "truetype/noto/NotoSansHebrew-Regular.ttf"},
    {HB_SCRIPT_DEVANAGARI, "truetype/noto/NotoSansDevanagari-Regular.ttf"},
    {HB_SCRIPT_THAI, "truetype/noto/NotoSansThai-Regular.ttf"},
    {HB_SCRIPT_BENGALI, "truetype/noto/NotoSansBengali-Regular.ttf"},
    {HB_SCRIPT_TAMIL, "truetype/noto/NotoSansTamil-Regular.ttf"},
    {HB_SCRIPT_TELUGU, "truetype/noto/NotoSansTelugu-Regular.ttf"},
    {HB_SCRIPT_GUJARATI, "truetype/noto/NotoSansGujarati-Regular.ttf"},
    {HB_SCRIPT_GURMUKHI, "truetype/noto/NotoSansGurmukhi-Regular.ttf"},
    {HB_SCRIPT_KANNADA, "truetype/noto/NotoSansKannada-Regular.ttf"},
    {HB_SCRIPT_MALAYALAM, "truetype/noto/NotoSansMalayalam-Regular.ttf"},
    {HB_SCRIPT_SINHALA, "truetype/noto/NotoSansSinhala-Regular.ttf"},
    {HB_SCRIPT_ORIYA, "truetype/noto/NotoSansOriya-Regular.ttf"},
    {HB_SCRIPT_LAO, "truetype/noto/NotoSansLao-Regular.ttf"},
    {HB_SCRIPT_KHMER, "truetype/noto/NotoSansKhmer-Regular.ttf"},
    {HB_SCRIPT_MYANMAR, "truetype/noto/NotoSansMyanmar-Regular.ttf"},
    {HB_SCRIPT_TIBETAN, "truetype/noto/NotoSerifTibetan-Regular.ttf"},
    {HB_SCRIPT_GEORGIAN, "truetype/noto/NotoSansGeorgian-Regular.ttf"},
    {HB_SCRIPT_ARMENIAN, "truetype/noto/NotoSansArmenian-Regular.ttf"},
    {HB_SCRIPT_ETHIOPIC, "truetype/noto/NotoSansEthiopic-Regular.ttf"},
    {HB_SCRIPT_CHEROKEE, "truetype/noto/NotoSansCherokee-Regular.ttf"},
    {HB_SCRIPT_CANADIAN_SYLLABICS, "truetype/noto/NotoSansCanadianAboriginal-Regular.ttf"},
    {HB_SCRIPT_MONGOLIAN, "truetype/noto/NotoSansMongolian-Regular.ttf"},
    {HB_SCRIPT_SYRIAC, "truetype/noto/NotoSansSyriac-Regular.ttf"},
    {HB_SCRIPT_THAANA, "truetype/noto/NotoSansThaana-Regular.ttf"},
    {HB_SCRIPT_NKO, "truetype/noto/NotoSansNKo-Regular.ttf"},
    {HB_SCRIPT_TIFINAGH, "truetype/noto/NotoSansTifinagh-Regular.ttf"},
    {HB_SCRIPT_YI, "truetype/noto/NotoSansYi-Regular.ttf"},
    {HB_SCRIPT_RUNIC, "truetype/noto/NotoSansRunic-Regular.ttf"},
    {HB_SCRIPT_CUNEIFORM, "truetype/noto/NotoSansCuneiform-Regular.ttf"},
    {HB_SCRIPT_EGYPTIAN_HIEROGLYPHS, "truetype/noto/NotoSansEgyptianHieroglyphs-Regular.ttf"},
};

// Unicode's Emoji_Presentation.
struct CodeRange {
    char32_t first, last;
};
constexpr CodeRange kEmojiRanges[] = {
    {0x231A, 0x231B},   {0x23E9, 0x23EC},   {0x23F0, 0x23F0},   {0x23F3, 0x23F3},
    {0x25FD, 0x25FE},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267F, 0x267F},
    {0x2693, 0x2693},   {0x26A1, 0x26A1},   {0x26AA, 0x26AB},   {0x26BD, 0x26BE},
    {0x26C4, 0x26C5},   {0x26CE, 0x26CE},   {0x26D4, 0x26D4},   {0x26EA, 0x26EA},
    {0x26F2, 0x26F3},   {0x26F5, 0x26F5},   {0x26FA, 0x26FA},   {0x26FD, 0x26FD},
    {0x2705, 0x2705},   {0x270A, 0x270B},   {0x2728, 0x2728},   {0x274C, 0x274C},
    {0x274E, 0x274E},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
    {0x27B0, 0x27B0},   {0x27BF, 0x27BF},   {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},
    {0x2B55, 0x2B55},   {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF}, {0x1F18E, 0x1F18E},
    {0x1F191, 0x1F19A}, {0x1F1E6, 0x1F1FF}, {0x1F201, 0x1F201}, {0x1F21A, 0x1F21A},
    {0x1F22F, 0x1F22F}, {0x1F232, 0x1F236}, {0x1F238, 0x1F23A}, {0x1F250, 0x1F251},
    {0x1F300, 0x1F320}, {0x1F32D, 0x1F335}, {0x1F337, 0x1F37C}, {0x1F37E, 0x1F393},
    {0x1F3A0, 0x1F3CA}, {0x1F3CF, 0x1F3D3}, {0x1F3E0, 0x1F3F0}, {0x1F3F4, 0x1F3F4},
    {0x1F3F8, 0x1F43E}, {0x1F440, 0x1F440}, {0x1F442, 0x1F4FC}, {0x1F4FF, 0x1F53D},
    {0x1F54B, 0x1F54E}, {0x1F550, 0x1F567}, {0x1F57A, 0x1F57A}, {0x1F595, 0x1F596},
    {0x1F5A4, 0x1F5A4}, {0x1F5FB, 0x1F64F}, {0x1F680, 0x1F6C5}, {0x1F6CC, 0x1F6CC},
    {0x1F6D0, 0x1F6D2}, {0x1F6D5, 0x1F6D7}, {0x1F6DC, 0x1F6DF}, {0x1F6EB, 0x1F6EC},
    {0x1F6F4, 0x1F6FC}, {0x1F7E0, 0x1F7EB}, {0x1F7F0, 0x1F7F0}, {0x1F90C, 0x1F93A},
    {0x1F93C, 0x1F945}, {0x1F947, 0x1F9FF}, {0x1FA70, 0x1FAFF},
};

std::span<const uint16_t> face_fonts(Face face) {
    static constexpr uint16_t kBody[] = {0, kNotoSans};
    static constexpr uint16_t kSemibold[] = {1, 0, kNotoSansBold, kNotoSans};
    static constexpr uint16_t kItalic[] = {2, 0, kNotoSans};
    static constexpr uint16_t kSemiboldItalic[] = {3, 1, 0, kNotoSansBold, kNotoSans};
    static constexpr uint16_t kMono[] = {4, kNotoMono, kDejaVuMono, 0, kNotoSans};
    static constexpr uint16_t kMonoBold[] = {5, 4, kNotoMono, kDejaVuMono, 0, kNotoSans};
    static constexpr uint16_t kFormula[] = {kMath, kNotoMath, 0, kNotoSans};
    switch (face) {
        case Face::kBody: return kBody;
        case Face::kSemibold: return kSemibold;
        case Face::kItalic: return kItalic;
        case Face::kSemiboldItalic: return kSemiboldItalic;
        case Face::kMono: return kMono;
        case Face::kMonoBold: return kMonoBold;
        case Face::kMath: return kFormula;
    }
    return kBody;
}

bool is_bold(Face face) { return face == Face::kSemibold || face == Face::kSemiboldItalic; }

// What a font need not have, because it only changes its neighbours.
bool is_joiner(char32_t code) {
    return code == 0x200C || code == 0x200D || (code >= 0xFE00 && code <= 0xFE0F) ||
           (code >= 0xE0020 && code <= 0xE007F);
}

hb_script_t script_of(char32_t code) {
    // Signs that several scripts share come from the font of the one that named them.
    if (code >= 0x600 && code <= 0x6FF) return HB_SCRIPT_ARABIC;
    if (code == 0x964 || code == 0x965) return HB_SCRIPT_DEVANAGARI;
    if ((code >= 0x3000 && code <= 0x303F) || (code >= 0xFF00 && code <= 0xFFEF))
        return HB_SCRIPT_HAN;
    return hb_unicode_script(hb_unicode_funcs_get_default(), code);
}

bool is_cjk(hb_script_t script) {
    return script == HB_SCRIPT_HAN || script == HB_SCRIPT_HIRAGANA ||
           script == HB_SCRIPT_KATAKANA || script == HB_SCRIPT_HANGUL ||
           script == HB_SCRIPT_BOPOMOFO;
}

}  // namespace

bool is_emoji(char32_t code) {
    const auto* const range =
        std::lower_bound(std::begin(kEmojiRanges), std::end(kEmojiRanges), code,
                         [](const CodeRange& each, char32_t wanted) { return each.last < wanted; });
    return range != std::end(kEmojiRanges) && code >= range->first;
}

Result<std::unique_ptr<FontChain>> FontChain::open(const Path& directory) {
    FT_Library library = nullptr;
    if (FT_Init_FreeType(&library) != 0) {
        return Error{ErrorCode::kUnsupported, "FreeType does not start; reinstall libfreetype6"};
    }
    std::unique_ptr<FontChain> chain(new FontChain(library, directory));
    for (const uint16_t index : {uint16_t{0}, kNotoSans, kDejaVu}) {
        if (chain->usable(index) != nullptr) return chain;
    }
    return Error{ErrorCode::kNotFound, cat("no usable font in ", directory.string(),
                                           "; install fonts-inter or fonts-noto-core")};
}

FontChain::FontChain(FT_LibraryRec_* library, Path directory)
    : library_(library), directory_(std::move(directory)) {
    fonts_.resize(kFirstScript + std::size(kScripts));
    for (auto& row : ascii_) row.fill(kNone);
}

FontChain::~FontChain() {
    fonts_.clear();
    FT_Done_FreeType(library_);
}

FontFile* FontChain::usable(uint16_t index) {
    Slot& slot = fonts_[index];
    if (slot.tried) return slot.file.get();
    slot.tried = true;
    const Source source =
        index < kFirstScript ? kSources[index] : Source{kScripts[index - kFirstScript].path, kNoto};
    auto opened = FontFile::open(library_, directory_ / source.path, source.family);
    if (opened.ok()) {
        slot.file = std::move(*opened);
    } else if (!source.package.empty()) {
        std::string notice =
            opened.error().code == ErrorCode::kNotFound
                ? cat("Some text is shown in another typeface: install ", source.package)
                : cat(opened.error().message, "; reinstall ", source.package);
        if (std::find(notices_.begin(), notices_.end(), notice) == notices_.end()) {
            notices_.push_back(std::move(notice));
        }
    }
    return slot.file.get();
}

bool FontChain::serves(uint16_t index, std::span<const char32_t> cluster) {
    const FontFile* const file = usable(index);
    return file != nullptr && std::all_of(cluster.begin(), cluster.end(), [&](char32_t code) {
               return is_joiner(code) || file->has(code);
           });
}

uint16_t FontChain::search(Face face, std::span<const char32_t> cluster) {
    const bool asks_text = cluster.size() > 1 && cluster[1] == 0xFE0E;
    const bool asks_emoji = cluster.size() > 1 && (cluster[1] == 0xFE0F || cluster[1] == 0x20E3);
    if ((asks_emoji || (is_emoji(cluster[0]) && !asks_text)) && serves(kEmoji, cluster))
        return kEmoji;
    const hb_script_t script = script_of(cluster[0]);
    const uint16_t cjk = is_bold(face) ? kCjkBold : kCjk;
    if (is_cjk(script) && serves(cjk, cluster)) return cjk;
    for (const uint16_t index : face_fonts(face)) {
        if (serves(index, cluster)) return index;
    }
    for (uint16_t index = 0; index < std::size(kScripts); ++index) {
        const auto font = static_cast<uint16_t>(kFirstScript + index);
        if (kScripts[index].script == script && serves(font, cluster)) return font;
    }
    for (const uint16_t index : {kSymbols2, kSymbols, kNotoMath, cjk, kEmoji, kSymbola, kDejaVu}) {
        if (serves(index, cluster)) return index;
    }
    // Nothing has the whole cluster: a font of the first character shows most of it.
    if (cluster.size() > 1) return choose(face, cluster.first(1));
    return first(face);
}

uint16_t FontChain::choose(Face face, std::span<const char32_t> cluster) {
    const auto row = static_cast<size_t>(face);
    if (cluster.size() > 1) return search(face, cluster);
    if (cluster[0] < 128) {
        uint16_t& known = ascii_[row][cluster[0]];
        if (known == kNone) known = search(face, cluster);
        return known;
    }
    const auto found = known_[row].find(cluster[0]);
    if (found != known_[row].end()) return found->second;
    const uint16_t font = search(face, cluster);
    known_[row].emplace(cluster[0], font);
    return font;
}

uint16_t FontChain::first(Face face) {
    for (const uint16_t index : face_fonts(face)) {
        if (usable(index) != nullptr) return index;
    }
    return usable(0) != nullptr ? uint16_t{0} : usable(kNotoSans) != nullptr ? kNotoSans : kDejaVu;
}

bool FontChain::is_product_face(uint16_t index) const { return index < kMath; }

}  // namespace millrace
