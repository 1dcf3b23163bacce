#pragma once
// What a drive gives to somebody who does nothing else: a few threads that read large blocks around the page cache, in no
// order, into huge pages (small ones halve what virtual drives give), and throw them away. The limit beside which everything
// that streams is shown.

#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/memory.h"
#include "core/base/result.h"

namespace millrace {

class PlainReader {
public:
    // Files without a whole block are left out; kInvalid when no file has one.
    [[nodiscard]] static Result<std::unique_ptr<PlainReader>> open(const std::vector<Path>& files,
                                                                   uint64_t block_bytes);

    // Reads `bytes`, rounded up to blocks, other ones than the last time as far as there are; bytes a second.
    [[nodiscard]] Result<double> read(uint64_t bytes, Clock& clock);

private:
    struct Block {
        size_t file = 0;
        uint64_t offset = 0;
    };
    PlainReader(std::vector<File> files, std::vector<Block> blocks, uint64_t block_bytes,
                PageBuffer memory);

    static constexpr size_t kThreads = 4;
    std::vector<File> files_;
    std::vector<Block> blocks_;
    uint64_t block_bytes_;
    PageBuffer memory_;  // [kThreads][block_bytes_]
    size_t next_ = 0;
};

}  // namespace millrace
