#include "tests/support/tiny_model.h"

#include <doctest/doctest.h>
#include <algorithm>
#include <map>

#include "tests/support/golden.h"
#include "tests/support/synthetic.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {
namespace {

// Where this process keeps checkpoints; goes with it.
class CheckpointRoom {
public:
    Path get(const std::string& name) {
        const auto known = made_.find(name);
        if (known != made_.end()) return known->second;
        const Path out = directory_.path() / name;
        write_synthetic(golden_path("model/" + name + "/config.json"), out, 3);
        return made_.emplace(name, out).first->second;
    }

private:
    TempDirectory directory_;
    std::map<std::string, Path> made_;
};

}  // namespace

Path tiny_checkpoint(const std::string& name) {
    static CheckpointRoom room;
    return room.get(name);
}

RuntimeOptions tiny_options() {
    RuntimeOptions options;
    options.threads = 2;
    options.ops = "reference";       // what golden data can be compared with
    options.pinning = Pinning::kNo;  // a test may hold several runtimes
    options.context_max = 1024;
    options.prefill_chunk = 512;
    return options;
}

std::unique_ptr<Runtime> open_runtime(const Path& checkpoint, const RuntimeOptions& options) {
    auto runtime = Runtime::open(checkpoint, options);
    REQUIRE_MESSAGE(runtime.ok(), (runtime.ok() ? "" : runtime.error().message));
    return *std::move(runtime);
}

Session new_session(Runtime& runtime) {
    auto session = runtime.new_session();
    REQUIRE_MESSAGE(session.ok(), (session.ok() ? "" : session.error().message));
    return *std::move(session);
}

std::vector<TokenId> token_ids(const std::vector<int32_t>& ids) {
    std::vector<TokenId> out;
    for (const int32_t id : ids) out.push_back({id});
    return out;
}

std::vector<float> all_logits(Runtime& runtime, Session& session, std::span<const TokenId> tokens,
                              const std::vector<int64_t>& pieces) {
    const auto vocabulary = static_cast<size_t>(runtime.config().vocabulary);
    std::vector<float> logits(tokens.size() * vocabulary);
    size_t done = 0;
    for (size_t piece = 0; done < tokens.size(); ++piece) {
        const auto wanted = static_cast<size_t>(pieces[std::min(piece, pieces.size() - 1)]);
        const size_t n = std::min(wanted, tokens.size() - done);
        const MatrixView<float> rows(&logits[done * vocabulary], static_cast<int64_t>(n),
                                     runtime.config().vocabulary);
        const Status status =
            runtime.forward(session, tokens.subspan(done, n), LogitsWanted::kAll, rows);
        REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message));
        done += n;
    }
    return logits;
}

}  // namespace millrace::test
