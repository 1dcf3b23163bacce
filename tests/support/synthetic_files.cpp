#include "tests/support/synthetic_files.h"

#include <utility>

#include "core/base/strings.h"

namespace millrace::test {

std::string safetensors_opening(std::span<const ShardTensor> tensors) {
    Json format;
    format.set("format", "pt");
    Json::Object members = {{"__metadata__", format}};
    uint64_t offset = 0;
    for (const ShardTensor& tensor : tensors) {
        Json entry;
        entry.set("dtype", dtype_name(tensor.dtype));
        Json::Array shape;
        for (const int64_t extent : tensor.shape) shape.emplace_back(extent);
        entry.set("shape", std::move(shape));
        const uint64_t end = offset + tensor.bytes;
        entry.set("data_offsets", Json::Array{offset, end});
        offset = end;
        members.emplace_back(tensor.name, std::move(entry));
    }
    std::string text = Json(std::move(members)).dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    std::string opening(8, '\0');
    for (size_t i = 0; i < 8; ++i) opening[i] = static_cast<char>(text.size() >> (8 * i));
    return opening + text;
}

std::string shard_name(int number, int shards) {
    const auto digits = [](int n) {
        const std::string text = cat(n);
        return std::string(5 - text.size(), '0') + text;
    };
    return cat("model-", digits(number), "-of-", digits(shards), ".safetensors");
}

Json shard_index(Json::Object map, uint64_t total_bytes) {
    Json metadata, index;
    metadata.set("total_size", total_bytes);
    index.set("metadata", std::move(metadata));
    index.set("weight_map", std::move(map));
    return index;
}

}  // namespace millrace::test
