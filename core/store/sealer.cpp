#include "core/store/sealer.h"

#include <sodium.h>

#include "core/base/check.h"

namespace millrace {
namespace {

constexpr size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
static_assert(kNonceBytes + kTagBytes == Sealer::kExtraBytes);
constexpr size_t kHalfMarkBytes = 16;

const unsigned char* raw(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* raw(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
unsigned char* raw(Secret& secret) { return reinterpret_cast<unsigned char*>(secret.bytes.data()); }
const unsigned char* raw(const Secret& secret) {
    return reinterpret_cast<const unsigned char*>(secret.bytes.data());
}

std::string hash(std::string_view text) {
    std::string out(kHalfMarkBytes, '\0');
    crypto_generichash(raw(out), out.size(), raw(text), text.size(), nullptr, 0);
    return out;
}

}  // namespace

SealedPlace::SealedPlace(std::string_view column, std::initializer_list<int64_t> facts)
    : attached_(column) {
    attached_.push_back('\0');
    for (const int64_t fact : facts) {
        for (int shift = 0; shift < 64; shift += 8) {
            attached_.push_back(static_cast<char>((static_cast<uint64_t>(fact) >> shift) & 0xFF));
        }
    }
}

Sealer::Sealer(const Secret& secret, Entropy& entropy) : entropy_(entropy) {
    ENSURE(sodium_init() >= 0);
    static_assert(sizeof secret.bytes == crypto_kdf_KEYBYTES);
    constexpr char kContext[crypto_kdf_CONTEXTBYTES + 1] = "mr-chats";
    const auto derive = [&](uint64_t number, unsigned char* out, size_t bytes) {
        ENSURE(crypto_kdf_derive_from_key(out, bytes, number, kContext, raw(secret)) == 0);
    };
    derive(1, raw(sealing_), sealing_.bytes.size());
    derive(2, raw(naming_), naming_.bytes.size());
    std::string id(kHalfMarkBytes, '\0');
    derive(3, raw(id), id.size());
    mark_ = id + hash(id);
}

std::string Sealer::seal(const SealedPlace& place, std::string_view plain) {
    std::string out(kNonceBytes + plain.size() + kTagBytes, '\0');
    entropy_.fill(std::as_writable_bytes(std::span(out).first(kNonceBytes)));
    const std::string_view attached = place.attached();
    crypto_aead_xchacha20poly1305_ietf_encrypt(raw(out) + kNonceBytes, nullptr, raw(plain),
                                               plain.size(), raw(attached), attached.size(),
                                               nullptr, raw(out), raw(sealing_));
    return out;
}

std::optional<std::string> Sealer::unseal(const SealedPlace& place, std::string_view sealed) const {
    if (sealed.size() < kExtraBytes) return std::nullopt;
    std::string out(sealed.size() - kExtraBytes, '\0');
    const std::string_view attached = place.attached();
    const bool ours =
        crypto_aead_xchacha20poly1305_ietf_decrypt(
            raw(out), nullptr, nullptr, raw(sealed) + kNonceBytes, sealed.size() - kNonceBytes,
            raw(attached), attached.size(), raw(sealed), raw(sealing_)) == 0;
    if (!ours) return std::nullopt;
    return out;
}

std::string Sealer::digest(std::string_view name) const {
    std::string out(kHalfMarkBytes, '\0');
    crypto_generichash(raw(out), out.size(), raw(name), name.size(), raw(naming_),
                       naming_.bytes.size());
    return out;
}

Sealer::Mark Sealer::compare(std::string_view mark) const {
    if (mark == mark_) return Mark::kOurs;
    const bool whole = mark.size() == 2 * kHalfMarkBytes &&
                       hash(mark.substr(0, kHalfMarkBytes)) == mark.substr(kHalfMarkBytes);
    return whole ? Mark::kOther : Mark::kDamaged;
}

}  // namespace millrace
