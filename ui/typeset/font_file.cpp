#include "ui/typeset/font_file.h"

#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_OUTLINE_H
#include <hb-ot.h>
#include <hb.h>

#include <algorithm>
#include <cmath>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr float kSizeMax = 200;  // larger glyphs are enlarged pictures of this size

struct FaceCloser {
    void operator()(FT_Face face) const { FT_Done_Face(face); }
};
struct FontCloser {
    void operator()(hb_font_t* font) const { hb_font_destroy(font); }
};
using FaceHandle = std::unique_ptr<FT_FaceRec_, FaceCloser>;
using FontHandle = std::unique_ptr<hb_font_t, FontCloser>;

// The mean of the source pixels under each pixel of a smaller picture; premultiplied BGRA becomes straight RGBA.
void shrink(const FT_Bitmap& bitmap, int width, int height, std::vector<uint8_t>& rgba) {
    const int from_width = static_cast<int>(bitmap.width),
              from_height = static_cast<int>(bitmap.rows);
    rgba.assign(size_t{4} * static_cast<size_t>(width) * static_cast<size_t>(height), 0);
    size_t out = 0;
    for (int y = 0; y < height; ++y) {
        const int top = y * from_height / height;
        const int bottom = std::max(top + 1, (y + 1) * from_height / height);
        for (int x = 0; x < width; ++x, out += 4) {
            const int left = x * from_width / width;
            const int right = std::max(left + 1, (x + 1) * from_width / width);
            uint32_t sum[4] = {};
            for (int row = top; row < bottom; ++row) {
                const uint8_t* pixel =
                    bitmap.buffer + std::ptrdiff_t{row} * bitmap.pitch + 4 * left;
                for (int column = left; column < right; ++column, pixel += 4) {
                    for (int channel = 0; channel < 4; ++channel) sum[channel] += pixel[channel];
                }
            }
            if (sum[3] == 0) continue;
            const auto count = static_cast<uint32_t>((bottom - top) * (right - left));
            for (size_t channel = 0; channel < 3; ++channel) {
                rgba[out + channel] =
                    static_cast<uint8_t>(std::min(255U, sum[2 - channel] * 255 / sum[3]));
            }
            rgba[out + 3] = static_cast<uint8_t>(sum[3] / count);
        }
    }
}

class OpenFont final : public FontFile {
public:
    OpenFont(MappedFile bytes, FaceHandle face, FontHandle font)
        : bytes_(std::move(bytes)), face_(std::move(face)), font_(std::move(font)) {
        units_ = static_cast<float>(hb_face_get_upem(hb_font_get_face(font_.get())));
        hb_font_extents_t extents = {};
        hb_font_get_h_extents(font_.get(), &extents);
        ascent_ = static_cast<float>(extents.ascender) / units_;
        descent_ = -static_cast<float>(extents.descender) / units_;
    }

    bool has(char32_t code) const override {
        hb_codepoint_t glyph = 0;
        return hb_font_get_nominal_glyph(font_.get(), code, &glyph) != 0;
    }
    hb_font_t* harfbuzz() const override { return font_.get(); }
    float units_per_em() const override { return units_; }
    float ascent() const override { return ascent_; }
    float descent() const override { return descent_; }

    void picture(uint32_t id, float size, float fraction, GlyphPicture& out) override {
        out.width = out.height = 0;
        out.rgba.clear();
        if (!FT_IS_SCALABLE(face_.get())) return bitmap_picture(id, size, out);
        const float drawn = std::min(size, kSizeMax);
        out.scale = size / drawn;
        out.coloured = false;
        if (FT_Set_Char_Size(face_.get(), 0, std::lround(drawn * 64), 72, 72) != 0) return;
        if (FT_Load_Glyph(face_.get(), id, FT_LOAD_TARGET_LIGHT | FT_LOAD_NO_BITMAP) != 0) return;
        const FT_GlyphSlot slot = face_->glyph;
        if (slot->format != FT_GLYPH_FORMAT_OUTLINE) return;
        FT_Outline_Translate(&slot->outline, std::lround(fraction * 64), 0);
        if (FT_Render_Glyph(slot, FT_RENDER_MODE_NORMAL) != 0) return;
        const FT_Bitmap& bitmap = slot->bitmap;
        out.width = static_cast<int>(bitmap.width);
        out.height = static_cast<int>(bitmap.rows);
        out.left = static_cast<float>(slot->bitmap_left);
        out.top = static_cast<float>(slot->bitmap_top);
        out.rgba.assign(size_t{4} * bitmap.width * bitmap.rows, 255);
        for (int y = 0; y < out.height; ++y) {
            const uint8_t* row = bitmap.buffer + std::ptrdiff_t{y} * bitmap.pitch;
            for (int x = 0; x < out.width; ++x) {
                out.rgba[4 * static_cast<size_t>(y * out.width + x) + 3] = row[x];
            }
        }
    }

private:
    // Fonts of bitmaps have one size; the picture is shrunk here, where every pixel of it can be seen.
    void bitmap_picture(uint32_t id, float size, GlyphPicture& out) {
        if (face_->num_fixed_sizes == 0 || FT_Select_Size(face_.get(), 0) != 0) return;
        if (FT_Load_Glyph(face_.get(), id, FT_LOAD_COLOR) != 0) return;
        const FT_GlyphSlot slot = face_->glyph;
        const FT_Bitmap& bitmap = slot->bitmap;
        if (slot->format != FT_GLYPH_FORMAT_BITMAP || bitmap.pixel_mode != FT_PIXEL_MODE_BGRA)
            return;
        if (bitmap.width == 0 || bitmap.rows == 0) return;
        const float strike = std::max(1.0F, static_cast<float>(face_->size->metrics.y_ppem));
        const float shrinking = std::min(1.0F, size / strike);
        out.scale = size / strike / shrinking;
        out.coloured = true;
        out.width = std::max(
            1, static_cast<int>(std::lround(static_cast<float>(bitmap.width) * shrinking)));
        out.height =
            std::max(1, static_cast<int>(std::lround(static_cast<float>(bitmap.rows) * shrinking)));
        out.left = std::round(static_cast<float>(slot->bitmap_left) * size / strike);
        out.top = std::round(static_cast<float>(slot->bitmap_top) * size / strike);
        shrink(bitmap, out.width, out.height, out.rgba);
    }

    MappedFile bytes_;
    FaceHandle face_;
    FontHandle font_;
    float units_ = 1000, ascent_ = 1, descent_ = 0;
};

// The face of that family in a collection, or the first.
FaceHandle find_face(FT_Library library, std::span<const std::byte> bytes, std::string_view family,
                     FT_Long& index) {
    FT_Long count = 1;
    for (index = 0; index < count; ++index) {
        FT_Face face = nullptr;
        if (FT_New_Memory_Face(library, reinterpret_cast<const FT_Byte*>(bytes.data()),
                               static_cast<FT_Long>(bytes.size()), index, &face) != 0) {
            return nullptr;
        }
        FaceHandle handle(face);
        count = face->num_faces;
        if (family.empty() || (face->family_name != nullptr && family == face->family_name)) {
            return handle;
        }
    }
    return nullptr;
}

}  // namespace

Result<std::unique_ptr<FontFile>> FontFile::open(FT_LibraryRec_* library, const Path& path,
                                                 std::string_view family) {
    const File file = TRY(File::open(path));
    MappedFile bytes = TRY(MappedFile::map(file));
    FT_Long index = 0;
    FaceHandle face = find_face(library, bytes.bytes(), family, index);
    if (face == nullptr) {
        return Error{ErrorCode::kCorrupt, cat("the font file ", path.string(),
                                              " is damaged or lacks the face ", family)};
    }
    hb_blob_t* blob = hb_blob_create(reinterpret_cast<const char*>(bytes.bytes().data()),
                                     static_cast<unsigned>(bytes.bytes().size()),
                                     HB_MEMORY_MODE_READONLY, nullptr, nullptr);
    hb_face_t* shaping = hb_face_create(blob, static_cast<unsigned>(index));
    hb_blob_destroy(blob);
    FontHandle font(hb_font_create(shaping));
    const bool usable = hb_face_get_glyph_count(shaping) > 0;
    hb_face_destroy(shaping);
    if (!usable) {
        return Error{ErrorCode::kCorrupt, cat("the font file ", path.string(), " has no glyphs")};
    }
    std::unique_ptr<FontFile> open =
        std::make_unique<OpenFont>(std::move(bytes), std::move(face), std::move(font));
    return open;
}

}  // namespace millrace
