#include "app/desktop.h"

#include <chrono>
#include <filesystem>

#include "app/archive.h"
#include "app/composition.h"
#include "app/desktop_workshop.h"
#include "app/verbs.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

std::string name_of(const ModelOptions& model) {
    if (model.demo) return "Demo model";
    // "/models/DeepSeek-V4-Flash/" is called by its last part.
    Path path = std::filesystem::absolute(model.directory).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    return path.filename().string();
}

double seconds_of(auto time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

}  // namespace

ModelOpener opener_of(const ModelOptions& options, KvArchive* archive) {
    return [options, archive](const Path& directory,
                              const std::function<bool(std::string)>& say) -> Result<OpenedModel> {
        ModelOptions model = options;
        if (!directory.empty() || !options.demo) {
            model.demo = directory.empty();
            model.directory = directory.empty() ? Path(MILLRACE_DEMO_DIR) : directory;
        }
        OpenedModel opened;
        static_cast<void>(say("reading the tokenizer"));
        opened.conversation = std::make_unique<Conversation>(
            TRY(open_conversation(model.directory, model.effort_table)));
        const auto watch = [&say](uint64_t done_bytes, uint64_t total_bytes) {
            return say(cat("reading the weights that every token needs: ", human_bytes(done_bytes),
                           " of ", human_bytes(total_bytes)));
        };
        opened.engine = TRY(open_engine(model, *opened.conversation, archive, watch));
        ModelFacts& facts = opened.facts;
        facts.directory = model.directory;
        facts.name = name_of(model);
        facts.demo = model.demo;
        facts.context_max = opened.engine->context_max();
        facts.layers = static_cast<int32_t>(opened.engine->config().layers.size());
        facts.experts = opened.engine->config().experts;
        facts.experts_a_token = opened.engine->config().experts_per_token;
        for (const EffortTable::Entry& entry : opened.conversation->efforts().entries()) {
            facts.efforts.emplace_back(entry.effort);
        }
        facts.memory = opened.engine->memory_plan();
        return opened;
    };
}

namespace {

Status open_and_stay(const DesktopVerbOptions& options, Window& window, Terminal& terminal) {
    // Outlives the engine that uses it.
    const std::unique_ptr<ArchiveHome> archive = TRY(open_archive(options.chat.archive, terminal));
    DesktopOptions desktop;
    if (!options.chat.model.demo) desktop.model = options.chat.model.directory;
    desktop.state_directory = options.state_directory;
    desktop.home = options.home;
    desktop.make_workshop = [&options](std::function<void()> wake) {
        WorkshopParts parts;
        parts.state_directory = options.state_directory;
        parts.home = options.home;
        parts.look = start_lane("models");
        parts.work = start_lane("workshop");
        parts.wake = std::move(wake);
        parts.now_s = [] { return seconds_of(std::chrono::steady_clock::now()); };
        parts.wall_ms = [] {
            return static_cast<int64_t>(seconds_of(std::chrono::system_clock::now()) * 1000);
        };
        return open_workshop(std::move(parts));
    };
    return run_desktop(window, desktop, opener_of(options.chat.model, archive_of(archive)));
}

}  // namespace

int desktop_verb(const DesktopVerbOptions& options, Terminal& terminal) {
    Result<std::unique_ptr<Window>> window =
        options.display ? open_window({})
                        : Result<std::unique_ptr<Window>>(Error{
                              ErrorCode::kUnsupported,
                              "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"});
    if (!window.ok()) {
        if (options.asked_for) {
            terminal.error(cat("the window cannot be opened: ", window.error().message,
                               "; `millrace chat` talks in the terminal"));
            return kExitFailed;
        }
        terminal.error(cat("no window: ", window.error().message, "; chatting in the terminal"));
        return chat_verb(options.chat, terminal);
    }
    const Status status = open_and_stay(options, **window, terminal);
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
