#pragma once
// The synthetic checkpoints of tests/golden/model, written once per test program into the temporary directory, and
// runtimes on them.

#include <memory>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/engine/runtime.h"

namespace millrace::test {

// The directory of the checkpoint called `name` ("tiny-flash", …). Removed when the program ends.
[[nodiscard]] Path tiny_checkpoint(const std::string& name);

[[nodiscard]] inline Path demo_checkpoint() { return Path(MILLRACE_SOURCE_DIR) / "assets/demo"; }

// Options that suit tiny models: a context of 1024, chunks of 512, two threads; the
// reference arithmetic.
[[nodiscard]] RuntimeOptions tiny_options();

// Opens or fails the test with the error's sentence.
[[nodiscard]] std::unique_ptr<Runtime> open_runtime(const Path& checkpoint,
                                                    const RuntimeOptions& options = tiny_options());
[[nodiscard]] Session new_session(Runtime& runtime);

[[nodiscard]] std::vector<TokenId> token_ids(const std::vector<int32_t>& ids);

// Logits of every token [n, vocabulary], computed in pieces: the session goes on by pieces[0] tokens, pieces[1], …; the
// last size repeats.
[[nodiscard]] std::vector<float> all_logits(Runtime& runtime, Session& session,
                                            std::span<const TokenId> tokens,
                                            const std::vector<int64_t>& pieces);

}  // namespace millrace::test
