#pragma once
// Reads tokenizer.json and takes nothing for granted: every stage of the pipeline must be the one
// this program implements, every id must be given once, every merge must name tokens that exist.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/base/types.h"
#include "core/text/added_tokens.h"
#include "core/text/bpe.h"

namespace millrace {

struct TokenizerFile {
    std::vector<std::string> token_bytes;  // by id; ids are dense
    std::array<TokenId, 256> byte_tokens;
    std::vector<Bpe::Merge> merges;  // by rank; no pair twice
    std::vector<AddedToken> added;

    [[nodiscard]] static Result<TokenizerFile> parse(std::string_view text);
};

}  // namespace millrace
