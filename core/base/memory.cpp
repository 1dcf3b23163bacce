#include "core/base/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr uint64_t kBytesMax = uint64_t{1}
                               << 46;  // 64 TiB; keeps the rounding below from overflowing

}  // namespace

PageBuffer::~PageBuffer() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

Result<PageBuffer> PageBuffer::create(uint64_t bytes, HugePages huge) {
    if (bytes > kBytesMax) {
        return Error{ErrorCode::kCapacity,
                     cat("reserving ", bytes, " bytes of memory: more than the ",
                         human_bytes(kBytesMax), " a process can address")};
    }
    const size_t align = huge == HugePages::kIfGranted ? kHugePageBytes : kPageBytes;
    const size_t size = round_up(std::max<uint64_t>(bytes, 1), kPageBytes);
    const size_t mapped = huge == HugePages::kIfGranted ? size + align : size;
    void* at = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        return Error{ErrorCode::kCapacity,
                     cat("reserving ", human_bytes(size), " of memory: ", std::strerror(errno),
                         "; lower the memory budget or the context length")};
    }
    // Keep the aligned middle, give the rest back.
    const auto start = reinterpret_cast<uintptr_t>(at);
    const uintptr_t aligned = round_up(start, align);
    if (aligned > start) ::munmap(at, aligned - start);
    const size_t behind = start + mapped - (aligned + size);
    if (behind > 0) ::munmap(reinterpret_cast<void*>(aligned + size), behind);
    PageBuffer buffer;
    buffer.bytes_ = {reinterpret_cast<std::byte*>(aligned), size};
    const size_t filled = round_down(size, kHugePageBytes);
    if (huge == HugePages::kIfGranted && filled > 0) {
        ::madvise(buffer.bytes_.data(), filled, MADV_HUGEPAGE);
    }
    // The system may also have been told to use huge pages everywhere.
    if (huge == HugePages::kNo) ::madvise(buffer.bytes_.data(), size, MADV_NOHUGEPAGE);
    return buffer;
}

}  // namespace millrace
