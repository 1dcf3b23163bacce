#pragma once
// A long conversation that nobody had: made-up rows in every ring and entry of a session's KV state, so that the time of a
// token at that length can be measured without computing the tokens before it. For benchmarks and tests. The numbers
// are valid and moderate, and mean nothing.

#include <cstdint>

#include "core/engine/runtime.h"
#include "core/engine/session.h"

namespace millrace {

// `session` must be empty and belong to a model like `config`; afterwards it holds `length` made-up tokens, at most its
// context_max. Everything follows from `length` and `seed`. Fails as the memory of the state does.
[[nodiscard]] Status fill_session(Session& session, const ModelConfig& config, int64_t length,
                                  uint64_t seed);

}  // namespace millrace
