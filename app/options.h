#pragma once
// What the command line and the environment say. The only reader of both.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "app/terminal.h"
#include "core/base/file.h"
#include "core/engine/request.h"
#include "core/engine/runtime.h"
#include "core/talk/answer_stream.h"

namespace millrace {

// Which model, and how it runs.
struct ModelOptions {
    Path directory;
    bool demo = false;  // the demo model, because no other was named
    // Without a budget: 2 MiB for the demo model, so that it has something to stream; else half of the machine's memory.
    std::optional<uint64_t> ram_budget_bytes;
    RuntimeOptions runtime;    // but for the budget
    std::string effort_table;  // "preview", "0731", or "": as the checkpoint says
};

// Where KV state is kept from one start to the next.
struct ArchiveOptions {
    enum class Use {
        kDefault,  // if it can be had
        kChosen,   // a directory was named: it must be had
        kOff,
    };
    Use use = Use::kDefault;
    Path state_directory;  // with the key; "": no home to keep it in
    Path directory;        // with the pages
    std::optional<uint64_t> budget_bytes;
};

struct ChatOptions {
    ModelOptions model;
    ArchiveOptions archive;
    AnswerOptions answer;
    Path history;  // "": no home to keep it in
};
// The window; where there is none, the chat in the terminal.
struct DesktopVerbOptions {
    ChatOptions chat;
    Path state_directory;    // with the chats; "": no home to keep them in
    Path home;               // where exports are offered to go
    bool display = false;    // there is one
    bool asked_for = false;  // by name: then the terminal is no substitute
};
struct RunOptions {
    ModelOptions model;
    ArchiveOptions archive;
    AnswerOptions answer;
    std::optional<std::string> prompt;  // absent: standard input
    std::optional<Path> messages;       // a chat request as JSON instead of a prompt
    bool json = false;
};
struct InstallOptions {
    Path data_directory;  // XDG_DATA_HOME or its default; "": no home
    Path program;         // that the menu shall start
};
struct InspectOptions {
    Path directory;
};
struct TokensOptions {
    Path directory;
};
struct PromptOptions {
    Path directory;
    std::string effort_table;
};
struct LogitsOptions {
    ModelOptions model;
    Path tokens, out;
    std::optional<int64_t> prefill;  // absent: all
};
// Which texts are scored or watched.
struct TextOptions {
    std::vector<Path> files;       // none: those of the model's directory eval/
    std::optional<int64_t> count;  // of each file; absent: all
    // Every `parts`-th text of a file, beginning with number `part`, so that what was calibrated on is not scored.
    int64_t part = 1, parts = 1;
};
struct EvalOptions {
    ModelOptions model;
    Path against;  // a checkpoint to compare with; "": the same one in reference arithmetic
    TextOptions texts;
    bool json = false;
};
struct CalibrateOptions {
    ModelOptions model;
    TextOptions texts;
    Path out;  // a directory; "": the model's
};

struct BenchOptions {
    ModelOptions model;
    std::string what;  // machine, ops, model, archive, io, stream, desktop
    int repeat = 5;
    std::string only, file;
    std::vector<int64_t> contexts = {1024, 65536, 262144};
    int64_t prefill = 2048;
    bool tiny = false, json = false;
    Path state_directory;  // for what archive and desktop write; "": no home to keep it in
};

struct CacheOptions {
    std::string what;  // list, prune, erase
    ArchiveOptions archive;
};

struct PlanOptions {
    Path model;  // a directory or a release
    std::optional<uint64_t> ram_bytes;
    std::optional<double> memory_rate, drive_rate, mac_rate;  // a second
    std::optional<uint64_t> vram_bytes;                       // 0: without a GPU
    std::optional<double> pcie_rate, vram_rate, gpu_mac_rate;
    int threads = 0;  // 0: one for every CPU that the process may use
    int64_t context = 32768, prompt = 2048;
    int32_t prefill_chunk = 512;
    std::optional<double> hit_rate;
    Path trace;           // of the model, to tell the hit rate by; "": none
    std::string experts;  // "": as they are
    bool json = false;
};

struct PackVerbOptions {
    Path source, destination;
    std::vector<Path> also;
    std::string experts = "released";
    std::optional<uint64_t> size_bytes;
};
struct VerifyVerbOptions {
    Path directory;
    std::optional<Path> repair;
};

struct TraceOptions {
    ModelOptions model;
    std::vector<std::string> prompts;  // each is answered
    std::vector<Path> files;           // texts as eval takes them; each is read
    std::optional<int64_t> texts;      // of each file; absent: all
    int64_t prefill = 0;               // tokens of such a text that are read together
    int64_t answer_max = 256;
    Path out;
};
struct ReplayOptions {
    std::vector<Path> traces;
    std::vector<std::string> slots = {"6%", "12%", "25%", "50%"};
    std::optional<uint64_t> synthetic;
    int64_t tokens = 2000;  // of the synthetic trace
    bool json = false;
};

using Verb = std::variant<ChatOptions, DesktopVerbOptions, InstallOptions, RunOptions,
                          InspectOptions, TokensOptions, PromptOptions, LogitsOptions, EvalOptions,
                          BenchOptions, PlanOptions, CalibrateOptions, PackVerbOptions,
                          VerifyVerbOptions, CacheOptions, TraceOptions, ReplayOptions>;

// The command line asks for a text (help, version), or is wrong.
struct Shown {
    std::string text;
    int exit_code = 0;  // 0: text for standard output; 2: a sentence for standard error
};

struct Environment {
    std::string home, data_home, state_home;  // HOME, XDG_DATA_HOME, XDG_STATE_HOME; "" if not set
    bool display = false;                     // DISPLAY or WAYLAND_DISPLAY is set
    Path program;                             // this program's own file
    TerminalFacts terminal;
};
[[nodiscard]] Environment read_environment();

[[nodiscard]] std::variant<Verb, Shown> parse_command_line(
    const std::vector<std::string>& arguments, const Environment& environment);

inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

}  // namespace millrace
