#pragma once
// A file that appears whole or not at all: written in portions beside its place, renamed when it is complete.

#include <cstddef>
#include <span>

#include "core/base/file.h"
#include "core/base/result.h"

namespace millrace {

class OutputFile {
public:
    // Where `path` is a device or a pipe there is nothing to rename: it is written directly.
    [[nodiscard]] static Result<OutputFile> create(const Path& path);
    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&&) = delete;
    ~OutputFile();  // without commit: nothing is left behind

    [[nodiscard]] Status write(std::span<const std::byte> bytes);
    // Syncs and gives the file its name. Nothing may be written after.
    [[nodiscard]] Status commit();

private:
    OutputFile(int fd, Path path, Path partial)
        : fd_(fd), path_(std::move(path)), partial_(std::move(partial)) {}

    int fd_;
    Path path_;
    Path partial_;  // empty when written directly
};

}  // namespace millrace
