#include "core/model/safetensors.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr std::array kDTypes = {DType::kF32,    DType::kF16, DType::kBf16, DType::kF8E4m3,
                                DType::kF8E8m0, DType::kI8,  DType::kU8,   DType::kI32,
                                DType::kI64,    DType::kF64};

Error corrupt(std::string message) { return {ErrorCode::kCorrupt, std::move(message)}; }

Error broken_tensor(std::string_view name, std::string_view problem) {
    return corrupt(cat("the header's entry for tensor ", quote_text(name), " ", problem,
                       "; the file is corrupt: download or copy it again"));
}

Result<DType> parse_dtype(std::string_view name, const Json& word) {
    const std::string* text = word.as_string();
    if (!text) {
        return broken_tensor(name, cat("has ", word.kind_name(), " as dtype, wanted a string"));
    }
    for (const DType t : kDTypes) {
        if (*text == dtype_name(t)) return t;
    }
    return Error{ErrorCode::kUnsupported,
                 cat("tensor ", quote_text(name), " has dtype ", quote_text(*text, 20),
                     ", which no DeepSeek-V4 checkpoint uses; known are F32, F16, BF16, F8_E4M3, "
                     "F8_E8M0, I8, U8, I32, I64 and F64")};
}

// Fills `shape` and returns the number of elements, which fits an int64.
Result<int64_t> parse_shape(std::string_view name, const Json& list, Shape& shape) {
    if (!list.is_array()) {
        return broken_tensor(name, cat("has ", list.kind_name(), " as shape, wanted an array"));
    }
    if (list.items().size() > kMaxRank) {
        return broken_tensor(name, cat("has ", list.items().size(),
                                       " dimensions, more than the possible ", kMaxRank));
    }
    shape.rank = static_cast<int32_t>(list.items().size());
    int64_t count = 1;
    for (size_t i = 0; i < list.items().size(); ++i) {
        const std::optional<int64_t> extent = list.items()[i].as_int();
        if (!extent || *extent < 0) {
            return broken_tensor(name, cat("has a dimension ", quote_text(list.items()[i].dump()),
                                           ", wanted a whole number from 0 to 2^63-1"));
        }
        shape.dims[i] = *extent;
        if (__builtin_mul_overflow(count, *extent, &count)) {
            return broken_tensor(name, cat("has shape ", quote_text(list.dump()),
                                           ", whose product is above 2^63-1"));
        }
    }
    return count;
}

struct DataRange {
    uint64_t begin = 0, end = 0;
};

Result<DataRange> parse_range(std::string_view name, const Json& pair) {
    const bool two = pair.is_array() && pair.items().size() == 2;
    const std::optional<int64_t> begin = two ? pair.items()[0].as_int() : std::nullopt;
    const std::optional<int64_t> end = two ? pair.items()[1].as_int() : std::nullopt;
    if (!begin || !end || *begin < 0 || *end < *begin) {
        return broken_tensor(name, cat("has data_offsets ", quote_text(pair.dump()),
                                       ", wanted [begin, end] with 0 ≤ begin ≤ end < 2^63"));
    }
    return DataRange{static_cast<uint64_t>(*begin), static_cast<uint64_t>(*end)};
}

// Offsets are still relative to the start of the data.
Result<StoredTensor> parse_tensor(const std::string& name, const Json& entry) {
    const Json* dtype = entry.find("dtype");
    const Json* shape = entry.find("shape");
    const Json* range = entry.find("data_offsets");
    if (!dtype || !shape || !range) {
        return broken_tensor(name, cat("is ", entry.kind_name(), " without ",
                                       !dtype   ? "dtype"
                                       : !shape ? "shape"
                                                : "data_offsets"));
    }
    StoredTensor tensor;
    tensor.name = name;
    tensor.dtype = TRY(parse_dtype(name, *dtype));
    const int64_t count = TRY(parse_shape(name, *shape, tensor.shape));
    const DataRange at = TRY(parse_range(name, *range));
    tensor.offset = at.begin;
    tensor.bytes = at.end - at.begin;
    uint64_t wanted = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(count), dtype_bytes(tensor.dtype), &wanted) ||
        wanted != tensor.bytes) {
        return broken_tensor(
            name, cat("gives it ", tensor.bytes, " bytes, but ", dtype_name(tensor.dtype), " ",
                      tensor.shape.text(), " takes ", count, " times ", dtype_bytes(tensor.dtype)));
    }
    return tensor;
}

Status parse_metadata(const Json& object, SafetensorsHeader& header) {
    for (const auto& [key, value] : object.members()) {
        const std::string* text = value.as_string();
        if (!text) {
            return corrupt(cat("the header's __metadata__ has ", value.kind_name(), " for ",
                               quote_text(key), ", wanted a string"));
        }
        header.metadata.emplace_back(key, *text);
    }
    return {};
}

// Turns offsets into positions in the file and finds holes and overlaps.
Status place_tensors(std::vector<StoredTensor>& tensors, uint64_t data_start, uint64_t& end) {
    std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
        return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
    });
    uint64_t next = 0;
    const StoredTensor* previous = nullptr;
    for (StoredTensor& tensor : tensors) {
        if (tensor.offset != next) {
            const std::string before =
                previous ? cat("tensor ", quote_text(previous->name)) : "the header";
            return broken_tensor(
                tensor.name,
                cat("starts at byte ", tensor.offset, " of the data, but ", before, " ends at ",
                    next, tensor.offset < next ? ": they overlap" : ": a hole"));
        }
        next += tensor.bytes;  // below 2^63: both ends were checked
        tensor.offset += data_start;
        previous = &tensor;
    }
    end = data_start + next;
    return {};
}

}  // namespace

Result<uint64_t> safetensors_header_bytes(
    std::span<const std::byte, kSafetensorsLengthBytes> length, uint64_t file_bytes) {
    uint64_t header = 0;
    for (size_t i = 0; i < length.size(); ++i) {
        header |= std::to_integer<uint64_t>(length[i]) << (8 * i);
    }
    if (header > kSafetensorsHeaderMax) {
        return corrupt(cat("its first eight bytes announce a header of ", header,
                           " bytes, more than the ", kSafetensorsHeaderMax,
                           " the format allows; this is no safetensors file, or a corrupt one"));
    }
    if (header > file_bytes - std::min(file_bytes, kSafetensorsLengthBytes)) {
        return corrupt(cat("the file has ", file_bytes, " bytes, its header alone needs ",
                           kSafetensorsLengthBytes + header,
                           "; the file is truncated: download or copy it again"));
    }
    return header;
}

Result<SafetensorsHeader> parse_safetensors_header(std::string_view text, uint64_t file_bytes,
                                                   FileLength length) {
    if (text.empty() || text.front() != '{') {
        return corrupt("the header does not begin with '{'; this is no safetensors file");
    }
    const Result<Json> json = Json::parse_unique(text);
    if (!json) return json.error().in("the header");
    SafetensorsHeader header;
    header.tensors.reserve(json->members().size());
    for (const auto& [name, entry] : json->members()) {
        if (name == "__metadata__") {
            TRY(parse_metadata(entry, header));
        } else {
            header.tensors.push_back(TRY(parse_tensor(name, entry)));
        }
    }
    TRY(place_tensors(header.tensors, kSafetensorsLengthBytes + text.size(), header.file_bytes));
    if (length == FileLength::kExact && file_bytes != header.file_bytes) {
        return corrupt(cat("the file has ", file_bytes, " bytes, its header says ",
                           header.file_bytes, "; it is ",
                           file_bytes < header.file_bytes ? "truncated" : "too long",
                           ": download or copy it again"));
    }
    return header;
}

Result<SafetensorsHeader> read_safetensors_header(const File& file, FileLength length) {
    const uint64_t file_bytes = TRY(file.size());
    if (file_bytes < kSafetensorsLengthBytes) {
        return corrupt(cat(file.path().string(), " has ", file_bytes,
                           " bytes, too few for a safetensors file; download or copy it again"));
    }
    std::array<std::byte, kSafetensorsLengthBytes> prefix;
    TRY(file.read_at(0, prefix));
    const Result<uint64_t> bytes = safetensors_header_bytes(prefix, file_bytes);
    if (!bytes) return bytes.error().in(file.path().string());
    std::string text(*bytes, '\0');
    TRY(file.read_at(kSafetensorsLengthBytes, std::as_writable_bytes(std::span(text))));
    Result<SafetensorsHeader> header = parse_safetensors_header(text, file_bytes, length);
    if (!header) return header.error().in(file.path().string());
    return header;
}

std::string safetensors_header(std::span<const StoredTensor> tensors) {
    Json object{Json::Object()};
    uint64_t at = 0;
    for (const StoredTensor& tensor : tensors) {
        Json::Array dims;
        for (int32_t i = 0; i < tensor.shape.rank; ++i) {
            dims.emplace_back(tensor.shape.dims[static_cast<size_t>(i)]);
        }
        const uint64_t end =
            at + static_cast<uint64_t>(tensor.shape.count()) * dtype_bytes(tensor.dtype);
        Json entry;
        entry.set("dtype", dtype_name(tensor.dtype));
        entry.set("shape", std::move(dims));
        entry.set("data_offsets", Json::Array{at, end});
        object.set(tensor.name, std::move(entry));
        at = end;
    }
    std::string json = object.dump();
    json.resize((json.size() + 7) / 8 * 8, ' ');
    std::string out;
    for (size_t byte = 0; byte < kSafetensorsLengthBytes; ++byte) {
        out += static_cast<char>(json.size() >> (8 * byte) & 0xFF);
    }
    return out + json;
}

}  // namespace millrace
