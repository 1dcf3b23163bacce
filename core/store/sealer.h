#pragma once
// Seals what a person wrote before it reaches the file: XChaCha20-Poly1305, a fresh random nonce before each text. What is
// attached names the place (table, column, row and what else must not change), so that no cell can take another's place.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/secret_file.h"

namespace millrace {

// Where a sealed text lies.
class SealedPlace {
public:
    // `column` as "messages.body"; `facts` begin with the row.
    SealedPlace(std::string_view column, std::initializer_list<int64_t> facts);
    [[nodiscard]] std::string_view attached() const { return attached_; }

private:
    std::string attached_;
};

class Sealer {
public:
    // The entropy is the caller's and outlives this.
    Sealer(const Secret& secret, Entropy& entropy);

    [[nodiscard]] std::string seal(const SealedPlace& place, std::string_view plain);
    // Absent: this is not what `seal` made for this place with this secret.
    [[nodiscard]] std::optional<std::string> unseal(const SealedPlace& place,
                                                    std::string_view sealed) const;

    // Stands for a name, and says nothing of it to who lacks the secret. 16 bytes.
    [[nodiscard]] std::string digest(std::string_view name) const;

    // Tells secrets apart: an id and its checksum, so that a damaged id is not taken for another secret's. 32 bytes.
    [[nodiscard]] const std::string& mark() const { return mark_; }
    enum class Mark : uint8_t { kOurs, kOther, kDamaged };
    [[nodiscard]] Mark compare(std::string_view mark) const;

    // What sealing adds to a text: the nonce and the tag.
    static constexpr size_t kExtraBytes = 24 + 16;

private:
    Secret sealing_, naming_;
    std::string mark_;
    Entropy& entropy_;
};

}  // namespace millrace
