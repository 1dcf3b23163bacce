#pragma once
// Builds what the verbs need out of the rooms below: the only place that knows them all.

#include <memory>

#include "app/options.h"
#include "core/engine/engine.h"
#include "core/engine/runtime.h"
#include "core/text/conversation.h"

namespace millrace {

// Memory for experts: as asked for, or what suits the model and the machine.
[[nodiscard]] uint64_t expert_budget_bytes(const ModelOptions& options);
[[nodiscard]] Result<std::unique_ptr<Runtime>> open_runtime(const ModelOptions& options,
                                                            const OpenWatch& watch = {});
// The tokenizer's side: needs tokenizer.json only. `effort_table`: "" as the checkpoint says.
[[nodiscard]] Result<Conversation> open_conversation(const Path& directory,
                                                     const std::string& effort_table);
// The model's side, on a thread of its own. `archive` may be null and must outlive it. Fails when it and `conversation` do
// not have the same tokens.
[[nodiscard]] Result<std::unique_ptr<Engine>> open_engine(const ModelOptions& options,
                                                          const Conversation& conversation,
                                                          KvArchive* archive,
                                                          const OpenWatch& watch = {});

}  // namespace millrace
