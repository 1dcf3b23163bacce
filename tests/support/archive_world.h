#pragma once
// What a KV archive lives on in tests: no entropy but a seed, no date but one that the test sets.

#include <cstring>

#include "core/base/random.h"
#include "offload/kv_archive.h"

namespace millrace::test {

class SeededEntropy final : public Entropy {
public:
    explicit SeededEntropy(uint64_t seed) : random_(seed) {}
    void fill(std::span<std::byte> out) override {
        for (std::byte& b : out) b = static_cast<std::byte>(random_.next() >> 56);
    }

private:
    Random random_;
};

class SetCalendar final : public Calendar {
public:
    [[nodiscard]] int64_t now_s() override { return seconds; }
    int64_t seconds = 1'800'000'000;
};

[[nodiscard]] inline ArchiveKey archive_key(uint64_t seed) {
    ArchiveKey::Secret secret{};
    SeededEntropy(seed).fill(secret);
    return ArchiveKey::of(secret);
}

// Bytes that follow from `seed`, half of them compressible.
[[nodiscard]] inline std::vector<std::byte> seeded_bytes(uint64_t seed, size_t count) {
    std::vector<std::byte> out(count);
    SeededEntropy(seed).fill(std::span(out).first(count / 2));
    return out;
}

}  // namespace millrace::test
