#pragma once
// The bytes of dense tensors: shards mapped where they hold one, and aligned copies of the few that
// need one. Expert bytes share the mappings but are never touched.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"
#include "core/model/shard_table.h"

namespace millrace {

class DenseTensors {
public:
    // Maps the shards that hold `tensors`. Everything else in them is advised as not wanted.
    [[nodiscard]] static Result<DenseTensors> map(const ShardTable& table,
                                                  std::span<const TensorEntry* const> tensors);

    // Of a tensor given to map(). Not aligned. Valid as long as this object or what it was moved
    // to.
    [[nodiscard]] std::span<const std::byte> bytes(const TensorEntry& tensor) const;

    // The same as elements, which must be of the tensor's size. Copies the tensor once if the file
    // has it unaligned.
    template <class T>
    [[nodiscard]] std::span<const T> elements(const TensorEntry& tensor) {
        const std::byte* data = aligned(tensor, alignof(T));
        return {reinterpret_cast<const T*>(data), static_cast<size_t>(tensor.shape.count())};
    }

    // Takes the pages that lie wholly inside `mapped` out of memory. A hint; the bytes stay readable.
    static void give_back(std::span<const std::byte> mapped);

private:
    [[nodiscard]] const std::byte* aligned(const TensorEntry& tensor, size_t alignment);

    std::vector<MappedFile> files_;  // by the table's file index; empty where nothing is mapped
    std::vector<std::unique_ptr<std::byte[]>> copies_;
};

}  // namespace millrace
