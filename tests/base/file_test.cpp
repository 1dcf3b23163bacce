#include "core/base/file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <thread>
#include <vector>

#include "tests/support/temp_directory.h"

namespace millrace {
namespace {

using test::TempDirectory;

std::string read_all(const Path& path) {
    auto text = read_text_file(path, 1 << 20);
    REQUIRE(text.ok());
    return *text;
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("what is written is read back, and replaces what was there") {
    const TempDirectory directory;
    const Path path = directory.path() / "a file";
    REQUIRE(write_file(path, "first, and longer").ok());
    REQUIRE(write_file(path, std::string_view("second\0", 7)).ok());
    CHECK(read_all(path) == std::string("second\0", 7));
    REQUIRE(write_file(path, "").ok());
    CHECK(read_all(path).empty());
    CHECK(!std::filesystem::exists(path.string() + ".part"));
}

TEST_CASE("parts are read by position, by several threads at once") {
    const TempDirectory directory;
    const Path path = directory.path() / "numbers";
    std::vector<uint32_t> numbers(100'000);
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<uint32_t>(i);
    REQUIRE(write_file(path, std::as_bytes(std::span(numbers))).ok());
    const auto file = File::open(path);
    REQUIRE(file.ok());
    CHECK(*file->size() == 400'000);
    std::array<bool, 4> right{};
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < right.size(); ++t) {
        threads.emplace_back([&, t] {
            std::array<uint32_t, 100> part{};
            bool equal = true;
            for (size_t at = t * 100; at + 100 <= numbers.size(); at += 400) {
                equal =
                    equal && file->read_at(at * 4, std::as_writable_bytes(std::span(part))).ok();
                for (size_t i = 0; i < part.size(); ++i) equal = equal && part[i] == at + i;
            }
            right[t] = equal;
        });
    }
    threads.clear();
    for (const bool r : right) CHECK(r);
}

TEST_CASE("a truncated file is corrupt, and the error says where it ends") {
    const TempDirectory directory;
    const Path path = directory.path() / "short";
    REQUIRE(write_file(path, "0123456789").ok());
    const auto file = File::open(path);
    REQUIRE(file.ok());
    std::array<std::byte, 8> part{};
    CHECK(file->read_at(2, part).ok());
    for (const uint64_t offset : {uint64_t{3}, uint64_t{10}, uint64_t{1} << 40}) {
        const Status read = file->read_at(offset, part);
        REQUIRE(!read.ok());
        CHECK(read.error().code == ErrorCode::kCorrupt);
        CHECK(contains(read.error().message, "short"));
    }
    CHECK(contains(file->read_at(3, part).error().message,
                   "ends at byte 10, 7 bytes into a part of 8"));
    CHECK(file->read_at(10, {}).ok());
    CHECK(file->read_at(uint64_t{1} << 63, part).error().code == ErrorCode::kIo);
}

TEST_CASE("what is no regular file is refused, without waiting") {
    const TempDirectory directory;
    const auto missing = File::open(directory.path() / "none");
    REQUIRE(!missing.ok());
    CHECK(missing.error().code == ErrorCode::kNotFound);
    CHECK(contains(missing.error().message, "none"));
    CHECK(contains(File::open(directory.path()).error().message, "directory"));
    const Path fifo = directory.path() / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    CHECK(contains(File::open(fifo).error().message, "wanted a regular file"));
    CHECK(contains(File::open("/dev/zero").error().message, "wanted a regular file"));
    CHECK(File::open(directory.path() / std::string(300, 'x')).error().code == ErrorCode::kIo);
    const Path loop = directory.path() / "loop";
    std::filesystem::create_symlink(loop, loop);
    CHECK(!File::open(loop).ok());
}

TEST_CASE("a text file larger than allowed is refused unread") {
    const TempDirectory directory;
    const Path path = directory.path() / "text";
    REQUIRE(write_file(path, "12345").ok());
    CHECK(*read_text_file(path, 5) == "12345");
    const auto text = read_text_file(path, 4);
    REQUIRE(!text.ok());
    CHECK(text.error().code == ErrorCode::kInvalid);
    CHECK(contains(text.error().message, "5 bytes, more than the 4"));
    // A hole of a terabyte costs nothing to make and must cost nothing to refuse.
    std::filesystem::resize_file(path, uint64_t{1} << 40);
    CHECK(!read_text_file(path, 1 << 20).ok());
}

TEST_CASE("files move; a moved file is closed once") {
    const TempDirectory directory;
    REQUIRE(write_file(directory.path() / "a", "a").ok());
    REQUIRE(write_file(directory.path() / "b", "b").ok());
    auto a = File::open(directory.path() / "a");
    auto b = File::open(directory.path() / "b");
    REQUIRE((a.ok() && b.ok()));
    File file = *std::move(a);
    const int old = file.fd();
    file = *std::move(b);
    CHECK(file.path().filename() == "b");
    CHECK(file.is_open());
    struct stat info {};
    CHECK(::fstat(old, &info) != 0);
    CHECK(!File().is_open());
}

TEST_CASE("files are mapped whole; an empty one is an empty span") {
    const TempDirectory directory;
    REQUIRE(write_file(directory.path() / "a", "mapped").ok());
    REQUIRE(write_file(directory.path() / "empty", "").ok());
    MappedFile mapped;
    {
        const auto file = File::open(directory.path() / "a");
        REQUIRE(file.ok());
        auto made = MappedFile::map(*file);
        REQUIRE(made.ok());
        mapped = *std::move(made);
    }
    const auto bytes = mapped.bytes();  // outlives the descriptor
    CHECK(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) == "mapped");
    const auto empty = File::open(directory.path() / "empty");
    REQUIRE(empty.ok());
    CHECK(MappedFile::map(*empty)->bytes().empty());
}

TEST_CASE("a failed write leaves the old file and nothing else") {
    const TempDirectory directory;
    const Path path = directory.path() / "kept";
    REQUIRE(write_file(path, "old").ok());
    // A child that may write only 1000 bytes meets the limit in the middle of the new text.
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{1000, 1000};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        const Status written = write_file(path, std::string(5000, 'n'));
        ::_exit(!written.ok() && written.error().code == ErrorCode::kIo ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    CHECK(read_all(path) == "old");
    CHECK(!std::filesystem::exists(path.string() + ".part"));

    CHECK(write_file(directory.path() / "none" / "x", "y").error().code == ErrorCode::kNotFound);
    CHECK(!write_file(directory.path(), "y").ok());
}

TEST_CASE("a full disk is told apart from a broken one") {
    const TempDirectory directory;
    // The part beside the file leads to a device that is always full.
    const Path path = directory.path() / "x";
    std::filesystem::create_symlink("/dev/full", path.string() + ".part");
    const Status written = write_file(path, "some words");
    REQUIRE(!written.ok());
    CHECK(written.error().code == ErrorCode::kNoSpace);
    CHECK(contains(written.error().message, "free some space"));
    CHECK(!std::filesystem::exists(path));
    CHECK(io_error("reading", "x", EDQUOT).code == ErrorCode::kNoSpace);
    CHECK(io_error("reading", "x", ENOENT).code == ErrorCode::kNotFound);
    CHECK(io_error("reading", "x", EIO).code == ErrorCode::kIo);
    CHECK(contains(io_error("reading", "drive/x", EIO).message, "reading drive/x: "));
}

}  // namespace
}  // namespace millrace
