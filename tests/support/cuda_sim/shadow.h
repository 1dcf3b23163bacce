#pragma once
// What is known about every byte of a memory: whether anybody wrote it, and who touched it last.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace::cuda_sim {

enum class Access { kRead, kWrite, kAtomic };

// Who touches a byte, and when: barriers and warp barriers passed so far.
struct Toucher {
    uint32_t launch = 0;
    uint32_t block = 0;
    uint32_t thread = 0;
    uint32_t barriers = 0;
    uint32_t warp_barriers = 0;
};

class Shadow {
public:
    explicit Shadow(size_t bytes) : defined_(bytes, false), cells_(bytes) {}

    void define(size_t first, size_t count, bool defined = true);
    [[nodiscard]] bool defined(size_t first, size_t count) const;

    // Notes an access; the words of a race, if it is one.
    [[nodiscard]] std::optional<std::string> touch(size_t first, size_t count, Access access,
                                                   const Toucher& who);

private:
    // Who shares the last read of a byte with the one noted.
    enum class Company : uint8_t { kAlone, kWarp, kBlock, kGrid };
    struct Cell {
        Toucher write, read;
        bool atomic = false;  // the write
        Company readers = Company::kAlone;
    };
    static bool races(const Toucher& earlier, Company company, const Toucher& now);
    static void note_read(Cell& cell, const Toucher& who);

    std::vector<uint8_t> defined_;
    std::vector<Cell> cells_;
};

}  // namespace millrace::cuda_sim
