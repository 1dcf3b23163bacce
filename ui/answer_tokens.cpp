#include "ui/answer_tokens.h"

#include <algorithm>

#include "core/base/strings.h"
#include "core/base/utf8.h"

namespace millrace {
namespace {

constexpr uint32_t kNoText = UINT32_MAX;

}  // namespace

void AnswerTokens::clear() {
    runs_.clear();
    waiting_.clear();
    waiting_bytes_ = size_ = 0;
}

// An answer that begins takes the place of one that had its id: without a store ids come again.
void AnswerTokens::begin_run(MessageId message, const ModelReport& report, const Before& before) {
    waiting_.clear();
    waiting_bytes_ = 0;
    if (before.tokens == 0) {
        std::erase_if(runs_, [&](const Run& run) {
            if (run.message != message) return false;
            size_ -= run.pieces.size();
            return true;
        });
    }
    runs_.push_back(
        {message, report.request, report.position, static_cast<int64_t>(before.tokens), {}});
}

void AnswerTokens::grow(MessageId message, const ModelReport& report, const Before& before) {
    const bool goes_on =
        !runs_.empty() && runs_.back().message == message && runs_.back().request == report.request;
    if (!report.ids.empty()) {
        if (!goes_on) begin_run(message, report, before);
        for (size_t i = 0; i < report.ids.size(); ++i) {
            const std::string bytes = i < report.id_bytes.size() ? report.id_bytes[i] : "";
            waiting_.push_back({runs_.back().pieces.size(), bytes});
            waiting_bytes_ += bytes.size();
            runs_.back().pieces.push_back({kNoText, kNoText, false});
            ++size_;
        }
    } else if (!goes_on) {
        return;
    }
    if (!report.reasoning.empty()) place(report.reasoning, true, before.reasoning);
    if (!report.content.empty()) place(report.content, false, before.content);
    if (waiting_bytes_ > kWaitingMax || waiting_.size() > kWaitingMax) forget_waiting();
    while (size_ > kTokensMax) forget_oldest();
}

// What it had before stays; a token is either of the reasoning or of the content.
void AnswerTokens::extend(Piece& piece, size_t begin, size_t end, bool reasoning) {
    if (piece.begin == kNoText)
        piece = {static_cast<uint32_t>(begin), static_cast<uint32_t>(end), reasoning};
    if (piece.reasoning == reasoning) piece.end = static_cast<uint32_t>(end);
}

// `text` stands somewhere in the bytes that wait; those before it are shown nowhere, those behind it are held back.
void AnswerTokens::place(const std::string& text, bool reasoning, size_t at) {
    std::string all;
    for (const Waiting& waiting : waiting_) all += waiting.bytes;
    const size_t found = all.find(text);
    if (found == std::string::npos) return share(text, reasoning, at);
    const size_t found_end = found + text.size();
    std::vector<Waiting> rest;
    size_t begin = 0;
    for (Waiting& waiting : waiting_) {
        const size_t end = begin + waiting.bytes.size();
        Piece& piece = runs_.back().pieces[waiting.piece];
        const size_t from = std::clamp(begin, found, found_end) - found + at;
        const size_t to = std::clamp(end, found, found_end) - found + at;
        const bool waits = end > found_end;
        if (from < to || (!waits && piece.begin == kNoText)) extend(piece, from, to, reasoning);
        if (waits) {
            const size_t done = std::max(begin, found_end) - begin;
            rest.push_back({waiting.piece, waiting.bytes.substr(done)});
        }
        begin = end;
    }
    waiting_ = std::move(rest);
    waiting_bytes_ = all.size() - found_end;
}

void AnswerTokens::share(const std::string& text, bool reasoning, size_t at) {
    const bool none =
        std::ranges::all_of(waiting_, [](const Waiting& waiting) { return waiting.bytes.empty(); });
    for (const Waiting& waiting : waiting_) {
        const bool has = none || !waiting.bytes.empty();
        const size_t end = at + text.size();
        extend(runs_.back().pieces[waiting.piece], has ? at : end, end, reasoning);
    }
    waiting_.clear();
    waiting_bytes_ = 0;
}

// A call of tools, which is never shown.
void AnswerTokens::forget_waiting() {
    if (waiting_.empty()) return;
    uint32_t end = 0;
    bool reasoning = false;
    const std::vector<Piece>& pieces = runs_.back().pieces;
    if (waiting_.front().piece > 0) {
        end = pieces[waiting_.front().piece - 1].end;
        reasoning = pieces[waiting_.front().piece - 1].reasoning;
    }
    for (const Waiting& waiting : waiting_) {
        Piece& piece = runs_.back().pieces[waiting.piece];
        if (piece.begin == kNoText) piece = {end, end, reasoning};
    }
    waiting_.clear();
    waiting_bytes_ = 0;
}

void AnswerTokens::forget_oldest() {
    if (runs_.size() > 1) {
        size_ -= runs_.front().pieces.size();
        runs_.pop_front();
        return;
    }
    forget_waiting();
    Run& run = runs_.front();
    const size_t half = run.pieces.size() / 2;
    run.pieces.erase(run.pieces.begin(), run.pieces.begin() + static_cast<ptrdiff_t>(half));
    run.position += static_cast<int64_t>(half);
    run.index += static_cast<int64_t>(half);
    size_ -= half;
}

AnswerToken AnswerTokens::token_of(const Run& run, size_t piece) {
    const Piece& at = run.pieces[piece];
    const bool none = at.begin == kNoText;
    return {.message = run.message,
            .request = run.request,
            .position = run.position + static_cast<int64_t>(piece),
            .index = run.index + static_cast<int64_t>(piece),
            .reasoning = at.reasoning,
            .begin = none ? 0 : at.begin,
            .end = none ? 0 : at.end};
}

std::optional<AnswerToken> AnswerTokens::at(MessageId message, bool reasoning, size_t begin,
                                            size_t end, float along) const {
    for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
        if (run->message != message) continue;
        // Reasoning comes before the content, and each is in the order of its bytes.
        const auto first =
            std::partition_point(run->pieces.begin(), run->pieces.end(), [&](const Piece& piece) {
                if (piece.begin == kNoText) return false;
                return piece.reasoning != reasoning ? piece.reasoning : piece.end <= begin;
            });
        std::vector<size_t> those;
        for (auto at = first; at != run->pieces.end(); ++at) {
            if (at->reasoning != reasoning || at->begin >= end) break;
            if (at->begin < at->end) those.push_back(static_cast<size_t>(at - run->pieces.begin()));
        }
        if (those.empty()) continue;
        const auto chosen =
            static_cast<size_t>(std::clamp(along, 0.F, 1.F) * static_cast<float>(those.size()));
        return token_of(*run, those[std::min(chosen, those.size() - 1)]);
    }
    return std::nullopt;
}

std::optional<AnswerToken> AnswerTokens::at_step(uint64_t request, int64_t position) const {
    for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
        if (run->request != request || position < run->position) continue;
        const auto piece = static_cast<size_t>(position - run->position);
        if (piece < run->pieces.size()) return token_of(*run, piece);
    }
    return std::nullopt;
}

std::string token_text(const AnswerToken& token, const std::string& source) {
    const size_t size = source.size();
    size_t begin = std::min(token.begin, size), end = std::min(token.end, size);
    if (begin == end) return "nothing that is shown";
    const auto inside = [&](size_t at) {
        return at < size && (static_cast<unsigned char>(source[at]) & 0xC0) == 0x80;
    };
    const bool part = inside(begin) || inside(end);
    while (begin > 0 && inside(begin)) --begin;
    while (inside(end)) ++end;
    constexpr size_t kShownMax = 40;  // characters
    std::string shown;
    size_t count = 0;
    for (std::string_view rest = std::string_view(source).substr(begin, end - begin);
         !rest.empty();) {
        if (++count > kShownMax) {
            shown += "…";
            break;
        }
        const Utf8Char one = decode_utf8(rest);
        if (one.code == U'\n') {
            shown += "↵";
        } else if (one.code == U'\t') {
            shown += "→";
        } else {
            shown += rest.substr(0, one.bytes);
        }
        rest.remove_prefix(one.bytes);
    }
    return cat(part ? "part of “" : "“", shown, "”");
}

}  // namespace millrace
