#include "core/base/disk.h"

#include <sys/stat.h>

#include <cstring>

#include <doctest/doctest.h>

#include "core/base/memory.h"
#include "tests/support/temp_directory.h"

using namespace millrace;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

std::string text_of(DiskFile& file) {
    std::string text(*file.size(), '\0');
    CHECK(file.read(0, std::as_writable_bytes(std::span(text))).ok());
    return text;
}

}  // namespace

TEST_CASE("a disk file is written anywhere, grows, shrinks and is kept when opened again") {
    const test::TempDirectory place;
    SystemDisk disk;
    const Path path = place.path() / "a";
    {
        auto file = disk.open(path, OpenFor::kWriting, Through::kPageCache);
        REQUIRE(file.ok());
        CHECK((*file)->write(3, bytes_of("def")).ok());
        CHECK((*file)->write(0, bytes_of("abc")).ok());
        CHECK((*file)->sync().ok());
    }
    auto file = disk.open(path, OpenFor::kWriting, Through::kPageCache);
    REQUIRE(file.ok());
    CHECK(text_of(**file) == "abcdef");
    CHECK((*file)->resize(2).ok());
    CHECK(text_of(**file) == "ab");
    std::array<std::byte, 4> more{};
    const Status short_read = (*file)->read(0, more);
    REQUIRE_FALSE(short_read.ok());
    CHECK(short_read.error().code == ErrorCode::kCorrupt);
}

TEST_CASE("a file is written around the page cache in whole blocks") {
    const test::TempDirectory place;
    SystemDisk disk;
    auto memory = PageBuffer::create(3 * kPageBytes, HugePages::kNo);
    REQUIRE(memory.ok());
    std::memset(memory->bytes().data(), 7, memory->bytes().size());
    auto file = disk.open(place.path() / "a", OpenFor::kWriting, Through::kDrive);
    REQUIRE(file.ok());
    CHECK((*file)->write(kPageBytes, memory->bytes()).ok());
    CHECK(*(*file)->size() == 4 * kPageBytes);
    auto back = PageBuffer::create(4 * kPageBytes, HugePages::kNo);
    REQUIRE(back.ok());
    CHECK((*file)->read(0, back->bytes()).ok());
    CHECK(back->bytes()[kPageBytes - 1] == std::byte{0});
    CHECK(std::memcmp(back->bytes().data() + kPageBytes, memory->bytes().data(), 3 * kPageBytes) ==
          0);
}

TEST_CASE("replace_file leaves the new bytes under the name and nothing beside it") {
    const test::TempDirectory place;
    SystemDisk disk;
    const Path directory = place.path() / "new" / "deep";
    REQUIRE(disk.make_directory(directory).ok());
    struct stat info {};
    REQUIRE(::stat(directory.c_str(), &info) == 0);
    CHECK((info.st_mode & 077) == 0);
    CHECK(disk.make_directory(directory).ok());
    CHECK(replace_file(disk, directory / "a", "long first text").ok());
    CHECK(replace_file(disk, directory / "a", "second").ok());
    CHECK(*read_text_file(directory / "a", 100) == "second");
    CHECK(*disk.list(directory) == std::vector<std::string>{"a"});
    CHECK(disk.rename(directory / "a", directory / "b").ok());
    CHECK(disk.remove(directory / "a").ok());
    CHECK(*disk.list(directory) == std::vector<std::string>{"b"});
    CHECK(disk.list(place.path() / "nowhere")->empty());
}

TEST_CASE("what the disk refuses is an error that names the file") {
    const test::TempDirectory place;
    SystemDisk disk;
    const auto message = [](const auto& result) { return result.error().message; };
    auto missing = disk.open(place.path() / "absent", OpenFor::kReading, Through::kDrive);
    REQUIRE_FALSE(missing.ok());
    CHECK(missing.error().code == ErrorCode::kNotFound);
    CHECK(message(missing).find("absent") != std::string::npos);
    CHECK_FALSE(disk.open(place.path(), OpenFor::kReading, Through::kPageCache).ok());
    CHECK_FALSE(disk.rename(place.path() / "absent", place.path() / "b").ok());
    CHECK_FALSE(disk.sync_directory(place.path() / "absent").ok());
    CHECK(*disk.free_bytes(place.path() / "not" / "yet") > 0);
    auto full = disk.open("/dev/full", OpenFor::kWriting, Through::kPageCache);
    CHECK_FALSE(full.ok());
}
