#pragma once
// The flags and manual pages of the verbs trace and replay.

#include "app/manual.h"
#include "app/options.h"

namespace CLI {
class App;
}

namespace millrace {

inline constexpr ManualText kTraceManual = {
    "trace", "records which experts a run chooses", "--out FILE [FLAGS] [PROMPT…]",
    "Answers every PROMPT, always with the most probable token, and reads every text of --files "
    "(as eval takes them) token by token. Writes which experts each token chose in each layer "
    "and where the routers put all the others, for millrace replay. About experts + 2k bytes a "
    "token and layer. --ram-budget changes the speed and nothing else.",
    "millrace trace --out demo.trace 'Tell me a story.'\n"
    "millrace trace --model /models/DeepSeek-V4-Flash --files talks.jsonl --texts 20 --out t"};
inline constexpr ManualText kReplayManual = {
    "replay", "compares cache policies on recorded routers", "[FLAGS] [TRACE…]",
    "Runs the traces, one after the other, through caches of several sizes and prints for each "
    "how many of the experts asked for were in memory: lru (the least recently used goes), lfu "
    "(the least often used), lfu 256 (the same with counts that halve in 256 tokens), millrace "
    "(what this program does), belady (the best there could be, which knows the future). `gap "
    "closed` is how far millrace comes from the best of the first three to belady.\n"
    "\n"
    "With --json each row is one line: {\"slots\", \"share\", \"asked\", \"lru\", \"lfu\", "
    "\"lfu_decayed\", \"millrace\", \"belady\", \"gap_closed\"}; counts are misses.",
    "millrace replay demo.trace --slots 6%,12%,25%,50%\n"
    "millrace replay --synthetic 7 --slots 700"};

// Add what a verb has besides the flags of a model; `options` gets the values while the command line is read.
void add_trace_flags(CLI::App& verb, TraceOptions& options);
void add_replay_flags(CLI::App& verb, ReplayOptions& options);

}  // namespace millrace
