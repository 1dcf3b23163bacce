#include "tests/support/golden.h"

#include <doctest/doctest.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "core/base/strings.h"

namespace millrace::test {
namespace {

constexpr uint64_t kBytesMax = uint64_t{1} << 30;

std::string decompress(const std::string& packed) {
    const unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
    REQUIRE(size < kBytesMax);
    std::string out(size, '\0');
    const size_t n = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
    REQUIRE(n == out.size());
    return out;
}

DType dtype_of(std::string_view name) {
    for (const DType t :
         {DType::kF32, DType::kBf16, DType::kI32, DType::kI64, DType::kU8, DType::kI8}) {
        if (dtype_name(t) == name) return t;
    }
    FAIL("golden tensor of type ", std::string(name));
    return DType::kU8;
}

}  // namespace

Path golden_path(std::string_view name) {
    return Path(MILLRACE_SOURCE_DIR) / "tests/golden" / name;
}

std::string read_golden(std::string_view name) {
    const Path plain = golden_path(name);
    const Path packed = plain.string() + ".zst";
    if (std::filesystem::exists(packed)) return decompress(*read_text_file(packed, kBytesMax));
    auto text = read_text_file(plain, kBytesMax);
    REQUIRE_MESSAGE(text.ok(), (text.ok() ? "" : text.error().message));
    return *std::move(text);
}

Json read_golden_json(std::string_view name) {
    auto json = Json::parse(read_golden(name));
    REQUIRE_MESSAGE(json.ok(), (json.ok() ? "" : json.error().message));
    return *std::move(json);
}

namespace {

std::vector<Json> parse_lines(std::string_view text) {
    std::vector<Json> out;
    size_t at = 0;
    while (at < text.size()) {
        const size_t end = std::min(text.find('\n', at), text.size());
        auto json = Json::parse(text.substr(at, end - at));
        REQUIRE_MESSAGE(json.ok(), (json.ok() ? "" : json.error().message));
        out.push_back(*std::move(json));
        at = end + 1;
    }
    return out;
}

}  // namespace

std::vector<Json> read_golden_lines(std::string_view name) {
    return parse_lines(read_golden(name));
}

std::vector<Json> read_lines(const Path& path) {
    auto text = read_text_file(path, kBytesMax);
    REQUIRE_MESSAGE(text.ok(), (text.ok() ? "" : text.error().message));
    return parse_lines(*text);
}

GoldenTensors::GoldenTensors(std::string_view name) : bytes_(read_golden(name)) {
    uint64_t header_bytes = 0;
    REQUIRE(bytes_.size() > 8);
    std::memcpy(&header_bytes, bytes_.data(), 8);
    REQUIRE(header_bytes < bytes_.size() - 8);
    const auto header = Json::parse(std::string_view(bytes_).substr(8, header_bytes));
    REQUIRE(header.ok());
    const auto* data = reinterpret_cast<const std::byte*>(bytes_.data()) + 8 + header_bytes;
    for (const auto& [tensor, entry] : header->members()) {
        if (tensor == "__metadata__") {
            metadata_ = entry;
            continue;
        }
        TensorView view;
        view.data = data + *entry.find("data_offsets")->items()[0].as_int();
        view.dtype = dtype_of(*entry.find("dtype")->as_string());
        for (const Json& dim : entry.find("shape")->items()) {
            view.shape.dims[static_cast<size_t>(view.shape.rank++)] = *dim.as_int();
        }
        tensors_.emplace(tensor, view);
    }
}

const TensorView& GoldenTensors::get(const std::string& name) const {
    const auto at = tensors_.find(name);
    REQUIRE_MESSAGE(at != tensors_.end(), name);
    return at->second;
}

}  // namespace millrace::test
