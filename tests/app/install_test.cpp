#include <doctest/doctest.h>

#include "app/verbs.h"
#include "core/base/file.h"
#include "tests/support/temp_directory.h"

using namespace millrace;

TEST_CASE(
    "install-desktop writes an entry that starts this program, wherever it lies, and an icon") {
    const test::TempDirectory directory;
    Terminal terminal(TerminalFacts{});
    InstallOptions options;
    options.data_directory = directory.path() / "millrace";
    options.program = "/opt/a \"b\"/50%\\mill$race";
    CHECK(install_verb(options, terminal) == 0);
    const Result<std::string> entry =
        read_text_file(directory.path() / "applications/millrace.desktop", 4096);
    REQUIRE(entry.ok());
    CHECK(entry->find("Exec=\"/opt/a \\\\\"b\\\\\"/50%%\\\\\\\\mill\\\\$race\" desktop\n") !=
          std::string::npos);
    const Result<std::string> icon =
        read_text_file(directory.path() / "icons/hicolor/scalable/apps/millrace.svg", 1 << 20);
    REQUIRE(icon.ok());
    CHECK(icon->starts_with("<svg"));
}

TEST_CASE("without a home install-desktop says so") {
    Terminal terminal(TerminalFacts{});
    CHECK(install_verb({}, terminal) == kExitFailed);
}
