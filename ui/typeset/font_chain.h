#pragma once
// Which file a character comes from: every face's files in order, those of other scripts only when text needs them.

#include <array>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"
#include "ui/typeset/font_file.h"
#include "ui/typeset/fonts.h"

namespace millrace {

class FontChain {
public:
    [[nodiscard]] static Result<std::unique_ptr<FontChain>> open(const Path& directory);
    ~FontChain();
    FontChain(const FontChain&) = delete;
    FontChain& operator=(const FontChain&) = delete;

    // The font for a cluster: the first that has all of it; else the face's first, which shows boxes.
    [[nodiscard]] uint16_t choose(Face face, std::span<const char32_t> cluster);
    [[nodiscard]] uint16_t first(Face face);
    [[nodiscard]] FontFile& font(uint16_t index) { return *fonts_[index].file; }
    [[nodiscard]] bool is_product_face(uint16_t index) const;  // Inter or JetBrains Mono
    [[nodiscard]] std::span<const std::string> notices() const { return notices_; }

private:
    struct Slot {
        std::unique_ptr<FontFile> file;
        bool tried = false;
    };
    FontChain(FT_LibraryRec_* library, Path directory);
    FontFile* usable(uint16_t index);
    uint16_t search(Face face, std::span<const char32_t> cluster);
    bool serves(uint16_t index, std::span<const char32_t> cluster);

    FT_LibraryRec_* library_;
    Path directory_;
    std::vector<Slot> fonts_;
    std::array<std::unordered_map<char32_t, uint16_t>, kFaces> known_;  // clusters of one character
    std::array<std::array<uint16_t, 128>, kFaces> ascii_;
    std::vector<std::string> notices_;
};

// Shown with colours unless U+FE0E asks for text.
[[nodiscard]] bool is_emoji(char32_t code);

}  // namespace millrace
