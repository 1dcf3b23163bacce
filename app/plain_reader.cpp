#include "app/plain_reader.h"

#include <fcntl.h>

#include <array>
#include <atomic>
#include <thread>
#include <utility>

#include "core/base/random.h"
#include "core/base/strings.h"

namespace millrace {

PlainReader::PlainReader(std::vector<File> files, std::vector<Block> blocks, uint64_t block_bytes,
                         PageBuffer memory)
    : files_(std::move(files)),
      blocks_(std::move(blocks)),
      block_bytes_(block_bytes),
      memory_(std::move(memory)) {
    Random random(1);
    for (size_t i = blocks_.size(); i > 1; --i) {
        std::swap(blocks_[i - 1], blocks_[random.below(i)]);
    }
}

Result<std::unique_ptr<PlainReader>> PlainReader::open(const std::vector<Path>& paths,
                                                       uint64_t block_bytes) {
    std::vector<File> files;
    std::vector<Block> blocks;
    for (const Path& path : paths) {
        Result<File> direct = File::open(path, O_DIRECT);
        File file = direct.ok() ? std::move(*direct) : TRY(File::open(path));
        const uint64_t size = TRY(file.size());
        for (uint64_t at = 0; at + block_bytes <= size; at += block_bytes) {
            blocks.push_back({files.size(), at});
        }
        files.push_back(std::move(file));
    }
    if (blocks.empty()) {
        return Error{ErrorCode::kInvalid, cat("there is no file with ", human_bytes(block_bytes),
                                              " to read; name a larger model with --model")};
    }
    PageBuffer memory = TRY(PageBuffer::create(kThreads * block_bytes, HugePages::kIfGranted));
    return std::unique_ptr<PlainReader>(
        new PlainReader(std::move(files), std::move(blocks), block_bytes, std::move(memory)));
}

Result<double> PlainReader::read(uint64_t bytes, Clock& clock) {
    const size_t count = static_cast<size_t>(round_up(bytes, block_bytes_) / block_bytes_);
    std::atomic<size_t> taken{0};
    std::array<Status, kThreads> failed;
    const auto work = [&](size_t thread) {
        const auto into = memory_.bytes().subspan(thread * block_bytes_, block_bytes_);
        for (size_t i = taken.fetch_add(1); i < count; i = taken.fetch_add(1)) {
            const Block& block = blocks_[(next_ + i) % blocks_.size()];
            const Status status = files_[block.file].read_at(block.offset, into);
            if (!status.ok()) failed[thread] = status;
        }
    };
    const int64_t begin = clock.now_ns();
    {
        std::vector<std::jthread> threads;
        for (size_t t = 0; t < kThreads; ++t) threads.emplace_back(work, t);
    }
    const int64_t passed = clock.now_ns() - begin;
    for (const Status& status : failed) TRY(status);
    next_ = (next_ + count) % blocks_.size();
    return static_cast<double>(count * block_bytes_) / (static_cast<double>(passed) * 1e-9);
}

}  // namespace millrace
