#include "core/text/tokenizer.h"

#include <algorithm>

#include "core/base/strings.h"
#include "core/base/utf8.h"
#include "core/text/pre_tokenizer.h"
#include "core/text/tokenizer_file.h"

namespace millrace {
namespace {

constexpr uint64_t kFileBytesMax = uint64_t{128} << 20;
constexpr size_t kTextBytesMax = size_t{1} << 30;

// How far both texts, and whose their bytes are, begin alike.
size_t common_bytes(const MarkedText& a, const MarkedText& b) {
    const std::string &x = a.text(), &y = b.text();
    const auto most = static_cast<ptrdiff_t>(std::min(x.size(), y.size()));
    size_t same = static_cast<size_t>(std::mismatch(x.begin(), x.begin() + most, y.begin()).first -
                                      x.begin());
    const auto p = a.template_ranges(), q = b.template_ranges();
    for (size_t i = 0; i < std::max(p.size(), q.size()); ++i) {
        if (i >= p.size() || i >= q.size()) {
            return std::min(same, i < p.size() ? p[i].begin : q[i].begin);
        }
        if (p[i].begin != q[i].begin) return std::min({same, p[i].begin, q[i].begin});
        if (p[i].end != q[i].end) return std::min({same, p[i].end, q[i].end});
    }
    return same;
}

}  // namespace

Tokenizer::Tokenizer(TokenizerFile file)
    : bpe_(file.byte_tokens, file.merges),
      added_(file.added),
      token_bytes_(std::move(file.token_bytes)),
      special_(token_bytes_.size()) {
    for (AddedToken& token : file.added) {
        special_[static_cast<size_t>(token.id.value)] = true;
        special_bytes_max_ = std::max(special_bytes_max_, token.literal.size());
        special_names_.emplace_back(std::move(token.literal), token.id);
    }
    std::sort(special_names_.begin(), special_names_.end());
}

Result<Tokenizer> Tokenizer::load(const Path& tokenizer_json) {
    const std::string text = TRY(read_text_file(tokenizer_json, kFileBytesMax));
    auto tokenizer = parse(text);
    if (!tokenizer.ok()) return tokenizer.error().in(tokenizer_json.string());
    return tokenizer;
}

Result<Tokenizer> Tokenizer::parse(std::string_view tokenizer_json) {
    return Tokenizer(TRY(TokenizerFile::parse(tokenizer_json)));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, Specials specials) const {
    const MarkedText::Range whole{0, text.size()};
    if (specials == Specials::kPlain) return encode(text, std::span<const MarkedText::Range>());
    return encode(text, std::span(&whole, 1));
}

Result<std::vector<TokenId>> Tokenizer::encode(const MarkedText& text) const {
    return encode(text.text(), text.template_ranges());
}

Result<std::vector<TokenId>> Tokenizer::encode(
    std::string_view text, std::span<const MarkedText::Range> template_ranges) const {
    std::vector<TokenId> ids;
    ids.reserve(text.size() / 3 + 8);
    TRY(encode_from(0, text, template_ranges, ids, nullptr));
    return ids;
}

Status Tokenizer::encode_from(size_t from, std::string_view text,
                              std::span<const MarkedText::Range> template_ranges,
                              std::vector<TokenId>& ids,
                              std::vector<EncodedText::Cut>* cuts) const {
    if (text.size() > kTextBytesMax) {
        return Error{ErrorCode::kCapacity,
                     cat("the text has ", text.size(), " bytes, at most ", kTextBytesMax,
                         " can be tokenized at once; cut it into parts")};
    }
    if (const size_t at = from + first_invalid_utf8(text.substr(from)); at != text.size()) {
        return Error{ErrorCode::kInvalid,
                     cat("the text is not valid UTF-8: byte ", at, " (value ",
                         static_cast<int>(static_cast<unsigned char>(text[at])),
                         ") begins no character; convert it to UTF-8 first")};
    }
    std::vector<AddedTokens::Match> matches;
    for (const MarkedText::Range& range : template_ranges) {
        if (range.end > from) added_.find(text, std::max(range.begin, from), range.end, matches);
    }
    matches.push_back({text.size(), text.size(), TokenId{}});  // a sentinel ends the last run

    PieceEncoder encoder(bpe_, text, ids);
    size_t at = from;
    for (const AddedTokens::Match& match : matches) {
        PieceCursor cursor(classes_, text.substr(at, match.begin - at));
        for (auto piece = cursor.next(); !piece.empty(); piece = cursor.next()) {
            encoder.encode(piece);
        }
        if (match.end > match.begin) {
            ids.push_back(match.id);
            if (cuts != nullptr) cuts->push_back({match.end, ids.size()});
        }
        at = match.end;
    }
    return {};
}

Status Tokenizer::update(EncodedText& known, MarkedText text) const {
    // A literal is found by what stands in it and, where one is the beginning of another, right behind it.
    const size_t same = common_bytes(known.text, text);
    size_t cuts = known.cuts.size();
    while (cuts > 0 && known.cuts[cuts - 1].end + special_bytes_max_ > same) --cuts;
    const EncodedText::Cut last = cuts == 0 ? EncodedText::Cut{} : known.cuts[cuts - 1];
    std::vector<TokenId> ids;
    std::vector<EncodedText::Cut> behind;
    TRY(encode_from(last.end, text.text(), text.template_ranges(), ids, &behind));
    known.text = std::move(text);
    known.cuts.resize(cuts);
    for (const EncodedText::Cut& cut : behind) known.cuts.push_back({cut.end, last.ids + cut.ids});
    known.ids.resize(last.ids);
    known.begins.resize(last.ids);
    size_t at = last.end;
    for (const TokenId id : ids) {
        known.ids.push_back(id);
        known.begins.push_back(at);
        at += token_bytes(id).size();
    }
    return {};
}

Result<std::string> Tokenizer::decode(std::span<const TokenId> ids) const {
    std::string out;
    for (const TokenId id : ids) {
        if (id.value < 0 || id.value >= vocab_size()) {
            return Error{
                ErrorCode::kInvalid,
                cat("token id ", id.value, " is outside the vocabulary, which has the ids 0 to ",
                    vocab_size() - 1)};
        }
        out += token_bytes_[static_cast<size_t>(id.value)];
    }
    return out;
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
    if (id.value < 0 || id.value >= vocab_size()) return {};
    return token_bytes_[static_cast<size_t>(id.value)];
}

std::string Tokenizer::token_text(TokenId id) const { return repair_utf8(token_bytes(id)); }

bool Tokenizer::is_special(TokenId id) const {
    return id.value >= 0 && id.value < vocab_size() && special_[static_cast<size_t>(id.value)];
}

std::optional<TokenId> Tokenizer::find_special(std::string_view literal) const {
    const auto at = std::lower_bound(
        special_names_.begin(), special_names_.end(), literal,
        [](const auto& entry, std::string_view wanted) { return entry.first < wanted; });
    if (at == special_names_.end() || at->first != literal) return std::nullopt;
    return at->second;
}

}  // namespace millrace
