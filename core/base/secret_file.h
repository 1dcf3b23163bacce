#pragma once
// A secret of 32 bytes in a file of its own, for its owner alone: made once, read ever after. What is done with it is the
// reader's business.

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "core/base/file.h"

namespace millrace {

// Where secrets and nonces come from. A seam, so that a simulation can be repeated.
class Entropy {
public:
    virtual ~Entropy() = default;
    virtual void fill(std::span<std::byte> out) = 0;
};

// The kernel's.
class SystemEntropy final : public Entropy {
public:
    void fill(std::span<std::byte> out) override;
};

// Overwritten when it goes out of scope.
struct Secret {
    std::array<std::byte, 32> bytes{};

    Secret() = default;
    Secret(const Secret&) = default;
    Secret& operator=(const Secret&) = default;
    ~Secret();
};

// How the sentences of a refusal name things.
struct SecretWords {
    std::string_view what;  // "the secret of the KV archive"
    std::string_view lost;  // what is lost with the file: "what was archived with it"
    std::string_view
        escape;  // what to do instead of repairing it, behind a comma: "or use --kv-archive off"
};

// Reads `directory`/`name`, or makes it: whole or not at all, and once, whoever else starts at the same moment. The
// directory is made for the owner alone. Refuses a file or a directory that others may read or that belongs to somebody
// else (kInvalid): a secret that was open once is none.
[[nodiscard]] Result<Secret> open_secret(const Path& directory, std::string_view name,
                                         const SecretWords& words, Entropy& entropy);
// The same without making it: kNotFound when it is not there.
[[nodiscard]] Result<Secret> read_secret(const Path& directory, std::string_view name,
                                         const SecretWords& words);

}  // namespace millrace
