#include <algorithm>
#include <bit>

#include "app/composition.h"
#include "app/json_lines.h"
#include "app/output_file.h"
#include "app/verbs.h"
#include "core/model/safetensors.h"

namespace millrace {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors holds little-endian numbers");

Result<std::vector<TokenId>> read_token_file(const Path& path, int64_t vocabulary) {
    constexpr uint64_t kFileMax = uint64_t{256} << 20;
    const std::string text = TRY(read_text_file(path, kFileMax));
    const auto parse = [&]() -> Result<std::vector<TokenId>> {
        const Json json = TRY(Json::parse(text));
        const Json* ids = json.is_object() ? json.find("ids") : &json;
        if (ids == nullptr) {
            return Error{ErrorCode::kInvalid,
                         "the object has no \"ids\"; write [1, 2, 3] or {\"ids\": [1, 2, 3]}"};
        }
        return parse_ids(*ids, vocabulary);
    };
    Result<std::vector<TokenId>> ids = parse();
    if (!ids.ok()) return ids.error().in(path.string());
    if (ids->empty()) {
        return Error{ErrorCode::kInvalid,
                     cat(path.string(), " holds no token; it must hold at least one")};
    }
    return ids;
}

Status write_logits(const LogitsOptions& options, Terminal& terminal) {
    const ModelConfig config = TRY(read_config(options.model.directory));
    const int64_t vocabulary = config.vocabulary;
    const std::vector<TokenId> ids = TRY(read_token_file(options.tokens, vocabulary));
    const auto count = static_cast<int64_t>(ids.size());
    const int64_t prefill = options.prefill.value_or(count);
    if (prefill > count) {
        return Error{ErrorCode::kInvalid,
                     cat("--prefill is ", prefill, " and ", options.tokens.string(), " holds ",
                         count, " tokens; at most all can be prefill")};
    }
    ModelOptions model = options.model;
    model.runtime.context_max = count;
    // No chunk can be larger than the prompt, and memory is taken for the largest.
    model.runtime.prefill_chunk =
        static_cast<int32_t>(std::clamp<int64_t>(prefill, 1, model.runtime.prefill_chunk));
    const std::unique_ptr<Runtime> runtime = TRY(open_runtime(model));
    Session session = TRY(runtime->new_session());
    OutputFile file = TRY(OutputFile::create(options.out));
    StoredTensor tensor;
    tensor.name = "logits";
    tensor.dtype = DType::kF32;
    tensor.shape = {count, vocabulary};
    const std::string header = safetensors_header({&tensor, 1});
    TRY(file.write(std::as_bytes(std::span(header))));

    const int64_t chunk_max = model.runtime.prefill_chunk;
    std::vector<float> logits(static_cast<size_t>(chunk_max * vocabulary));
    SystemClock clock;
    const int64_t begin = clock.now_ns();
    for (int64_t done = 0; done < count;) {
        const int64_t chunk = done < prefill ? std::min(chunk_max, prefill - done) : 1;
        TRY(runtime->forward(
            session, std::span(ids).subspan(static_cast<size_t>(done), static_cast<size_t>(chunk)),
            LogitsWanted::kAll, {logits.data(), chunk, vocabulary}));
        TRY(file.write(
            std::as_bytes(std::span(logits).first(static_cast<size_t>(chunk * vocabulary)))));
        done += chunk;
        constexpr int64_t kSecond = 1'000'000'000;
        if (clock.now_ns() - begin > kSecond)
            terminal.progress(cat(done, " of ", count, " tokens"));
    }
    return file.commit();
}

}  // namespace

int logits_verb(const LogitsOptions& options, Terminal& terminal) {
    const Status status = write_logits(options, terminal);
    terminal.clear_progress();
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
