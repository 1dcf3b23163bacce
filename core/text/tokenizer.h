#pragma once
// Text ↔ token ids, as the tokenizer.json of DeepSeek-V4 says (and any other file with the same
// pipeline): added tokens, pre-tokenizer, byte-pair merges. Linear time up to the logarithm of the
// longest piece; about a gigabyte of text at most. Immutable once loaded: any thread may use it,
// and no call waits for another.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"
#include "core/base/types.h"
#include "core/text/added_tokens.h"
#include "core/text/bpe.h"
#include "core/text/marked_text.h"
#include "core/text/unicode_classes.h"

namespace millrace {

struct TokenizerFile;

// A text with its ids, for one that changes mostly at its end: Tokenizer::update.
struct EncodedText {
    struct Cut {
        size_t end = 0;  // of a special token in the text
        size_t ids = 0;  // so many up to there
    };
    MarkedText text;
    std::vector<TokenId> ids;
    std::vector<size_t> begins;  // of each id's bytes in the text
    std::vector<Cut> cuts;       // behind each special token
};

// Whether literals such as `<｜User｜>` in the text become special tokens (as the reference library
// does) or stay the ordinary characters they are.
enum class Specials { kRecognise, kPlain };

class Tokenizer {
public:
    // A file that is not this pipeline, or contradicts itself, is refused with a sentence that says
    // where.
    [[nodiscard]] static Result<Tokenizer> load(const Path& tokenizer_json);
    [[nodiscard]] static Result<Tokenizer> parse(std::string_view tokenizer_json);

    // kInvalid if the text is not UTF-8, kCapacity above a gigabyte.
    [[nodiscard]] Result<std::vector<TokenId>> encode(std::string_view text,
                                                      Specials specials) const;
    // Special tokens come only from inside a template range. Pieces and merges run over the whole
    // text, so that a prompt whose content spells no special token has the ids of the reference
    // library.
    [[nodiscard]] Result<std::vector<TokenId>> encode(const MarkedText& text) const;

    // Makes `known` the ids of `text`, as `encode` would give them. Up to the last special token of what both texts begin
    // with nothing is encoded again. On an error `known` is what it was.
    [[nodiscard]] Status update(EncodedText& known, MarkedText text) const;

    // The bytes of the tokens, one after another; kInvalid names an id outside the vocabulary.
    [[nodiscard]] Result<std::string> decode(std::span<const TokenId> ids) const;

    // 1 + the highest id.
    [[nodiscard]] int32_t vocab_size() const { return static_cast<int32_t>(token_bytes_.size()); }
    // May be part of a character; empty for an id outside the vocabulary.
    [[nodiscard]] std::string_view token_bytes(TokenId id) const;
    // The same for people: broken characters become U+FFFD.
    [[nodiscard]] std::string token_text(TokenId id) const;
    [[nodiscard]] bool is_special(TokenId id) const;
    // The added token that is written like this.
    [[nodiscard]] std::optional<TokenId> find_special(std::string_view literal) const;

private:
    explicit Tokenizer(TokenizerFile file);
    [[nodiscard]] Result<std::vector<TokenId>> encode(
        std::string_view text, std::span<const MarkedText::Range> template_ranges) const;
    // Appends the ids of text[from, …): `from` is 0 or the end of a special token.
    [[nodiscard]] Status encode_from(size_t from, std::string_view text,
                                     std::span<const MarkedText::Range> template_ranges,
                                     std::vector<TokenId>& ids,
                                     std::vector<EncodedText::Cut>* cuts) const;

    UnicodeClasses classes_;
    Bpe bpe_;
    AddedTokens added_;
    std::vector<std::string> token_bytes_;                        // by id
    std::vector<std::pair<std::string, TokenId>> special_names_;  // sorted
    std::vector<bool> special_;                                   // by id
    size_t special_bytes_max_ = 0;                                // of the longest literal
};

}  // namespace millrace
