#include <algorithm>

#include "app/composition.h"
#include "app/eval_texts.h"
#include "app/verbs.h"
#include "core/base/clock.h"
#include "core/base/strings.h"
#include "core/engine/calibrator.h"

namespace millrace {
namespace {

// Every text in the model, watched; contexts are cut as eval does it.
Status watch(Runtime& runtime, const std::vector<EvalClass>& classes, Terminal& terminal) {
    Session session = TRY(runtime.new_session());
    const auto chunk_max = static_cast<size_t>(runtime.options().prefill_chunk);
    SystemClock clock;
    const int64_t begin = clock.now_ns();
    int64_t total = 0, done = 0;
    for (const EvalClass& c : classes) total += c.tokens();
    for (const EvalClass& c : classes) {
        for (const auto& text : c.texts) {
            for (const auto& part : cut_to_context(text, runtime.options().context_max)) {
                session.reset();
                for (size_t at = 0; at < part.size();) {
                    const auto chunk =
                        std::span(part).subspan(at, std::min(chunk_max, part.size() - at));
                    TRY(runtime.forward(session, chunk, LogitsWanted::kNone, {}));
                    at += chunk.size();
                    done += static_cast<int64_t>(chunk.size());
                    constexpr int64_t kSecond = 1'000'000'000;
                    if (clock.now_ns() - begin > kSecond) {
                        terminal.progress(cat(done, " of ", total, " tokens"));
                    }
                }
            }
        }
    }
    return {};
}

Status calibrate(const CalibrateOptions& options, Terminal& terminal) {
    const std::vector<EvalClass> classes = TRY(read_eval_classes(options.model, options.texts));
    const std::unique_ptr<Runtime> runtime = TRY(open_runtime(options.model));
    Calibrator calibrator(runtime->step().context().ops, runtime->config());
    runtime->step().observe(&calibrator);
    const Status watched = watch(*runtime, classes, terminal);
    runtime->step().observe(nullptr);
    TRY(watched);
    const Path directory = options.out.empty() ? options.model.directory : options.out;
    TRY(write_calibration(directory, runtime->config(), calibrator.layers()));
    terminal.clear_progress();
    int64_t tokens = 0, experts = 0, seen = 0;
    for (const EvalClass& c : classes) tokens += c.tokens();
    for (const LayerCalibration& layer : calibrator.layers()) {
        experts += std::ssize(layer.tokens);
        seen += std::ranges::count_if(layer.tokens, [](int64_t n) { return n > 0; });
    }
    terminal.text(cat(tokens, " tokens reached ", seen, " of ", experts, " experts; written to ",
                      (directory / kCalibrationFile).string(), "\n"));
    return terminal.flush();
}

}  // namespace

int calibrate_verb(const CalibrateOptions& options, Terminal& terminal) {
    const Status status = calibrate(options, terminal);
    terminal.clear_progress();
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
