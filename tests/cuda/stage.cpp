#include "tests/cuda/stage.h"

namespace millrace::test {

const void* Stage::place(const void* from, int64_t count, const std::vector<Part>& parts) {
    const size_t offset = reinterpret_cast<uintptr_t>(from) % 16;
    auto memory = cuda::DeviceMemory::allocate(offset + static_cast<size_t>(count));
    ENSURE(memory.ok());
    pieces_.push_back({*std::move(memory), offset});
    Piece& piece = pieces_.back();
    const std::span all(static_cast<const std::byte*>(from), static_cast<size_t>(count));
    for (const Part& part : parts) {
        const auto first = static_cast<size_t>(part.first);
        const auto some = all.subspan(first, static_cast<size_t>(part.count));
        ENSURE(piece.memory.upload(some, offset + first, {}).ok());
    }
    return piece.memory.as<std::byte>() + offset;
}

void Stage::back() {
    for (const Home& home : home_) {
        const Piece& piece = pieces_[home.piece];
        const std::span to(static_cast<std::byte*>(home.to), home.bytes);
        ENSURE(piece.memory.download(to, piece.offset, {}).ok());
    }
    ENSURE(cuda::finish({}).ok());
}

}  // namespace millrace::test
