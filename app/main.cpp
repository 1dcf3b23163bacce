// millrace: reads the command line and calls the verb.

#include <csignal>
#include <type_traits>

#include "app/options.h"
#include "app/terminal.h"
#include "app/verbs.h"

using namespace millrace;

namespace {

int show(const Shown& shown, Terminal& terminal) {
    if (shown.exit_code != 0) {
        terminal.error(shown.text);
        return shown.exit_code;
    }
    terminal.text(shown.text);
    return terminal.flush().ok() ? 0 : kExitFailed;
}

int call(const Verb& verb, Terminal& terminal) {
    struct Call {
        Terminal& terminal;
        int operator()(const ChatOptions& options) const { return chat_verb(options, terminal); }
        int operator()(const DesktopVerbOptions& options) const {
            return desktop_verb(options, terminal);
        }
        int operator()(const InstallOptions& options) const {
            return install_verb(options, terminal);
        }
        int operator()(const RunOptions& options) const { return run_verb(options, terminal); }
        int operator()(const InspectOptions& options) const {
            return inspect_verb(options, terminal);
        }
        int operator()(const TokensOptions& options) const {
            return tokens_verb(options, terminal);
        }
        int operator()(const PromptOptions& options) const {
            return prompt_verb(options, terminal);
        }
        int operator()(const LogitsOptions& options) const {
            return logits_verb(options, terminal);
        }
        int operator()(const BenchOptions& options) const { return bench_verb(options, terminal); }
        int operator()(const EvalOptions& options) const { return eval_verb(options, terminal); }
        int operator()(const CalibrateOptions& options) const {
            return calibrate_verb(options, terminal);
        }
        int operator()(const CacheOptions& options) const { return cache_verb(options, terminal); }
        int operator()(const PlanOptions& options) const { return plan_verb(options, terminal); }
        int operator()(const PackVerbOptions& options) const {
            return pack_verb(options, terminal);
        }
        int operator()(const VerifyVerbOptions& options) const {
            return verify_verb(options, terminal);
        }
        int operator()(const TraceOptions& options) const { return trace_verb(options, terminal); }
        int operator()(const ReplayOptions& options) const {
            return replay_verb(options, terminal);
        }
    };
    return std::visit(Call{terminal}, verb);
}

}  // namespace

int main(int count, char** values) {
    // Whoever stops reading our output ends us quietly, even if the caller had SIGPIPE ignored.
    std::signal(SIGPIPE, SIG_DFL);
    const Environment environment = read_environment();
    Terminal terminal(environment.terminal);
    const auto parsed = parse_command_line({values + 1, values + count}, environment);
    if (const Shown* shown = std::get_if<Shown>(&parsed)) return show(*shown, terminal);
    return call(*std::get_if<Verb>(&parsed), terminal);
}
