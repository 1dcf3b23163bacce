#pragma once
// The header of a safetensors file: eight bytes of length (little-endian), then JSON that gives
// each tensor a dtype, a shape and a range of the data that follows. Nothing here reads the data.
//
// As the format demands, the tensors must fill the data without holes or overlaps and names must be
// unique. Everything is treated as hostile: lengths are checked before they are used, a header may
// have at most 100 MB.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/base/tensor.h"

namespace millrace {

struct StoredTensor {
    std::string name;
    DType dtype = DType::kU8;
    Shape shape;
    uint64_t offset = 0;  // from the start of the file
    uint64_t bytes = 0;
};

enum class FileLength {
    kExact,  // the file must end where its last tensor ends
    kAny,    // the data may be cut off: headers alone are wanted
};

struct SafetensorsHeader {
    std::vector<StoredTensor> tensors;                          // by offset
    std::vector<std::pair<std::string, std::string>> metadata;  // "__metadata__"
    uint64_t file_bytes = 0;  // what a complete file has: length, header and data
};

inline constexpr uint64_t kSafetensorsLengthBytes = 8;
inline constexpr uint64_t kSafetensorsHeaderMax = 100'000'000;

// kCorrupt when the header or the file's length is wrong, kUnsupported for a dtype no checkpoint of
// this model uses; messages name the file.
[[nodiscard]] Result<SafetensorsHeader> read_safetensors_header(const File& file,
                                                                FileLength length);

// The two steps of it, on bytes in memory. The first gives the number of header bytes that follow
// the length.
[[nodiscard]] Result<uint64_t> safetensors_header_bytes(
    std::span<const std::byte, kSafetensorsLengthBytes> length, uint64_t file_bytes);
[[nodiscard]] Result<SafetensorsHeader> parse_safetensors_header(std::string_view text,
                                                                 uint64_t file_bytes,
                                                                 FileLength length);

// What a file with these tensors begins with: length and JSON, padded to 8 bytes. Their data must follow in this order;
// offsets given are ignored.
[[nodiscard]] std::string safetensors_header(std::span<const StoredTensor> tensors);

}  // namespace millrace
