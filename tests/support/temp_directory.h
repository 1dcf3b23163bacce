#pragma once
// A directory of its own for a test; gone with the object.

#include "core/base/file.h"

namespace millrace::test {

class TempDirectory {
public:
    TempDirectory();
    ~TempDirectory();
    TempDirectory(const TempDirectory&) = delete;
    TempDirectory& operator=(const TempDirectory&) = delete;

    [[nodiscard]] const Path& path() const { return path_; }

private:
    Path path_;
};

}  // namespace millrace::test
