#pragma once
// One function a verb, one file a function. Each returns the exit code; what failed is told by `terminal.error`.

#include "app/options.h"
#include "app/terminal.h"

namespace millrace {

[[nodiscard]] int chat_verb(const ChatOptions& options, Terminal& terminal);
[[nodiscard]] int desktop_verb(const DesktopVerbOptions& options, Terminal& terminal);
[[nodiscard]] int install_verb(const InstallOptions& options, Terminal& terminal);
[[nodiscard]] int run_verb(const RunOptions& options, Terminal& terminal);
[[nodiscard]] int inspect_verb(const InspectOptions& options, Terminal& terminal);
[[nodiscard]] int tokens_verb(const TokensOptions& options, Terminal& terminal);
[[nodiscard]] int prompt_verb(const PromptOptions& options, Terminal& terminal);
[[nodiscard]] int logits_verb(const LogitsOptions& options, Terminal& terminal);
[[nodiscard]] int bench_verb(const BenchOptions& options, Terminal& terminal);
[[nodiscard]] int eval_verb(const EvalOptions& options, Terminal& terminal);
[[nodiscard]] int calibrate_verb(const CalibrateOptions& options, Terminal& terminal);
[[nodiscard]] int cache_verb(const CacheOptions& options, Terminal& terminal);
[[nodiscard]] int plan_verb(const PlanOptions& options, Terminal& terminal);
[[nodiscard]] int pack_verb(const PackVerbOptions& options, Terminal& terminal);
[[nodiscard]] int verify_verb(const VerifyVerbOptions& options, Terminal& terminal);
[[nodiscard]] int trace_verb(const TraceOptions& options, Terminal& terminal);
[[nodiscard]] int replay_verb(const ReplayOptions& options, Terminal& terminal);

}  // namespace millrace
