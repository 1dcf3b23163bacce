#include "core/base/secret_file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/base/check.h"
#include "core/base/disk.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr mode_t kOthers = 077;

std::string octal(mode_t mode) {
    std::string text = "0";
    for (const int shift : {6, 3, 0}) text += static_cast<char>('0' + ((mode >> shift) & 7));
    return text;
}

// What belongs to us alone; `wanted` is its mode for the sentence.
Status check_private(const struct stat& info, const Path& path, const SecretWords& words,
                     const char* wanted) {
    if (info.st_uid != ::geteuid()) {
        return Error{ErrorCode::kInvalid,
                     cat(path.string(), " belongs to user ", info.st_uid, ", not to this one (",
                         ::geteuid(), "); use another state directory, ", words.escape)};
    }
    if ((info.st_mode & kOthers) != 0) {
        return Error{ErrorCode::kInvalid,
                     cat(path.string(), " has the mode ", octal(info.st_mode & 0777),
                         ", so others may reach ", words.what, "; run chmod ", wanted, " ",
                         path.string(), ", ", words.escape)};
    }
    return {};
}

Status check_directory(const Path& path, const SecretWords& words) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return io_error("opening", path, errno);
    return check_private(info, path, words, "0700");
}

// kNotFound when there is none.
Status read_open(const Path& path, const SecretWords& words, Secret& secret) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return io_error("opening", path, errno);
    const auto read = [&]() -> Status {
        struct stat info {};
        if (::fstat(fd, &info) != 0) return io_error("opening", path, errno);
        if (!S_ISREG(info.st_mode) || info.st_size != static_cast<off_t>(secret.bytes.size())) {
            return Error{
                ErrorCode::kCorrupt,
                cat(path.string(), " holds ", info.st_size, " bytes and should be a file of ",
                    secret.bytes.size(), "; remove it, and ", words.lost, " is lost")};
        }
        TRY(check_private(info, path, words, "0600"));
        return read_exactly(fd, path, 0, secret.bytes);
    };
    const Status done = read();
    ::close(fd);
    return done;
}

// Beside its place, synced, then linked there: a link never replaces what is there already, so of several processes the
// first wins and the others read what it made.
Status make_secret(const Path& directory, std::string_view name, Entropy& entropy) {
    std::array<std::byte, 8> salt{};
    entropy.fill(salt);
    uint64_t number = 0;
    std::memcpy(&number, salt.data(), sizeof number);
    const Path place = directory / name, beside = directory / cat(name, ".", number, ".part");
    const int fd =
        ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return io_error("creating", beside, errno);
    Secret secret;
    entropy.fill(secret.bytes);
    const bool written = ::write(fd, secret.bytes.data(), secret.bytes.size()) ==
                             static_cast<ssize_t>(secret.bytes.size()) &&
                         ::fsync(fd) == 0;
    const int write_error = errno;
    ::close(fd);
    const bool linked = written && (::link(beside.c_str(), place.c_str()) == 0 || errno == EEXIST);
    const int link_error = errno;
    ::unlink(beside.c_str());
    if (!written) return io_error("writing", beside, write_error);
    if (!linked) return io_error("creating", place, link_error);
    return SystemDisk().sync_directory(directory);
}

}  // namespace

void SystemEntropy::fill(std::span<std::byte> out) {
    while (!out.empty()) {
        const ssize_t got = ::getrandom(out.data(), out.size(), 0);
        ENSURE(got > 0 || errno == EINTR);  // the kernel refuses only a wrong call
        if (got > 0) out = out.subspan(static_cast<size_t>(got));
    }
}

Secret::~Secret() { ::explicit_bzero(bytes.data(), bytes.size()); }

Result<Secret> read_secret(const Path& directory, std::string_view name, const SecretWords& words) {
    TRY(check_directory(directory, words));
    Secret secret;
    TRY(read_open(directory / name, words, secret));
    return secret;
}

Result<Secret> open_secret(const Path& directory, std::string_view name, const SecretWords& words,
                           Entropy& entropy) {
    TRY(SystemDisk().make_directory(directory));
    auto found = read_secret(directory, name, words);
    if (found.ok() || found.error().code != ErrorCode::kNotFound) return found;
    TRY(make_secret(directory, name, entropy));
    return read_secret(directory, name, words);
}

}  // namespace millrace
