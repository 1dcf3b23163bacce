#include "core/text/tokenizer_file.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "core/base/json.h"
#include "core/base/strings.h"
#include "core/base/utf8.h"
#include "core/text/pre_tokenizer.h"

namespace millrace {
namespace {

Error bad(std::string_view sentence) {
    return {ErrorCode::kCorrupt,
            cat(sentence, "; take tokenizer.json from the model's own checkpoint")};
}

// What stands there, short enough for a sentence.
std::string found(const Json* value) {
    if (value == nullptr) return "nothing";
    if (value->is_string()) return quote_text(*value->as_string());
    if (value->is_number()) return quote_text(value->spelling());
    if (value->is_bool()) return *value->as_bool() ? "true" : "false";
    return std::string(value->kind_name());
}

Result<const Json*> member(const Json& object, std::string_view name, std::string_view where,
                           Json::Kind kind, std::string_view wanted) {
    const Json* value = object.find(name);
    if (value == nullptr || value->kind() != kind) {
        return bad(cat(where, name, " must be ", wanted, ", found ", found(value)));
    }
    return value;
}

Status want_text(const Json& object, std::string_view name, std::string_view wanted,
                 std::string_view where) {
    const Json* value = object.find(name);
    if (value == nullptr || !value->is_string() || *value->as_string() != wanted) {
        return Error{ErrorCode::kUnsupported,
                     cat(where, name, " must be ", quote_text(wanted, 240), ", found ",
                         found(value), "; only the pipeline of DeepSeek-V4 is supported")};
    }
    return {};
}

Status want_bool(const Json& object, std::string_view name, bool wanted, std::string_view where) {
    const Json* value = object.find(name);
    if (value == nullptr || value->as_bool() != wanted) {
        return Error{ErrorCode::kUnsupported,
                     cat(where, name, " must be ", wanted ? "true" : "false", ", found ",
                         found(value), "; only the pipeline of DeepSeek-V4 is supported")};
    }
    return {};
}

// Absent, null or (where `also` is given) that value.
Status want_off(const Json& object, std::string_view name, std::string_view where,
                std::optional<bool> also = std::nullopt) {
    const Json* value = object.find(name);
    const bool off = value == nullptr || value->is_null() || (also && value->as_bool() == *also);
    if (off) return {};
    return Error{ErrorCode::kUnsupported,
                 cat(where, name, " must be off (null), found ", found(value),
                     "; only the pipeline of DeepSeek-V4 is supported")};
}

Status check_normalizer(const Json& root) {
    const Json* normalizer = root.find("normalizer");
    if (normalizer == nullptr || normalizer->is_null()) return {};
    TRY(want_text(*normalizer, "type", "Sequence", "normalizer."));
    const Json* steps = normalizer->find("normalizers");
    if (steps == nullptr || !steps->is_array() || !steps->items().empty()) {
        return Error{ErrorCode::kUnsupported,
                     "normalizer.normalizers must be an empty list, because text is encoded "
                     "unchanged; only the pipeline of DeepSeek-V4 is supported"};
    }
    return {};
}

Status check_split(const Json& split, size_t index) {
    const std::string where = cat("pre_tokenizer.pretokenizers[", index, "].");
    TRY(want_text(split, "type", "Split", where));
    const Json* pattern =
        TRY(member(split, "pattern", where, Json::Kind::kObject, "an object with a Regex"));
    TRY(want_text(*pattern, "Regex", kSplitPatterns[index], where + "pattern."));
    TRY(want_text(split, "behavior", "Isolated", where));
    return want_bool(split, "invert", false, where);
}

Status check_pre_tokenizer(const Json& root) {
    const Json* pre = TRY(member(root, "pre_tokenizer", "", Json::Kind::kObject, "an object"));
    TRY(want_text(*pre, "type", "Sequence", "pre_tokenizer."));
    const Json* steps = TRY(member(*pre, "pretokenizers", "pre_tokenizer.", Json::Kind::kArray,
                                   "a list of three Splits and a ByteLevel"));
    if (steps->items().size() != 4) {
        return Error{
            ErrorCode::kUnsupported,
            cat("pre_tokenizer.pretokenizers must be three Splits and a ByteLevel, found ",
                steps->items().size(), " entries; only the pipeline of DeepSeek-V4 is supported")};
    }
    for (size_t i = 0; i < 3; ++i) TRY(check_split(steps->items()[i], i));
    const std::string where = "pre_tokenizer.pretokenizers[3].";
    TRY(want_text(steps->items()[3], "type", "ByteLevel", where));
    TRY(want_bool(steps->items()[3], "add_prefix_space", false, where));
    return want_bool(steps->items()[3], "use_regex", false, where);
}

Status check_pipeline(const Json& root) {
    TRY(want_off(root, "truncation", ""));
    TRY(want_off(root, "padding", ""));
    TRY(check_normalizer(root));
    TRY(check_pre_tokenizer(root));
    // A ByteLevel post-processor only moves offsets; any other would add tokens.
    if (const Json* post = root.find("post_processor"); post != nullptr && !post->is_null()) {
        TRY(want_text(*post, "type", "ByteLevel", "post_processor."));
    }
    const Json* decoder = TRY(member(root, "decoder", "", Json::Kind::kObject, "an object"));
    TRY(want_text(*decoder, "type", "ByteLevel", "decoder."));
    const Json* model = TRY(member(root, "model", "", Json::Kind::kObject, "an object"));
    TRY(want_text(*model, "type", "BPE", "model."));
    TRY(want_off(*model, "dropout", "model."));
    TRY(want_off(*model, "unk_token", "model."));
    for (const std::string_view affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
        const Json* value = model->find(affix);
        const bool empty = value != nullptr && value->is_string() && value->as_string()->empty();
        if (!empty) TRY(want_off(*model, affix, "model."));
    }
    TRY(want_off(*model, "byte_fallback", "model.", false));
    return want_off(*model, "ignore_merges", "model.", false);
}

// GPT-2's alphabet: a printable byte is spelled by the character of its number, the other 68, in
// ascending order, by U+0100…U+0143.
class ByteAlphabet {
public:
    ByteAlphabet() {
        char32_t next = 0x100;
        for (uint32_t byte = 0; byte < 256; ++byte) {
            const bool printable =
                (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
            byte_of_[printable ? char32_t{byte} : next++] = static_cast<char>(byte);
        }
    }

    // Absent if a character is not of the alphabet.
    [[nodiscard]] std::optional<std::string> bytes_of(std::string_view spelled) const {
        std::string bytes;
        while (!spelled.empty()) {
            const Utf8Char c = decode_utf8(spelled);
            if (!c.valid || c.code >= byte_of_.size()) return std::nullopt;
            const std::optional<char> byte = byte_of_[c.code];
            if (!byte) return std::nullopt;
            bytes.push_back(*byte);
            spelled.remove_prefix(c.bytes);
        }
        return bytes;
    }

private:
    std::array<std::optional<char>, 0x144> byte_of_{};
};

using Ids = std::unordered_map<std::string_view, TokenId>;

struct Builder {
    TokenizerFile file;
    Ids ids;                  // the model's vocabulary by spelling
    std::vector<bool> taken;  // by id
    std::vector<bool> added;  // by id

    Status add_vocabulary(const Json& vocabulary);
    Status add_literals(const Json& list);
    Status spell_vocabulary();
    Status add_merges(const Json& list);
};

// `count` tokens share the ids 0 … count−1.
Result<TokenId> read_id(const Json* value, size_t count, std::string_view whose) {
    const std::optional<int64_t> id = value == nullptr ? std::nullopt : value->as_int();
    if (!id || *id < 0 || static_cast<uint64_t>(*id) >= count) {
        return bad(cat("the id of ", whose, " must be a number from 0 to ", count - 1, ", found ",
                       found(value)));
    }
    return TokenId{static_cast<int32_t>(*id)};
}

Status Builder::add_vocabulary(const Json& vocabulary) {
    ids.reserve(vocabulary.members().size());
    for (const auto& [spelled, value] : vocabulary.members()) {
        const TokenId id = TRY(read_id(&value, taken.size(), quote_text(spelled)));
        const auto index = static_cast<size_t>(id.value);
        if (taken[index]) return bad(cat("token id ", id.value, " is given twice in model.vocab"));
        taken[index] = true;
        ids.emplace(spelled, id);
    }
    return {};
}

Status Builder::add_literals(const Json& list) {
    std::unordered_set<std::string_view> seen;
    for (size_t i = 0; i < list.items().size(); ++i) {
        const Json& entry = list.items()[i];
        const std::string where = cat("added_tokens[", i, "].");
        const Json* content =
            TRY(member(entry, "content", where, Json::Kind::kString, "the token's text"));
        const std::string& literal = *content->as_string();
        if (literal.empty()) return bad(where + "content must not be empty");
        if (!seen.insert(literal).second) {
            return bad(cat(where, "content ", quote_text(literal), " stands twice"));
        }
        const TokenId id = TRY(read_id(entry.find("id"), taken.size(), quote_text(literal)));
        const auto index = static_cast<size_t>(id.value);
        const auto known = ids.find(literal);
        const bool in_model = known != ids.end();
        if (in_model ? known->second != id : bool{taken[index]}) {
            return bad(cat(where, "id ", id.value, " of ", quote_text(literal),
                           " contradicts model.vocab or another added token"));
        }
        taken[index] = true;
        added[index] = true;
        for (const std::string_view flag : {"single_word", "lstrip", "rstrip"}) {
            TRY(want_off(entry, flag, where, false));
        }
        const Json* normalized =
            TRY(member(entry, "normalized", where, Json::Kind::kBool, "true or false"));
        file.token_bytes[index] = literal;
        file.added.push_back({id, literal, *normalized->as_bool()});
    }
    const auto hole = std::find(taken.begin(), taken.end(), false);
    if (hole != taken.end()) {
        return bad(cat("token id ", hole - taken.begin(), " is missing: ", taken.size(),
                       " tokens must have the ids 0 to ", taken.size() - 1));
    }
    return {};
}

Status Builder::spell_vocabulary() {
    const ByteAlphabet alphabet;
    std::array<bool, 256> present{};
    for (const auto& [spelled, id] : ids) {
        std::string& bytes = file.token_bytes[static_cast<size_t>(id.value)];
        if (!bytes.empty()) continue;  // an added token is spelled as it is
        std::optional<std::string> known = alphabet.bytes_of(spelled);
        if (!known || known->empty()) {
            return bad(cat("the token ", quote_text(spelled),
                           " of model.vocab is not written in the byte-level alphabet"));
        }
        bytes = std::move(*known);
        if (bytes.size() != 1) continue;
        const auto byte = static_cast<unsigned char>(bytes[0]);
        present[byte] = true;
        file.byte_tokens[byte] = id;
    }
    const auto hole = std::find(present.begin(), present.end(), false);
    if (hole != present.end()) {
        return bad(cat("model.vocab has no token for the byte ", hole - present.begin(),
                       ", but all 256 are needed"));
    }
    return {};
}

// The two halves of `"a b"` or `["a", "b"]`.
Result<std::pair<std::string_view, std::string_view>> halves(const Json& merge,
                                                             const std::string& where) {
    const auto wanted = [&] {
        return bad(
            cat(where, " must be two tokens, as \"a b\" or [\"a\", \"b\"], found ", found(&merge)));
    };
    if (const std::string* text = merge.as_string()) {
        const size_t space = text->find(' ');
        if (space == std::string::npos || text->find(' ', space + 1) != std::string::npos) {
            return wanted();
        }
        const std::string_view whole = *text;
        return std::pair{whole.substr(0, space), whole.substr(space + 1)};
    }
    const Json::Array& items = merge.items();
    if (items.size() != 2 || !items[0].is_string() || !items[1].is_string()) return wanted();
    return std::pair{std::string_view(*items[0].as_string()),
                     std::string_view(*items[1].as_string())};
}

Status Builder::add_merges(const Json& list) {
    std::unordered_set<uint64_t> seen;
    seen.reserve(list.items().size());
    file.merges.reserve(list.items().size());
    std::string both;
    for (size_t i = 0; i < list.items().size(); ++i) {
        const std::string where = cat("model.merges[", i, "]");
        const auto [left, right] = TRY(halves(list.items()[i], where));
        both.assign(left).append(right);
        std::array<TokenId, 3> parts;
        const std::array<std::string_view, 3> spelled = {left, right, both};
        for (size_t k = 0; k < parts.size(); ++k) {
            const auto at = ids.find(spelled[k]);
            if (at == ids.end()) {
                return bad(cat(where, " needs the token ", quote_text(spelled[k]),
                               ", which model.vocab lacks"));
            }
            parts[k] = at->second;
            if (added[static_cast<size_t>(parts[k].value)]) {
                return bad(cat(where, " makes or uses the added token ", quote_text(spelled[k]),
                               ", but those never take part in merges"));
            }
        }
        const uint64_t pair = uint64_t{static_cast<uint32_t>(parts[0].value)} << 32 |
                              static_cast<uint32_t>(parts[1].value);
        if (!seen.insert(pair).second) return bad(where + " stands twice");
        file.merges.push_back({parts[0], parts[1], parts[2]});
    }
    return {};
}

}  // namespace

Result<TokenizerFile> TokenizerFile::parse(std::string_view text) {
    auto parsed = Json::parse_unique(text);
    if (!parsed.ok()) return bad(parsed.error().message);
    const Json& root = *parsed;
    if (!root.is_object()) return bad(cat("the file must be an object, found ", found(&root)));
    TRY(check_pipeline(root));
    const Json& model = *root.find("model");
    const Json* vocabulary =
        TRY(member(model, "vocab", "model.", Json::Kind::kObject, "an object of tokens and ids"));
    const Json* merges =
        TRY(member(model, "merges", "model.", Json::Kind::kArray, "a list of merges"));
    const Json* added =
        TRY(member(root, "added_tokens", "", Json::Kind::kArray, "a list of added tokens"));

    // Added tokens may repeat entries of the model; whatever is left over makes the ids not dense
    // and is refused.
    size_t count = vocabulary->members().size();
    std::unordered_set<std::string_view> names;
    for (const auto& [name, id] : vocabulary->members()) names.insert(name);
    for (const Json& entry : added->items()) {
        const Json* content = entry.find("content");
        const std::string* literal = content == nullptr ? nullptr : content->as_string();
        if (literal != nullptr && !names.contains(*literal)) ++count;
    }
    if (count == 0) return bad("model.vocab is empty");
    Builder builder;
    builder.taken.resize(count);
    builder.added.resize(count);
    builder.file.token_bytes.resize(count);
    TRY(builder.add_vocabulary(*vocabulary));
    TRY(builder.add_literals(*added));
    TRY(builder.spell_vocabulary());
    TRY(builder.add_merges(*merges));
    return std::move(builder.file);
}

}  // namespace millrace
