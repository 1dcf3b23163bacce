#include "offload/archive_key.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "core/base/check.h"
#include "core/base/disk.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr mode_t kOthers = 077;

unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const std::byte* bytes) {
    return reinterpret_cast<const unsigned char*>(bytes);
}

Path key_path(const Path& state_directory) { return state_directory / "kv.key"; }

std::string octal(mode_t mode) {
    std::string text = "0";
    for (const int shift : {6, 3, 0}) text += static_cast<char>('0' + ((mode >> shift) & 7));
    return text;
}

// What belongs to us alone; `wanted` is its mode for the sentence.
Status check_private(const struct stat& info, const Path& path, const char* wanted) {
    if (info.st_uid != ::geteuid()) {
        return Error{ErrorCode::kInvalid,
                     cat(path.string(), " belongs to user ", info.st_uid, ", not to this one (",
                         ::geteuid(), "); use another state directory, or --kv-archive off")};
    }
    if ((info.st_mode & kOthers) != 0) {
        return Error{ErrorCode::kInvalid,
                     cat(path.string(), " has the mode ", octal(info.st_mode & 0777),
                         ", so others may reach the secret of the KV archive; run chmod ", wanted,
                         " ", path.string(), ", or use --kv-archive off")};
    }
    return {};
}

Status check_directory(const Path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return io_error("opening", path, errno);
    return check_private(info, path, "0700");
}

// kNotFound when there is none.
Status read_secret(const Path& path, ArchiveKey::Secret& secret) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return io_error("opening", path, errno);
    const auto read_open = [&]() -> Status {
        struct stat info {};
        if (::fstat(fd, &info) != 0) return io_error("opening", path, errno);
        if (!S_ISREG(info.st_mode) || info.st_size != static_cast<off_t>(secret.size())) {
            return Error{
                ErrorCode::kCorrupt,
                cat(path.string(), " holds ", info.st_size, " bytes and should be a file of ",
                    secret.size(), "; remove it, and what was archived with it is lost")};
        }
        TRY(check_private(info, path, "0600"));
        return read_exactly(fd, path, 0, secret);
    };
    const Status done = read_open();
    ::close(fd);
    return done;
}

// Beside its place, synced, then linked there: a link never replaces what is there already, so of several processes the
// first wins and the others read what it made.
Status make_secret(const Path& directory, Entropy& entropy) {
    std::array<std::byte, 8> salt{};
    entropy.fill(salt);
    uint64_t number = 0;
    std::memcpy(&number, salt.data(), sizeof number);
    const Path beside = directory / cat("kv.key.", number, ".part");
    const int fd =
        ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return io_error("creating", beside, errno);
    ArchiveKey::Secret secret{};
    entropy.fill(secret);
    const bool written =
        ::write(fd, secret.data(), secret.size()) == static_cast<ssize_t>(secret.size()) &&
        ::fsync(fd) == 0;
    const int write_error = errno;
    ::close(fd);
    sodium_memzero(secret.data(), secret.size());
    const bool linked =
        written && (::link(beside.c_str(), key_path(directory).c_str()) == 0 || errno == EEXIST);
    const int link_error = errno;
    ::unlink(beside.c_str());
    if (!written) return io_error("writing", beside, write_error);
    if (!linked) return io_error("creating", key_path(directory), link_error);
    return SystemDisk().sync_directory(directory);
}

}  // namespace

void SystemEntropy::fill(std::span<std::byte> out) { randombytes_buf(out.data(), out.size()); }

Result<ArchiveKey> ArchiveKey::open(const Path& state_directory, Entropy& entropy) {
    ENSURE(sodium_init() >= 0);
    TRY(SystemDisk().make_directory(state_directory));
    TRY(check_directory(state_directory));
    Secret secret{};
    Status found = read_secret(key_path(state_directory), secret);
    if (!found.ok() && found.error().code == ErrorCode::kNotFound) {
        TRY(make_secret(state_directory, entropy));
        found = read_secret(key_path(state_directory), secret);
    }
    if (!found.ok()) return found.error();
    ArchiveKey key = of(secret);
    sodium_memzero(secret.data(), secret.size());
    return key;
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
    const Path path = key_path(state_directory);
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
