#include "core/pack/dense_file.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "core/base/json.h"
#include "core/base/strings.h"
#include "core/model/checksum.h"
#include "core/model/safetensors.h"
#include "core/model/store_layout.h"

namespace millrace {
namespace {

Json header_entry(const TensorEntry& tensor, uint64_t begin) {
    Json::Array shape;
    for (int32_t i = 0; i < tensor.shape.rank; ++i) {
        shape.emplace_back(tensor.shape.dims[static_cast<size_t>(i)]);
    }
    Json entry;
    entry.set("dtype", dtype_name(tensor.dtype));
    entry.set("shape", Json(std::move(shape)));
    entry.set("data_offsets", Json::Array{Json(begin), Json(begin + tensor.bytes)});
    return entry;
}

}  // namespace

DenseFile::DenseFile(const std::vector<const TensorEntry*>& tensors, uint64_t store_id) {
    std::vector<const TensorEntry*> ordered;
    for (const size_t element : {8U, 4U, 2U, 1U}) {
        std::ranges::copy_if(tensors, std::back_inserter(ordered), [&](const TensorEntry* tensor) {
            return dtype_bytes(tensor->dtype) == element;
        });
    }
    Json metadata;
    metadata.set(std::string(kStoreIdMember), hex16(store_id));
    Json::Object members;
    members.emplace_back("__metadata__", std::move(metadata));
    uint64_t end = 0;
    for (const TensorEntry* tensor : ordered) {
        members.emplace_back(tensor->name, header_entry(*tensor, end));
        tensors_.push_back({tensor, end});
        end += tensor->bytes;
    }
    std::string header = Json(std::move(members)).dump();
    const uint64_t data = round_up(kSafetensorsLengthBytes + header.size(), kPageBytes);
    header.resize(data - kSafetensorsLengthBytes, ' ');
    for (size_t i = 0; i < kSafetensorsLengthBytes; ++i) {
        opening_.push_back(static_cast<char>(header.size() >> (8 * i)));
    }
    opening_ += header;
    for (Placed& placed : tensors_) placed.offset += data;
    bytes_ = data + end;
}

Status DenseFile::fill(uint64_t offset, std::span<std::byte> out, const BlockReader& reader,
                       std::span<std::byte> memory) const {
    const uint64_t end = offset + out.size();
    std::ranges::fill(out, std::byte{0});
    if (offset < opening_.size()) {
        const uint64_t bytes = std::min<uint64_t>(opening_.size(), end) - offset;
        std::memcpy(out.data(), opening_.data() + offset, bytes);
    }
    auto at = std::ranges::upper_bound(tensors_, offset, {}, &Placed::offset);
    if (at != tensors_.begin()) --at;  // the one that begins before may reach in
    for (; at != tensors_.end() && at->offset < end; ++at) {
        const uint64_t first = std::max(at->offset, offset);
        const uint64_t last = std::min(at->offset + at->tensor->bytes, end);
        if (first >= last) continue;
        const auto bytes = TRY(reader.read(
            at->tensor->file, at->tensor->offset + (first - at->offset), last - first, memory));
        std::memcpy(out.data() + (first - offset), bytes.data(), bytes.size());
    }
    return {};
}

}  // namespace millrace
