#pragma once
// What a token costs at least, from the model's shapes alone: bytes that decoding must read and multiply-adds that a
// prompt must do. Benchmarks divide these by the time.

#include <cstdint>

#include "core/model/config.h"
#include "core/model/inventory.h"

namespace millrace {

// Bytes of KV state that the token at `position` reads: the window and what it may attend or score of the entries.
[[nodiscard]] uint64_t kv_bytes_read(const ModelConfig& config, int64_t position);

// Multiply-adds of a prompt of `tokens` tokens in an empty conversation: the matrices of the trunk for every token (of
// the experts those that a token is routed to), attention and the indexer by what each position sees, the head once.
[[nodiscard]] uint64_t prefill_macs(const ModelConfig& config, int64_t tokens);

}  // namespace millrace
