#pragma once
// The dense file of a store: every tensor that is no routed expert, under its official name, with the bytes of the
// source, as one safetensors file. Tensors with large elements come first, so that each is aligned to its element.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/model/shard_table.h"
#include "core/pack/block_reader.h"

namespace millrace {

class DenseFile {
public:
    // `tensors` must outlive this object.
    DenseFile(const std::vector<const TensorEntry*>& tensors, uint64_t store_id);

    [[nodiscard]] uint64_t bytes() const { return bytes_; }
    // What stands at [offset, offset + out.size()) of the file, zeros behind its end. `reader` has the files of the
    // tensors' table; `memory` is page-aligned, at least memory_for(out.size()).
    [[nodiscard]] Status fill(uint64_t offset, std::span<std::byte> out, const BlockReader& reader,
                              std::span<std::byte> memory) const;

private:
    struct Placed {
        const TensorEntry* tensor;
        uint64_t offset;
    };
    std::string opening_;  // length and header
    std::vector<Placed> tensors_;
    uint64_t bytes_ = 0;
};

}  // namespace millrace
