#include "app/eval_texts.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <system_error>

#include "app/composition.h"
#include "core/base/check.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr uint64_t kFileMax = uint64_t{256} << 20;

Result<std::vector<TokenId>> plain_text(const Conversation& conversation, std::string_view text) {
    // A conversation without messages is the beginning of a sentence and nothing else.
    std::vector<TokenId> ids = TRY(conversation.render(std::span<const Message>(), {}))
    .ids;
    const std::vector<TokenId> rest = TRY(conversation.tokenizer().encode(text, Specials::kPlain));
    ids.insert(ids.end(), rest.begin(), rest.end());
    return ids;
}

// One text, and where the expected answer begins in it.
struct EvalText {
    std::vector<TokenId> ids;
    size_t answer = 0;
};

Result<EvalText> text_of_line(const Conversation& conversation, const Json& line) {
    const Json* text = line.find("text");
    if (text != nullptr && text->is_string()) {
        std::vector<TokenId> ids = TRY(plain_text(conversation, *text->as_string()));
        const size_t end = ids.size();
        return EvalText{std::move(ids), end};
    }
    const Json* expected = line.find("expected");
    if (line.find("messages") == nullptr || expected == nullptr || !expected->is_string()) {
        return Error{ErrorCode::kInvalid,
                     cat(quote_text(line.dump()),
                         " is neither {\"messages\": […], \"expected\": \"…\"} nor {\"text\": "
                         "\"…\"}")};
    }
    Json request = line;
    const Json* mode = line.find("mode");
    if (mode != nullptr && line.find("thinking_mode") == nullptr) {
        request.set("thinking_mode", *mode);
    }
    auto rendered = TRY(conversation.render(request));
    EvalText out{std::move(rendered.ids), 0};
    out.answer = out.ids.size();
    const std::vector<TokenId> answer =
        TRY(conversation.tokenizer().encode(*expected->as_string(), Specials::kRecognise));
    out.ids.insert(out.ids.end(), answer.begin(), answer.end());
    return out;
}

Status add_lines(const Conversation& conversation, std::string_view text, int64_t texts_max,
                 EvalClass& out) {
    for (int64_t number = 1; !text.empty() && std::ssize(out.texts) < texts_max; ++number) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        const auto read = [&]() -> Result<EvalText> {
            return text_of_line(conversation, TRY(Json::parse(line)));
        };
        Result<EvalText> found = read();
        if (!found.ok()) return found.error().in(cat("line ", number));
        out.texts.push_back(std::move(found->ids));
        out.answers.push_back(found->answer);
    }
    return {};
}

}  // namespace

int64_t EvalClass::tokens() const {
    int64_t sum = 0;
    for (const auto& text : texts) sum += static_cast<int64_t>(text.size());
    return sum;
}

int64_t EvalClass::longest() const {
    size_t most = 0;
    for (const auto& text : texts) most = std::max(most, text.size());
    return static_cast<int64_t>(most);
}

Result<EvalClass> read_eval_class(const Path& file, const Conversation& conversation,
                                  int64_t texts_max) {
    const std::string text = TRY(read_text_file(file, kFileMax));
    EvalClass out;
    out.name = file.stem().string();
    const auto read = [&]() -> Status {
        if (file.extension() == ".jsonl") {
            TRY(add_lines(conversation, text, texts_max, out));
        } else if (!text.empty()) {
            out.texts.push_back(TRY(plain_text(conversation, text)));
            out.answers.push_back(out.texts.back().size());
        }
        return {};
    };
    const Status status = read();
    if (!status.ok()) return status.error().in(file.string());
    if (out.texts.empty()) {
        return Error{ErrorCode::kInvalid,
                     cat(file.string(), " holds no text; it must hold at least one")};
    }
    return out;
}

Result<std::vector<Path>> find_eval_files(const Path& directory) {
    std::vector<Path> out;
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
        if (at->path().extension() == ".jsonl") out.push_back(at->path());
    }
    if (out.empty()) {
        return Error{ErrorCode::kNotFound, cat("there are no texts (NAME.jsonl) in ",
                                               directory.string(), "; name some with --files")};
    }
    std::ranges::sort(out);
    return out;
}

std::vector<std::vector<TokenId>> cut_to_context(const std::vector<TokenId>& text,
                                                 int64_t context) {
    ENSURE(context >= 2);
    const auto most = static_cast<size_t>(context);
    std::vector<std::vector<TokenId>> out;
    for (size_t done = 0; done < text.size();) {
        std::vector<TokenId> part;
        if (done > 0) part.push_back(text.front());
        const size_t count = std::min(most - part.size(), text.size() - done);
        const auto first = text.begin() + static_cast<std::ptrdiff_t>(done);
        part.insert(part.end(), first, first + static_cast<std::ptrdiff_t>(count));
        out.push_back(std::move(part));
        done += count;
    }
    return out;
}

Result<std::vector<EvalClass>> read_eval_classes(const ModelOptions& model,
                                                 const TextOptions& texts) {
    const Conversation conversation = TRY(open_conversation(model.directory, model.effort_table));
    std::vector<Path> files = texts.files;
    if (files.empty()) files = TRY(find_eval_files(model.directory / "eval"));
    std::vector<EvalClass> out;
    for (const Path& file : files) {
        EvalClass read = TRY(read_eval_class(
            file, conversation, texts.count.value_or(std::numeric_limits<int64_t>::max())));
        EvalClass kept{read.name, {}, {}};
        for (auto i = static_cast<size_t>(texts.part - 1); i < read.texts.size();
             i += static_cast<size_t>(texts.parts)) {
            kept.texts.push_back(std::move(read.texts[i]));
            kept.answers.push_back(read.answers[i]);
        }
        if (!kept.texts.empty()) out.push_back(std::move(kept));
    }
    return out;
}

}  // namespace millrace
