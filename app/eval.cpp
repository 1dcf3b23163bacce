#include <algorithm>
#include <limits>

#include "app/composition.h"
#include "app/eval_texts.h"
#include "app/verbs.h"
#include "core/base/clock.h"
#include "core/base/strings.h"
#include "core/engine/logit_distance.h"

namespace millrace {
namespace {

// How many answers each of the two gets right to the last token: every token of the expected answer is its most probable
// one after those before it.
struct ExactAnswers {
    int64_t asked = 0, exact = 0, reference_exact = 0;

    ExactAnswers& operator+=(const ExactAnswers& more) {
        asked += more.asked;
        exact += more.exact;
        reference_exact += more.reference_exact;
        return *this;
    }
};

struct Score {
    LogitDistance distance;
    ExactAnswers answers;
    int64_t texts = 0;

    Score& operator+=(const Score& more) {
        distance += more.distance;
        answers += more.answers;
        texts += more.texts;
        return *this;
    }
};

bool is_top(std::span<const float> logits, TokenId token) {
    return std::ranges::max_element(logits) - logits.begin() == token.value;
}

// Two runtimes side by side: on one checkpoint in two arithmetics, or on two in one. Logits live for one chunk.
class Pair {
public:
    static Result<std::unique_ptr<Pair>> open(ModelOptions options, const Path& against) {
        // Two sets of threads that take turns: the system finds free CPUs for whichever works.
        options.runtime.pinning = Pinning::kNo;
        ModelOptions reference = options;
        if (against.empty()) {
            reference.runtime.ops = "reference";
        } else {
            reference.directory = against;
        }
        // One after the other: a TRY that returns in the middle of an expression forgets what stands before it.
        std::unique_ptr<Runtime> first = TRY(open_runtime(reference));
        std::unique_ptr<Runtime> second = TRY(open_runtime(options));
        std::unique_ptr<Pair> pair(new Pair(std::move(first), std::move(second)));
        const ModelConfig& one = pair->reference_->config();
        const ModelConfig& other = pair->runtime_->config();
        if (one.vocabulary != other.vocabulary) {
            return Error{ErrorCode::kInvalid,
                         cat(against.string(), " has ", one.vocabulary, " tokens and ",
                             options.directory.string(), " ", other.vocabulary,
                             "; only models with the same tokens can be compared")};
        }
        pair->reference_session_.emplace(TRY(pair->reference_->new_session()));
        pair->session_.emplace(TRY(pair->runtime_->new_session()));
        return pair;
    }

    [[nodiscard]] const Runtime& runtime() const { return *runtime_; }

    // Every token of `text`, which fits the context, from those before it; its expected answer begins at `answer`, which
    // is the text's size where there is none. Calls progress(tokens) after each chunk.
    template <class Progress>
    [[nodiscard]] Status score(std::span<const TokenId> text, size_t answer, Score& score,
                               const Progress& progress) {
        bool exact = true, reference_exact = true;
        reference_session_->reset();
        session_->reset();
        const int64_t vocabulary = runtime_->config().vocabulary;
        const auto chunk_max = static_cast<size_t>(runtime_->options().prefill_chunk);
        for (size_t done = 0; done < text.size();) {
            const auto chunk = text.subspan(done, std::min(chunk_max, text.size() - done));
            const auto n = static_cast<int64_t>(chunk.size());
            const MatrixView<float> should(reference_logits_.data(), n, vocabulary);
            const MatrixView<float> is(logits_.data(), n, vocabulary);
            TRY(reference_->forward(*reference_session_, chunk, LogitsWanted::kAll, should));
            TRY(runtime_->forward(*session_, chunk, LogitsWanted::kAll, is));
            for (int64_t r = 0; r < n; ++r) {
                const size_t next = done + static_cast<size_t>(r) + 1;
                if (next >= text.size()) continue;
                score.distance.add(should.row(r), is.row(r), text[next]);
                if (next < answer) continue;
                exact = exact && is_top(is.row(r), text[next]);
                reference_exact = reference_exact && is_top(should.row(r), text[next]);
            }
            done += chunk.size();
            progress(n);
        }
        if (answer < text.size()) {
            score.answers += {1, exact ? 1 : 0, reference_exact ? 1 : 0};
        }
        return {};
    }

private:
    Pair(std::unique_ptr<Runtime> reference, std::unique_ptr<Runtime> runtime)
        : reference_(std::move(reference)), runtime_(std::move(runtime)) {
        const auto values = static_cast<size_t>(runtime_->options().prefill_chunk) *
                            static_cast<size_t>(runtime_->config().vocabulary);
        reference_logits_.resize(values);
        logits_.resize(values);
    }

    std::unique_ptr<Runtime> reference_, runtime_;
    std::optional<Session> reference_session_, session_;
    std::vector<float> reference_logits_, logits_;
};

// What is compared with the reference: "cpu, avx512bf16, fp8".
std::string arithmetic_name(const RuntimeOptions& options) {
    if (options.ops != "cpu") return options.ops;
    return cat(options.ops, ", ", isa_name(options.cpu.isa), ", ",
               options.cpu.activations == Activations::kInt8 ? "int8" : "fp8");
}

// A table for people, or a line of JSON for each row.
class Report {
public:
    Report(bool json, std::string arithmetic, std::string against, Terminal& terminal)
        : json_(json),
          arithmetic_(std::move(arithmetic)),
          against_(std::move(against)),
          terminal_(terminal) {}

    void begin() {
        if (json_) return;
        terminal_.text(cat(arithmetic_, " against ", against_, "\n\n", cell("", 24), cell("texts"),
                           cell("tokens"), cell("perplexity", 12), cell("reference", 12),
                           cell("ln ratio", 12), cell("mean KL", 12), cell("top-1", 10),
                           cell("max |dlogit|", 14), cell("exact", 12), cell("reference", 12),
                           "\n"));
    }
    void row(std::string_view name, const Score& score) {
        if (json_) return line(name, score);
        const LogitDistance& d = score.distance;
        const ExactAnswers& a = score.answers;
        const auto of_asked = [&](int64_t exact) {
            return cell(a.asked == 0 ? "" : cat(exact, " of ", a.asked), 12);
        };
        std::string first(name);
        first.resize(std::max<size_t>(first.size() + 1, 24), ' ');
        terminal_.text(
            cat(first, cell(cat(score.texts)), cell(cat(d.rows())),
                cell(fixed(d.perplexity(), 4), 12), cell(fixed(d.reference_perplexity(), 4), 12),
                cell(fixed(d.log_ratio(), 6), 12), cell(fixed(d.mean_divergence(), 6), 12),
                cell(cat(fixed(100 * d.top1_equal(), 2), " %"), 10),
                cell(fixed(d.largest_difference(), 3), 14), of_asked(a.exact),
                of_asked(a.reference_exact), "\n"));
    }

private:
    void line(std::string_view name, const Score& score) {
        const LogitDistance& d = score.distance;
        Json out;
        out.set("class", name);
        out.set("arithmetic", arithmetic_);
        out.set("against", against_);
        out.set("texts", score.texts);
        out.set("tokens", d.rows());
        out.set("perplexity", d.perplexity());
        out.set("reference_perplexity", d.reference_perplexity());
        out.set("log_ratio", d.log_ratio());
        out.set("mean_divergence", d.mean_divergence());
        out.set("top1_equal", d.top1_equal());
        out.set("largest_difference", d.largest_difference());
        out.set("mean_difference", d.mean_difference());
        out.set("reference_deviation", d.reference_deviation());
        out.set("answers", score.answers.asked);
        out.set("exact", score.answers.exact);
        out.set("reference_exact", score.answers.reference_exact);
        terminal_.text(cat(out.dump(), "\n"));
    }
    static std::string cell(std::string text, size_t columns = 8) {
        text.insert(0, columns > text.size() ? columns - text.size() : 0, ' ');
        return text;
    }

    bool json_;
    std::string arithmetic_, against_;
    Terminal& terminal_;
};

// Memory for what these texts need, and for two.
ModelOptions options_for(const EvalOptions& options, const std::vector<EvalClass>& classes) {
    ModelOptions model = options.model;
    int64_t longest = 2;
    for (const EvalClass& c : classes) longest = std::max(longest, c.longest());
    model.runtime.context_max = std::min(model.runtime.context_max, longest);
    model.runtime.prefill_chunk = static_cast<int32_t>(
        std::min<int64_t>(model.runtime.prefill_chunk, model.runtime.context_max));
    // The demo model has nothing to show here, so its experts need not stream.
    const bool stream = !model.demo || model.ram_budget_bytes.has_value();
    model.ram_budget_bytes =
        stream ? expert_budget_bytes(model) / 2 : std::numeric_limits<uint64_t>::max();
    return model;
}

Status evaluate(const EvalOptions& options, Terminal& terminal) {
    if (options.model.runtime.context_max < 2) {
        return Error{ErrorCode::kInvalid,
                     "--context is 1, and a text has a token to predict from 2 on"};
    }
    const std::vector<EvalClass> classes = TRY(read_eval_classes(options.model, options.texts));
    const std::unique_ptr<Pair> pair =
        TRY(Pair::open(options_for(options, classes), options.against));
    const Runtime& runtime = pair->runtime();
    const bool two_models = !options.against.empty();
    const std::string arithmetic = arithmetic_name(runtime.options());
    Report report(
        options.json,
        two_models ? cat(options.model.directory.string(), " (", arithmetic, ")") : arithmetic,
        two_models ? options.against.string() : "the reference", terminal);
    report.begin();
    SystemClock clock;
    const int64_t begin = clock.now_ns();
    int64_t total = 0;
    for (const EvalClass& c : classes) total += c.tokens();
    int64_t done = 0;
    const auto progress = [&](int64_t tokens) {
        done += tokens;
        constexpr int64_t kSecond = 1'000'000'000;
        if (clock.now_ns() - begin > kSecond)
            terminal.progress(cat(done, " of ", total, " tokens"));
    };
    Score all;
    for (const EvalClass& c : classes) {
        Score score;
        for (size_t i = 0; i < c.texts.size(); ++i) {
            const auto parts = cut_to_context(c.texts[i], runtime.options().context_max);
            for (const auto& part : parts) {
                // An answer whose question was cut off says nothing.
                const size_t answer = parts.size() == 1 ? c.answers[i] : part.size();
                TRY(pair->score(part, answer, score, progress));
            }
            ++score.texts;
        }
        report.row(c.name, score);
        TRY(terminal.flush());
        all += score;
    }
    if (classes.size() > 1) report.row("all", all);
    return terminal.flush();
}

}  // namespace

int eval_verb(const EvalOptions& options, Terminal& terminal) {
    const Status status = evaluate(options, terminal);
    terminal.clear_progress();
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
