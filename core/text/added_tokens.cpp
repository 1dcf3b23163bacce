#include "core/text/added_tokens.h"

#include <algorithm>

#include "core/base/check.h"

namespace millrace {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) {
    for (AddedToken& token : tokens) {
        ENSURE(!token.literal.empty());
        passes_[token.normalized ? 1 : 0].sorted.push_back(std::move(token));
    }
    for (Pass& pass : passes_) pass.prepare();
}

void AddedTokens::Pass::prepare() {
    std::sort(sorted.begin(), sorted.end(),
              [](const AddedToken& a, const AddedToken& b) { return a.literal < b.literal; });
    for (const AddedToken& token : sorted) {
        first_byte[static_cast<unsigned char>(token.literal[0])] = true;
    }
}

const AddedToken* AddedTokens::Pass::longest_at(std::string_view text) const {
    const AddedToken* longest = nullptr;
    auto low = sorted.begin(), high = sorted.end();  // those that agree with the text so far
    for (size_t depth = 0; low != high; ++depth) {
        if (low->literal.size() == depth) longest = &*low++;
        if (depth == text.size()) break;
        const char wanted = text[depth];
        const auto byte = [depth](const AddedToken& token) {
            return static_cast<unsigned char>(token.literal[depth]);
        };
        const auto value = static_cast<unsigned char>(wanted);
        low = std::partition_point(low, high, [&](const AddedToken& t) { return byte(t) < value; });
        high =
            std::partition_point(low, high, [&](const AddedToken& t) { return byte(t) == value; });
    }
    return longest;
}

void AddedTokens::Pass::find(std::string_view text, size_t begin, size_t end,
                             std::vector<Match>& out) const {
    size_t at = begin;
    while (at < end) {
        if (!first_byte[static_cast<unsigned char>(text[at])]) {
            ++at;
            continue;
        }
        const AddedToken* token = longest_at(text.substr(at, end - at));
        if (token == nullptr) {
            ++at;
            continue;
        }
        out.push_back({at, at + token->literal.size(), token->id});
        at += token->literal.size();
    }
}

void AddedTokens::find(std::string_view text, size_t begin, size_t end,
                       std::vector<Match>& out) const {
    std::vector<Match> first;
    passes_[0].find(text, begin, end, first);
    size_t at = begin;
    for (const Match& match : first) {
        passes_[1].find(text, at, match.begin, out);
        out.push_back(match);
        at = match.end;
    }
    passes_[1].find(text, at, end, out);
}

}  // namespace millrace
