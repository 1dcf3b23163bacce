// The archive's secret: made once, for its owner alone, and refused when others could have read it.

#include "offload/archive_key.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "core/base/strings.h"
#include "tests/support/archive_world.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {
namespace {

mode_t mode_of(const Path& path) {
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    return info.st_mode & 0777;
}

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

Error refusal(const Path& state) {
    SystemEntropy entropy;
    const auto key = ArchiveKey::open(state, entropy);
    REQUIRE_FALSE(key.ok());
    return key.error();
}

}  // namespace

TEST_CASE("a key is made for its owner alone, and found again") {
    const TempDirectory place;
    const Path state = place.path() / "deep" / "millrace";
    SystemEntropy entropy;
    const auto made = ArchiveKey::open(state, entropy);
    REQUIRE(made.ok());
    CHECK(mode_of(state) == 0700);
    CHECK(mode_of(state / "kv.key") == 0600);
    const auto found = ArchiveKey::open(state, entropy);
    REQUIRE(found.ok());
    CHECK(found->id() == made->id());
    CHECK(std::distance(std::filesystem::directory_iterator(state), {}) == 1);  // nothing left over

    REQUIRE(ArchiveKey::erase(state).ok());
    CHECK(ArchiveKey::erase(state).ok());
    const auto other = ArchiveKey::open(state, entropy);
    REQUIRE(other.ok());
    CHECK(other->id() != made->id());
}

TEST_CASE("whoever starts at the same moment gets the same key") {
    const TempDirectory place;
    const Path state = place.path() / "millrace";
    std::vector<uint64_t> ids(8);
    {
        std::vector<std::jthread> threads;
        for (uint64_t& id : ids) {
            threads.emplace_back([&] {
                SystemEntropy entropy;
                const auto key = ArchiveKey::open(state, entropy);
                id = key.ok() ? key->id() : 0;
            });
        }
    }
    for (const uint64_t id : ids) CHECK(id == ids[0]);
    CHECK(ids[0] != 0);
}

TEST_CASE("a key that others may read is refused with what to do") {
    const TempDirectory place;
    const Path state = place.path() / "millrace";
    SystemEntropy entropy;
    REQUIRE(ArchiveKey::open(state, entropy).ok());

    REQUIRE(::chmod((state / "kv.key").c_str(), 0640) == 0);
    Error error = refusal(state);
    CHECK(error.message.find("has the mode 0640") != std::string::npos);
    CHECK(error.message.find("chmod 0600") != std::string::npos);
    CHECK(error.message.find("--kv-archive off") != std::string::npos);
    REQUIRE(::chmod((state / "kv.key").c_str(), 0600) == 0);

    REQUIRE(::chmod(state.c_str(), 0750) == 0);
    error = refusal(state);
    CHECK(error.message.find("chmod 0700") != std::string::npos);
    REQUIRE(::chmod(state.c_str(), 0700) == 0);

    // Somebody else's file under the key's name.
    std::filesystem::rename(state / "kv.key", state / "other");
    std::filesystem::create_symlink(state / "other", state / "kv.key");
    CHECK(refusal(state).code == ErrorCode::kIo);
    std::filesystem::remove(state / "kv.key");
    REQUIRE(write_file(state / "kv.key", std::string_view("short")).ok());
    REQUIRE(::chmod((state / "kv.key").c_str(), 0600) == 0);
    CHECK(refusal(state).message.find("holds 5 bytes") != std::string::npos);
}

TEST_CASE("a digest depends on the secret, on both texts and on where the first ends") {
    const ArchiveKey one = archive_key(1), two = archive_key(2);
    const auto digest = one.digest(bytes_of("ab"), bytes_of("c"));
    CHECK(digest == archive_key(1).digest(bytes_of("ab"), bytes_of("c")));
    CHECK(digest != two.digest(bytes_of("ab"), bytes_of("c")));
    CHECK(digest != one.digest(bytes_of("a"), bytes_of("bc")));
    CHECK(one.id() != two.id());
}

TEST_CASE("what is sealed opens with the same secret, company and nonce only") {
    const ArchiveKey key = archive_key(1);
    const auto plain = seeded_bytes(3, 100);
    ArchiveKey::Nonce nonce{};
    std::vector<std::byte> sealed(plain.size() + ArchiveKey::kTagBytes);
    key.seal(plain, bytes_of("with"), nonce, sealed);
    std::vector<std::byte> out(plain.size());
    CHECK(key.unseal(sealed, bytes_of("with"), nonce, out));
    CHECK(out == plain);
    CHECK_FALSE(key.unseal(sealed, bytes_of("without"), nonce, out));
    CHECK_FALSE(archive_key(2).unseal(sealed, bytes_of("with"), nonce, out));
    nonce[5] ^= std::byte{1};
    CHECK_FALSE(key.unseal(sealed, bytes_of("with"), nonce, out));
    CHECK_FALSE(key.unseal(std::span(sealed).first(3), bytes_of("with"), nonce, {}));
}

}  // namespace millrace::test
