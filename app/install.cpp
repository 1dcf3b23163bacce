#include <filesystem>
#include <string>

#include "app/verbs.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr uint64_t kIconMax = uint64_t{1} << 20;

// As the Desktop Entry Specification quotes an argument.
std::string quoted(const std::string& argument) {
    std::string out = "\"";
    for (const char c : argument) {
        // A backslash before it; and in a value of the file every backslash is written twice.
        if (c == '"' || c == '`' || c == '$') out += "\\\\";
        if (c == '\\') out += "\\\\\\";
        if (c == '%') out += '%';
        out += c;
    }
    return out + "\"";
}

Status make_directory(const Path& directory) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (!error) return {};
    return Error{ErrorCode::kIo, cat(directory.string(), " cannot be made: ", error.message())};
}

Result<Path> install(const InstallOptions& options) {
    if (options.data_directory.empty()) {
        return Error{ErrorCode::kInvalid,
                     "there is no home directory to install into; set HOME or XDG_DATA_HOME"};
    }
    // The data directory is the product's own; menus look in the one above it.
    const Path shared = options.data_directory.parent_path();
    const Path icons = shared / "icons/hicolor/scalable/apps", entries = shared / "applications";
    TRY(make_directory(icons));
    TRY(make_directory(entries));
    const std::string icon = TRY(read_text_file(MILLRACE_ICON, kIconMax));
    TRY(write_file(icons / "millrace.svg", icon));
    const Path entry = entries / "millrace.desktop";
    TRY(write_file(entry,
                   cat("[Desktop Entry]\nType=Application\nName=Millrace\n"
                       "Comment=Chat with a large model on this machine, offline\n"
                       "Exec=",
                       quoted(options.program.string()),
                       " desktop\nIcon=millrace\n"
                       "Terminal=false\nCategories=Office;Utility;\nStartupWMClass=millrace\n")));
    return entry;
}

}  // namespace

int install_verb(const InstallOptions& options, Terminal& terminal) {
    const Result<Path> entry = install(options);
    if (!entry.ok()) {
        terminal.error(entry.error().message);
        return kExitFailed;
    }
    terminal.text(cat("Millrace is in the menu now: ", entry->string(), "\n"));
    return terminal.flush().ok() ? 0 : kExitFailed;
}

}  // namespace millrace
