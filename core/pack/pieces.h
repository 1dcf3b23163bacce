#pragma once
// A store as a list of pieces: the unit that is written, recorded as finished, checked and repaired. First the chunks of
// the dense file, then the experts' records, layer by layer. A piece is known by its index in this list.

#include <optional>
#include <string>
#include <vector>

#include "core/base/types.h"
#include "core/model/store_manifest.h"

namespace millrace {

struct StoreFile {
    int32_t part = 0;
    std::string name;
    uint64_t bytes = 0;
    std::optional<ExpertFileHeader> header;  // of an experts file: its first block
};

struct Piece {
    int32_t file = 0;  // index into StorePieces::files
    uint64_t offset = 0;
    uint64_t bytes = 0;    // what the checksum is of
    uint64_t written = 0;  // with what fills the last block
    ExpertKey expert;      // layer −1: a chunk of the dense file
};

struct StorePieces {
    explicit StorePieces(const StorePlan& plan);

    std::vector<StoreFile> files;
    std::vector<Piece> pieces;
    size_t dense_chunks = 0;

    [[nodiscard]] const StoreFile& file_of(const Piece& piece) const {
        return files[static_cast<size_t>(piece.file)];
    }
    [[nodiscard]] uint64_t largest() const;  // of `written`
};

// "expert 17 of layer 3", "the dense tensors (bytes 0 to 16777215)"
[[nodiscard]] std::string describe(const Piece& piece);

}  // namespace millrace
