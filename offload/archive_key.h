#pragma once
// The secret that the KV archive is sealed with. It lives in the state directory, away from the pages: who copies those
// has nothing. Lost or changed, the pages are noise.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/file.h"
#include "core/base/secret_file.h"

namespace millrace {

class ArchiveKey {
public:
    using Secret = std::array<std::byte, 32>;

    // Reads `state_directory`/kv.key, or makes it: whole or not at all, and once, whoever else starts at the same moment.
    // The directory is made for the owner alone. Refuses a file or a directory that others may read or that belongs to
    // somebody else: a secret that was open once is none.
    [[nodiscard]] static Result<ArchiveKey> open(const Path& state_directory, Entropy& entropy);
    [[nodiscard]] static ArchiveKey of(const Secret& secret);
    // Overwrites and removes it. No key there is no error.
    [[nodiscard]] static Status erase(const Path& state_directory);

    ArchiveKey(const ArchiveKey&) = default;
    ArchiveKey& operator=(const ArchiveKey&) = default;
    ~ArchiveKey();

    // A hash of two texts that says nothing to who lacks the secret.
    using Digest = std::array<std::byte, 32>;
    [[nodiscard]] Digest digest(std::span<const std::byte> first,
                                std::span<const std::byte> second) const;

    // XChaCha20-Poly1305. `out` has room for `plain` and kTagBytes; it may begin where `plain` does.
    static constexpr size_t kTagBytes = 16;
    using Nonce = std::array<std::byte, 24>;
    void seal(std::span<const std::byte> plain, std::span<const std::byte> attached,
              const Nonce& nonce, std::span<std::byte> out) const;
    // False: these are not the bytes that `seal` made with this secret, `attached` and `nonce`. `out` has room for what
    // `sealed` holds; it may begin where `sealed` does.
    [[nodiscard]] bool unseal(std::span<const std::byte> sealed,
                              std::span<const std::byte> attached, const Nonce& nonce,
                              std::span<std::byte> out) const;

    // Tells secrets apart, and nothing else about them.
    [[nodiscard]] uint64_t id() const { return id_; }

private:
    ArchiveKey() = default;

    Secret naming_{}, sealing_{};
    uint64_t id_ = 0;
};

}  // namespace millrace
