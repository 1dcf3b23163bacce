#include "offload/archive_key.h"

#include <sodium.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string_view>

#include "core/base/check.h"
#include "core/base/disk.h"

namespace millrace {
namespace {

unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const std::byte* bytes) {
    return reinterpret_cast<const unsigned char*>(bytes);
}

constexpr std::string_view kName = "kv.key";
constexpr SecretWords kWords{.what = "the secret of the KV archive",
                             .lost = "what was archived with it",
                             .escape = "or use --kv-archive off"};

}  // namespace

Result<ArchiveKey> ArchiveKey::open(const Path& state_directory, Entropy& entropy) {
    return of(TRY(open_secret(state_directory, kName, kWords, entropy)).bytes);
}

ArchiveKey ArchiveKey::of(const Secret& secret) {
    ENSURE(sodium_init() >= 0);
    static_assert(std::tuple_size_v<Secret> == crypto_kdf_KEYBYTES);
    constexpr char kContext[crypto_kdf_CONTEXTBYTES + 1] = "millrace";
    ArchiveKey key;
    const auto derive = [&](uint64_t number, std::byte* out, size_t bytes) {
        ENSURE(crypto_kdf_derive_from_key(raw(out), bytes, number, kContext, raw(secret.data())) ==
               0);
    };
    derive(1, key.naming_.data(), key.naming_.size());
    derive(2, key.sealing_.data(), key.sealing_.size());
    std::array<std::byte, crypto_kdf_BYTES_MIN> id{};
    derive(3, id.data(), id.size());
    std::memcpy(&key.id_, id.data(), sizeof key.id_);
    return key;
}

Status ArchiveKey::erase(const Path& state_directory) {
    SystemDisk disk;
    const Path path = state_directory / kName;
    if (::access(path.c_str(), F_OK) != 0) return {};
    const std::unique_ptr<DiskFile> file =
        TRY(disk.open(path, OpenFor::kWriting, Through::kPageCache));
    TRY(file->write(0, Secret{}));
    TRY(file->sync());
    TRY(disk.remove(path));
    return disk.sync_directory(state_directory);
}

ArchiveKey::~ArchiveKey() {
    sodium_memzero(naming_.data(), naming_.size());
    sodium_memzero(sealing_.data(), sealing_.size());
}

ArchiveKey::Digest ArchiveKey::digest(std::span<const std::byte> first,
                                      std::span<const std::byte> second) const {
    Digest out{};
    crypto_generichash_state state;
    crypto_generichash_init(&state, raw(naming_.data()), naming_.size(), out.size());
    // The length of the first keeps ("ab", "c") and ("a", "bc") apart.
    const uint64_t length = first.size();
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(&length),
                              sizeof length);
    crypto_generichash_update(&state, raw(first.data()), first.size());
    crypto_generichash_update(&state, raw(second.data()), second.size());
    crypto_generichash_final(&state, raw(out.data()), out.size());
    return out;
}

void ArchiveKey::seal(std::span<const std::byte> plain, std::span<const std::byte> attached,
                      const Nonce& nonce, std::span<std::byte> out) const {
    static_assert(kTagBytes == crypto_aead_xchacha20poly1305_ietf_ABYTES);
    static_assert(std::tuple_size_v<Nonce> == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
    ENSURE(out.size() == plain.size() + kTagBytes);
    crypto_aead_xchacha20poly1305_ietf_encrypt(raw(out.data()), nullptr, raw(plain.data()),
                                               plain.size(), raw(attached.data()), attached.size(),
                                               nullptr, raw(nonce.data()), raw(sealing_.data()));
}

bool ArchiveKey::unseal(std::span<const std::byte> sealed, std::span<const std::byte> attached,
                        const Nonce& nonce, std::span<std::byte> out) const {
    if (sealed.size() < kTagBytes) return false;
    ENSURE(out.size() == sealed.size() - kTagBytes);
    return crypto_aead_xchacha20poly1305_ietf_decrypt(
               raw(out.data()), nullptr, nullptr, raw(sealed.data()), sealed.size(),
               raw(attached.data()), attached.size(), raw(nonce.data()), raw(sealing_.data())) == 0;
}

}  // namespace millrace
