#include "ui/typeset/shaper.h"

#include <fribidi.h>
#include <hb.h>
#include <utf8proc.h>

#include <algorithm>

#include "core/base/utf8.h"

namespace millrace {
namespace {

bool is_order_control(char32_t code) {
    return (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

bool may_be_right_to_left(char32_t code) {
    return code >= 0x590 &&
           ((code <= 0x8FF) || code == 0x200F || (code >= 0xFB1D && code <= 0xFDFF) ||
            (code >= 0xFE70 && code <= 0xFEFF) || (code >= 0x10800 && code <= 0x10FFF) ||
            (code >= 0x1E800 && code <= 0x1EFFF));
}

std::string_view order_control_name(char32_t code) {
    static constexpr std::string_view kEmbeddings[] = {"LRE", "RLE", "PDF", "LRO", "RLO"};
    static constexpr std::string_view kIsolates[] = {"LRI", "RLI", "FSI", "PDI"};
    return code < 0x2066 ? kEmbeddings[code - 0x202A] : kIsolates[code - 0x2066];
}

// Inter draws "->" as an arrow and JetBrains Mono "!=" as one sign; people must see the characters that are there.
constexpr hb_feature_t kLiteralFeatures[] = {
    {HB_TAG('c', 'a', 'l', 't'), 0, HB_FEATURE_GLOBAL_START, HB_FEATURE_GLOBAL_END},
    {HB_TAG('l', 'i', 'g', 'a'), 0, HB_FEATURE_GLOBAL_START, HB_FEATURE_GLOBAL_END},
    {HB_TAG('t', 'n', 'u', 'm'), 1, HB_FEATURE_GLOBAL_START, HB_FEATURE_GLOBAL_END},
};

}  // namespace

Shaper::Shaper(FontChain& chain) : chain_(chain), buffer_(hb_buffer_create()) {}

Shaper::~Shaper() { hb_buffer_destroy(buffer_); }

// ‹NAME› instead of a character that would act without being seen.
void Shaper::show_mark(char32_t code, Char like) {
    const auto put = [&](char32_t shown) {
        like.code = shown;
        chars_.push_back(like);
    };
    put(0x2039);
    if (is_order_control(code)) {
        for (const char letter : order_control_name(code)) put(static_cast<char32_t>(letter));
    } else if (code >= 0xE0000) {
        put('T');
        put(std::clamp<char32_t>(code & 0x7F, 0x20, 0x7E));
    } else {
        put(static_cast<char32_t>("0123456789ABCDEF"[code >> 4 & 15]));
        put(static_cast<char32_t>("0123456789ABCDEF"[code & 15]));
    }
    put(0x203A);
}

void Shaper::decode(std::string_view text, std::span<const StyleSpan> spans) {
    chars_.clear();
    clusters_.clear();
    utf8proc_int32_t grapheme = 0;
    char32_t before = 0;
    bool in_flag = false;  // a flag's letters are tags, invisible anywhere else
    size_t span = 0;
    for (size_t at = 0; at < text.size();) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const Utf8Char each = byte < 0x80 ? Utf8Char{byte, 1, true} : decode_utf8(text.substr(at));
        while (span + 1 < spans.size() && at >= spans[span].end) ++span;
        Char shown = {.code = each.code,
                      .begin = static_cast<uint32_t>(at),
                      .end = static_cast<uint32_t>(at + each.bytes),
                      .span = static_cast<uint16_t>(span)};
        at += each.bytes;
        const bool tag = each.code >= 0xE0000 && each.code <= 0xE007F;
        in_flag = each.code == 0x1F3F4 || (in_flag && tag);
        const bool plain = each.code < 0x80 && before < 0x80;
        const bool breaks = plain ? (grapheme = 0, true)
                                  : utf8proc_grapheme_break_stateful(
                                        static_cast<utf8proc_int32_t>(before),
                                        static_cast<utf8proc_int32_t>(each.code), &grapheme);
        const bool hidden = is_order_control(each.code) || (tag && !in_flag) ||
                            (each.code >= 0x80 && each.code < 0xA0);
        if (before == 0 || breaks || hidden || chars_.empty()) {
            clusters_.push_back(static_cast<uint32_t>(chars_.size()));
        }
        before = hidden ? U' ' : each.code;
        if (hidden) {
            show_mark(each.code, shown);
            continue;
        }
        if (each.code == '\n' || each.code == '\r' || each.code == '\t' || each.code == 0x2028 ||
            each.code == 0x2029) {
            shown.code = ' ';
        } else if (each.code < 0x20) {
            shown.code = 0x2400 + each.code;
        } else if (each.code == 0x7F) {
            shown.code = 0x2421;
        }
        chars_.push_back(shown);
    }
    clusters_.push_back(static_cast<uint32_t>(chars_.size()));
    for (size_t i = 0; i + 1 < clusters_.size(); ++i) {
        const uint32_t begin = chars_[clusters_[i]].begin, end = chars_[clusters_[i + 1] - 1].end;
        for (uint32_t c = clusters_[i]; c < clusters_[i + 1]; ++c) {
            chars_[c].begin = begin;
            chars_[c].end = end;
            chars_[c].span = chars_[clusters_[i]].span;
        }
    }
}

void Shaper::choose_fonts(std::span<const StyleSpan> spans) {
    codes_.resize(chars_.size());
    for (size_t i = 0; i < chars_.size(); ++i) codes_[i] = chars_[i].code;
    for (size_t i = 0; i + 1 < clusters_.size(); ++i) {
        const uint32_t begin = clusters_[i], end = clusters_[i + 1];
        const Face face = spans[chars_[begin].span].style.face;
        const uint16_t font =
            chain_.choose(face, std::span(codes_).subspan(begin, std::min(end - begin, 32U)));
        for (uint32_t c = begin; c < end; ++c) chars_[c].font = font;
    }
}

// Common characters take the script of what stands before them, at the beginning of what follows.
void Shaper::resolve_scripts() {
    hb_unicode_funcs_t* const unicode = hb_unicode_funcs_get_default();
    uint32_t current = HB_SCRIPT_COMMON;
    size_t undecided = 0;
    for (size_t i = 0; i < chars_.size(); ++i) {
        const char32_t code = chars_[i].code;
        uint32_t script = HB_SCRIPT_COMMON;
        if (code >= 0x80) {
            script = hb_unicode_script(unicode, code);
        } else if ((code | 0x20) >= 'a' && (code | 0x20) <= 'z') {
            script = HB_SCRIPT_LATIN;
        }
        if (script != HB_SCRIPT_COMMON && script != HB_SCRIPT_INHERITED &&
            script != HB_SCRIPT_UNKNOWN) {
            current = script;
            for (; undecided < i; ++undecided) chars_[undecided].script = current;
        }
        if (current != HB_SCRIPT_COMMON) undecided = i + 1;
        chars_[i].script = current;
    }
}

uint8_t Shaper::resolve_levels() {
    if (std::none_of(codes_.begin(), codes_.end(), may_be_right_to_left)) return 0;
    const auto count = static_cast<FriBidiStrIndex>(codes_.size());
    types_.resize(codes_.size());
    brackets_.resize(codes_.size());
    levels_.resize(codes_.size());
    const auto* const codes = reinterpret_cast<const FriBidiChar*>(codes_.data());
    fribidi_get_bidi_types(codes, count, types_.data());
    fribidi_get_bracket_types(codes, count, types_.data(), brackets_.data());
    FriBidiParType direction = FRIBIDI_PAR_ON;
    static_assert(sizeof(FriBidiLevel) == sizeof(int8_t));
    const FriBidiLevel highest = fribidi_get_par_embedding_levels_ex(
        types_.data(), brackets_.data(), count, &direction, levels_.data());
    if (highest == 0) return 0;  // it has no memory; left to right is readable
    for (size_t i = 0; i + 1 < clusters_.size(); ++i) {
        for (uint32_t c = clusters_[i]; c < clusters_[i + 1]; ++c) {
            chars_[c].level = static_cast<uint8_t>(levels_[clusters_[i]]);
        }
    }
    return direction == FRIBIDI_PAR_RTL || direction == FRIBIDI_PAR_WRTL ? 1 : 0;
}

void Shaper::shape(std::string_view text, std::span<const StyleSpan> spans, ShapedText& out) {
    out.clusters.clear();
    out.glyphs.clear();
    out.level = 0;
    if (text.empty() || spans.empty()) return;
    decode(text, spans);
    choose_fonts(spans);
    resolve_scripts();
    out.level = resolve_levels();
    for (size_t begin = 0; begin < chars_.size();) {
        const Char& first = chars_[begin];
        size_t end = begin + 1;
        while (end < chars_.size() && chars_[end].font == first.font &&
               chars_[end].span == first.span && chars_[end].level == first.level &&
               chars_[end].script == first.script) {
            ++end;
        }
        shape_run(begin, end, spans[first.span].style, out);
        begin = end;
    }
}

void Shaper::shape_run(size_t begin, size_t end, const TextStyle& style, ShapedText& out) {
    const Char& first = chars_[begin];
    FontFile& font = chain_.font(first.font);
    hb_buffer_clear_contents(buffer_);
    hb_buffer_add_codepoints(buffer_, reinterpret_cast<const hb_codepoint_t*>(codes_.data()),
                             static_cast<int>(codes_.size()), static_cast<unsigned>(begin),
                             static_cast<int>(end - begin));
    const bool backward = (first.level & 1) != 0;
    hb_buffer_set_direction(buffer_, backward ? HB_DIRECTION_RTL : HB_DIRECTION_LTR);
    hb_buffer_set_script(buffer_, static_cast<hb_script_t>(first.script));
    hb_buffer_set_language(buffer_, HB_LANGUAGE_INVALID);
    const bool literal = chain_.is_product_face(first.font);
    hb_shape(font.harfbuzz(), buffer_, literal ? kLiteralFeatures : nullptr,
             literal ? static_cast<unsigned>(std::size(kLiteralFeatures)) : 0U);
    unsigned count = 0;
    const hb_glyph_info_t* const infos = hb_buffer_get_glyph_infos(buffer_, &count);
    const hb_glyph_position_t* const positions = hb_buffer_get_glyph_positions(buffer_, &count);
    const float scale = style.size / font.units_per_em();
    const size_t first_cluster = out.clusters.size();
    for (unsigned i = 0; i < count;) {
        unsigned last = i;
        while (last < count && infos[last].cluster == infos[i].cluster) ++last;
        const Char& at = chars_[infos[i].cluster];
        ShapedText::Cluster cluster = {.begin = at.begin,
                                       .end = at.end,
                                       .glyph = static_cast<uint32_t>(out.glyphs.size()),
                                       .glyphs = last - i,
                                       .span = first.span,
                                       .level = first.level};
        for (; i < last; ++i) {
            const float advance = static_cast<float>(positions[i].x_advance) * scale;
            out.glyphs.push_back({.id = infos[i].codepoint,
                                  .font = first.font,
                                  .x = static_cast<float>(positions[i].x_offset) * scale,
                                  .y = static_cast<float>(positions[i].y_offset) * scale,
                                  .advance = advance});
            cluster.advance += advance;
        }
        out.clusters.push_back(cluster);
    }
    const auto run = out.clusters.begin() + static_cast<std::ptrdiff_t>(first_cluster);
    if (backward) std::reverse(run, out.clusters.end());
    // A ligature stands for the clusters up to the next one. Marks (‹RLO›) are several clusters of the same bytes.
    const uint32_t run_end = chars_[end - 1].end;
    for (size_t i = first_cluster; i < out.clusters.size(); ++i) {
        const bool last = i + 1 == out.clusters.size();
        const uint32_t next = last ? run_end : out.clusters[i + 1].begin;
        out.clusters[i].end = std::max(out.clusters[i].end, next);
    }
}

}  // namespace millrace
