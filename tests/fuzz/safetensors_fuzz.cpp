// Any bytes as a safetensors file: either an error, or a header whose tensors lie in the file, side
// by side.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "core/model/safetensors.h"
#include "core/model/tensor_names.h"

namespace {

void check_sound(const millrace::SafetensorsHeader& header, uint64_t data_start) {
    uint64_t end = data_start;
    for (const millrace::StoredTensor& tensor : header.tensors) {
        ENSURE(tensor.offset == end);
        ENSURE(tensor.bytes ==
               static_cast<uint64_t>(tensor.shape.count()) * millrace::dtype_bytes(tensor.dtype));
        end += tensor.bytes;
        const std::string official = millrace::official_tensor_name(tensor.name);
        static_cast<void>(millrace::fused_expert_name(official));
    }
    ENSURE(end == header.file_bytes);
}

void check_sentence(const millrace::Error& error) {
    ENSURE(!error.message.empty());
    ENSURE(millrace::first_invalid_utf8(error.message) == error.message.size());
    ENSURE(error.message.find('\n') == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace millrace;
    if (size < kSafetensorsLengthBytes) return 0;
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto length = safetensors_header_bytes(bytes.first<kSafetensorsLengthBytes>(), size);
    if (!length) check_sentence(length.error());

    // With a wrong length the rest is still a header worth trying.
    const size_t header_bytes = length ? *length : size - kSafetensorsLengthBytes;
    const std::string_view text(reinterpret_cast<const char*>(data) + kSafetensorsLengthBytes,
                                header_bytes);
    const uint64_t data_start = kSafetensorsLengthBytes + header_bytes;
    const auto any = parse_safetensors_header(text, size, FileLength::kAny);
    const auto exact = parse_safetensors_header(text, size, FileLength::kExact);
    if (any) {
        check_sound(*any, data_start);
        ENSURE(exact.ok() == (any->file_bytes == size));
    } else {
        check_sentence(any.error());
        ENSURE(!exact.ok());
    }
    return 0;
}
