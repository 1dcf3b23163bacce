#include "tests/support/temp_directory.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <string>

namespace millrace::test {

TempDirectory::TempDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
}

TempDirectory::~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace millrace::test
