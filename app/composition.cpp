#include "app/composition.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "core/base/machine.h"
#include "core/base/strings.h"
#include "core/engine/kv_identity.h"
#include "core/model/config.h"

namespace millrace {
namespace {

constexpr uint64_t kDemoBudgetBytes = uint64_t{2} << 20;

// Half of what this process may have: the dense weights, the KV state and everybody else live in the other half.
uint64_t default_budget_bytes() {
    const uint64_t machine = machine_memory().total_bytes;
    const uint64_t allowed = group_limits().memory_bytes.value_or(machine);
    if (machine == 0 && allowed == 0) return uint64_t{4} << 30;
    return (machine == 0 ? allowed : std::min(machine, allowed)) / 2;
}

// The release that brought DSpark brought other effort prefixes; nothing else in a checkpoint tells them apart.
Result<EffortTable> choose_efforts(const Path& directory, const std::string& named) {
    if (!named.empty()) return EffortTable::named(named);
    std::error_code ignored;
    // A copy of the tokenizer files alone may have no config.json.
    if (!std::filesystem::exists(directory / "config.json", ignored)) return EffortTable::preview();
    const ModelConfig config = TRY(read_config(directory));
    return config.dspark.block_size > 0 ? EffortTable::v0731() : EffortTable::preview();
}

}  // namespace

uint64_t expert_budget_bytes(const ModelOptions& options) {
    return options.ram_budget_bytes.value_or(options.demo ? kDemoBudgetBytes
                                                          : default_budget_bytes());
}

Result<std::unique_ptr<Runtime>> open_runtime(const ModelOptions& options, const OpenWatch& watch) {
    RuntimeOptions runtime = options.runtime;
    runtime.ram_budget_bytes = expert_budget_bytes(options);
    return Runtime::open(options.directory, runtime, watch);
}

Result<Conversation> open_conversation(const Path& directory, const std::string& effort_table) {
    return Conversation::open(directory, TRY(choose_efforts(directory, effort_table)));
}

Result<std::unique_ptr<Engine>> open_engine(const ModelOptions& options,
                                            const Conversation& conversation, KvArchive* archive,
                                            const OpenWatch& watch) {
    ModelOptions model = options;
    // So far the edge of the last whole page is still there, wherever a prompt ends.
    if (archive != nullptr) {
        model.runtime.rollback_tokens =
            std::max(model.runtime.rollback_tokens, static_cast<int32_t>(KvArchive::kPageTokens));
    }
    std::unique_ptr<Runtime> runtime = TRY(open_runtime(model, watch));
    const int64_t tokens = conversation.tokenizer().vocab_size();
    if (tokens > runtime->config().vocabulary) {
        return Error{ErrorCode::kCorrupt,
                     cat((options.directory / "tokenizer.json").string(), " has ", tokens,
                         " tokens and the model ", runtime->config().vocabulary,
                         "; they are not of the same checkpoint")};
    }
    ArchiveUse use;
    if (archive != nullptr) {
        use = {
            .archive = archive,
            .identity = TRY(kv_identity(options.directory, runtime->options())),
            .label = options.demo ? "the demo model"
                                  : std::filesystem::absolute(options.directory).string()
        };
    }
    return Engine::start(std::move(runtime), use);
}

}  // namespace millrace
