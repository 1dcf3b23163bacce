#include "core/text/tokenizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/random.h"
#include "core/base/strings.h"
#include "core/base/utf8.h"
#include "core/text/pre_tokenizer.h"
#include "tests/text/released_tokenizer.h"

namespace millrace::test {
namespace {

std::vector<std::string> pieces_of(std::string_view text) {
    static const UnicodeClasses classes;
    std::vector<std::string> out;
    PieceCursor cursor(classes, text);
    for (auto piece = cursor.next(); !piece.empty(); piece = cursor.next()) out.emplace_back(piece);
    return out;
}

TEST_CASE("worked examples of the released tokenizer") {
    const struct {
        std::string text;
        std::vector<TokenId> ids;
    } kCases[] = {
        {"", {}},
        {"99 bottles, 100 bottles", make_ids({1977, 35967, 14, 223, 1457, 35967})},
        {"1234", make_ids({6895, 22})},
        {"1234567890", make_ids({6895, 18009, 25744, 18})},
        {"   leading spaces", make_ids({262, 6646, 13564})},
        {"hello world  ", make_ids({33310, 2058, 262})},
        {"  \n  \n  ", make_ids({36320, 262})},
        {"\t\t x", make_ids({998, 1527})},
        {"\r\n", make_ids({204, 201})},
        {"x->y", make_ids({90, 2105, 91})},
        {"\u00A0nbsp", make_ids({2162, 28706})},
        {"\u3000ideographic space", make_ids({18524, 681, 8566, 3987})},
        {"~~~", make_ids({95548})},
        {"🙂", make_ids({80300, 227})},
        {std::string("\0\1\2", 3), make_ids({191, 192, 193})},
        {"The capital of France is", make_ids({671, 6102, 294, 8760, 344})},
        {"2026-08-12T00:00:00Z",
         make_ids({939, 24, 15, 3019, 15, 736, 54, 504, 28, 504, 28, 504, 60})},
        {"中文123英文", make_ids({21134, 6895, 21207})},
        {"漢字とかな混じり", make_ids({29069, 2024, 2495, 49534, 5764, 17580, 4553})},
        {"e\u0301", make_ids({71, 17793})},
        {"@#$%^&*", make_ids({34, 125463, 7, 64, 8, 12})},
        {"<｜DSML｜invoke name=\"f\">", make_ids({30, 128825, 40148, 5406, 2329, 1281, 72, 3320})},
        {"<think>reasoning</think>answer", make_ids({128821, 86512, 288, 128822, 19995})},
        {"Hello! 毕老师！1 + 1 = 2 ĠÑĤÐ²ÑĬÑĢ",
         make_ids({19923, 3,   223,   5464, 5008, 1175,  19,   940,   223, 19,  438,   223, 20,
                   6113,  257, 76589, 131,  100,  76032, 1628, 76589, 131, 108, 76589, 131, 98})},
        {"<｜User｜>你好<｜Assistant｜><think>推理</think>答案<｜end▁of▁sentence｜>",
         make_ids({128803, 30594, 128804, 128821, 36101, 128822, 7624, 1})},
    };
    for (const auto& [text, ids] : kCases) {
        CHECK_MESSAGE(ids_of(released_tokenizer(), text) == ids, quote_text(text));
        CHECK(*released_tokenizer().decode(ids) == text);
    }
    CHECK(ids_of(released_tokenizer(), "<｜User｜>", Specials::kPlain) ==
          make_ids({30, 28217, 6756, 28217, 32}));
}

TEST_CASE("the vocabulary can be asked") {
    const Tokenizer& tokenizer = released_tokenizer();
    CHECK(tokenizer.vocab_size() == 129280);
    CHECK(tokenizer.find_special("<｜User｜>") == TokenId{128803});
    CHECK(tokenizer.find_special("<｜latest_reminder｜>") == TokenId{128828});
    CHECK(!tokenizer.find_special("<｜nobody｜>"));
    CHECK(!tokenizer.find_special("hello"));
    CHECK(tokenizer.is_special({0}));
    CHECK(!tokenizer.is_special({3}));
    CHECK(!tokenizer.is_special({-1}));
    CHECK(tokenizer.token_bytes({223}) == " ");
    CHECK(tokenizer.token_bytes({80300}) == "\xF0\x9F\x99");
    CHECK(tokenizer.token_text({80300}) == "\uFFFD");
    CHECK(tokenizer.token_bytes({129280}).empty());
    for (const int32_t bad : {-1, 129280, 1 << 30}) {
        const auto decoded = tokenizer.decode(std::vector{TokenId{5}, TokenId{bad}});
        REQUIRE(!decoded.ok());
        CHECK(decoded.error().message.find(std::to_string(bad)) != std::string::npos);
    }
    CHECK(demo_tokenizer().vocab_size() == 4096);
}

TEST_CASE("the pieces of the patterns") {
    using Pieces = std::vector<std::string>;
    CHECK(pieces_of("").empty());
    CHECK(pieces_of("カタカナ・テスト") == Pieces{"カタカナ", "・", "テスト"});
    CHECK(pieces_of("a1234b") == Pieces{"a", "123", "4", "b"});
    CHECK(pieces_of("x  1") == Pieces{"x", "  ", "1"});
    CHECK(pieces_of("x  y") == Pieces{"x", " ", " y"});
    CHECK(pieces_of("a \n b") == Pieces{"a", " \n", " b"});
    CHECK(pieces_of(" !!\n\nx") == Pieces{" !!\n\n", "x"});
    CHECK(pieces_of(".foo1") == Pieces{".foo", "1"});
    CHECK(pieces_of("..foo") == Pieces{"..", "foo"});
    CHECK(pieces_of("\u200Bab") == Pieces{"\u200Bab"});
    CHECK(pieces_of(std::string("\0\1a", 3)) == Pieces{std::string("\0", 1), "\1a"});
    CHECK(pieces_of("\u2028\u2028x") == Pieces{"\u2028", "\u2028x"});
    CHECK(pieces_of("²Ⅻ２¾") == Pieces{"²Ⅻ２", "¾"});
}

TEST_CASE("pieces add up to the text, whatever it is") {
    Random random(7);
    for (int round = 0; round < 2000; ++round) {
        std::string text;
        for (uint64_t n = random.below(40); n > 0; --n) {
            const uint64_t kind = random.below(4);
            const auto code = static_cast<char32_t>(random.below(kind == 0   ? 0x80
                                                                 : kind == 1 ? 0x400
                                                                 : kind == 2 ? 0x10000
                                                                             : 0x110000));
            append_utf8(text, code >= 0xD800 && code < 0xE000 ? U' ' : code);
        }
        std::string joined;
        for (const std::string& piece : pieces_of(text)) {
            CHECK(first_invalid_utf8(piece) == piece.size());
            joined += piece;
        }
        CHECK(joined == text);
    }
}

// Merges by their definition: the lowest rank present, leftmost first, until none is left.
std::vector<TokenId> merge_naively(const std::vector<Bpe::Merge>& merges,
                                   std::vector<TokenId> ids) {
    while (true) {
        size_t best_rank = merges.size(), best_at = 0;
        for (size_t i = 0; i + 1 < ids.size(); ++i) {
            for (size_t rank = 0; rank < best_rank; ++rank) {
                if (merges[rank].left == ids[i] && merges[rank].right == ids[i + 1]) {
                    best_rank = rank;
                    best_at = i;
                }
            }
        }
        if (best_rank == merges.size()) return ids;
        ids[best_at] = merges[best_rank].merged;
        ids.erase(ids.begin() + static_cast<ptrdiff_t>(best_at) + 1);
    }
}

TEST_CASE("merges follow their definition for short and long pieces") {
    Random random(11);
    std::array<TokenId, 256> bytes;
    for (int i = 0; i < 256; ++i) bytes[static_cast<size_t>(i)] = {i};
    size_t compared = 0, unequal = 0;
    for (int round = 0; round < 300; ++round) {
        // Merges in any order, also such that a result has a lower rank than its parts.
        std::vector<Bpe::Merge> merges;
        std::set<std::pair<int32_t, int32_t>> pairs;
        const auto any = [&] {
            const uint64_t id = random.below(12);
            return TokenId{static_cast<int32_t>(id < 3 ? 'a' + id : 253 + id)};
        };
        for (uint64_t n = random.below(16); n > 0; --n) {
            const Bpe::Merge merge{any(), any(), any()};
            if (pairs.insert({merge.left.value, merge.right.value}).second) merges.push_back(merge);
        }
        const Bpe bpe(bytes, merges);
        for (const uint64_t size : {1 + random.below(8), 1 + random.below(64), 60 + random.below(9),
                                    65 + random.below(100)}) {
            std::string piece;
            std::vector<TokenId> start;
            for (uint64_t i = 0; i < size; ++i) {
                piece.push_back(static_cast<char>('a' + random.below(3)));
                start.push_back({piece.back()});
            }
            std::vector<TokenId> got;
            bpe.encode(piece, got);
            ++compared;
            unequal += got == merge_naively(merges, start) ? 0 : 1;
        }
    }
    MESSAGE(compared, " pieces compared, ", unequal, " unequal");
    CHECK(unequal == 0);
}

TEST_CASE("a repeated piece has the ids of its first time") {
    // More different pieces than the encoder remembers, then all of them again, in one text and one
    // by one.
    Random random(3);
    std::string text;
    std::vector<TokenId> wanted;
    for (int i = 0; i < 6000; ++i) {
        std::string word = ",";
        for (uint64_t n = 1 + random.below(1 + random.below(60)); n > 0; --n) {
            word.push_back(static_cast<char>('a' + random.below(random.below(2) == 0 ? 2 : 26)));
        }
        for (int twice = 0; twice < 2; ++twice) {
            const std::vector<TokenId> ids = ids_of(demo_tokenizer(), word);
            text += word;
            wanted.insert(wanted.end(), ids.begin(), ids.end());
        }
    }
    CHECK(ids_of(demo_tokenizer(), text) == wanted);
}

TEST_CASE("a megabyte of one kind comes back") {
    constexpr size_t kBytes = 1'000'000;
    Random random(5);
    std::string base64;
    constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    while (base64.size() < kBytes) base64.push_back(kAlphabet[random.below(64)]);
    std::string literals;
    while (literals.size() < kBytes) literals += "<｜place▁holder▁no▁";
    for (const std::string& text :
         {std::string(kBytes, 'a'), std::string(kBytes, ' '), std::string(kBytes, '\n'), base64,
          std::string(kBytes, '\0'), std::string(kBytes, '<'), literals}) {
        const auto ids = ids_of(released_tokenizer(), text);
        CHECK(ids.size() < text.size() + 1);
        CHECK(*released_tokenizer().decode(ids) == text);
    }
}

TEST_CASE("text that is not UTF-8 is refused with its place") {
    for (const std::string& bad :
         {std::string("\xFF"), std::string("\xC0\x80"), std::string("\xED\xA0\x80"),
          std::string("\xF4\x90\x80\x80"), std::string("\xE2\x82")}) {
        const auto ids = released_tokenizer().encode("abc" + bad, Specials::kPlain);
        REQUIRE(!ids.ok());
        CHECK(ids.error().code == ErrorCode::kInvalid);
        CHECK(ids.error().message.find("byte 3") != std::string::npos);
    }
}

std::vector<AddedTokens::Match> find_all(const AddedTokens& added, std::string_view text) {
    std::vector<AddedTokens::Match> out;
    added.find(text, 0, text.size(), out);
    return out;
}

TEST_CASE("added tokens: leftmost, then longest, in two passes") {
    const AddedTokens added({{{1}, "ab", false},
                             {{2}, "abc", false},
                             {{3}, "bcd", false},
                             {{4}, "xa", true},
                             {{5}, "x", true}});
    const auto ids = [&](std::string_view text) {
        std::vector<int32_t> out;
        for (const auto& match : find_all(added, text)) out.push_back(match.id.value);
        return out;
    };
    using Ids = std::vector<int32_t>;
    CHECK(ids("") == Ids{});
    CHECK(ids("abcd") == Ids{2});
    CHECK(ids("abbcd") == Ids{1, 3});
    CHECK(ids("a") == Ids{});
    // The first pass takes "ab" away before the second could see "xa".
    CHECK(ids("xab") == Ids{5, 1});
    CHECK(ids("xaxb") == Ids{4, 5});
}

TEST_CASE("a malformed tokenizer file is one sentence that names the place") {
    const std::string good = *read_text_file(
        Path(MILLRACE_SOURCE_DIR) / "assets/demo/tokenizer.json", uint64_t{1} << 24);
    REQUIRE(Tokenizer::parse(good).ok());
    const struct {
        const char *from, *to, *says;
    } kCases[] = {
        {"\"normalizers\": []", "\"normalizers\": [{\"type\": \"NFC\"}]", "normalizer"},
        {"\"truncation\": null", "\"truncation\": {}", "truncation"},
        {"\"padding\": null", "\"padding\": {}", "padding"},
        {"{1,3}", "{1,2}", "pretokenizers[0].pattern.Regex"},
        {"[一-龥", "[一-龦", "pretokenizers[1].pattern.Regex"},
        {"\\\\s+(?!\\\\S)", "\\\\s+", "pretokenizers[2].pattern.Regex"},
        {"\"Isolated\"", "\"Removed\"", "behavior"},
        {"\"invert\": false", "\"invert\": true", "invert"},
        {"\"add_prefix_space\": false", "\"add_prefix_space\": true", "add_prefix_space"},
        {"\"use_regex\": false", "\"use_regex\": true", "use_regex"},
        {"\"type\": \"BPE\"", "\"type\": \"Unigram\"", "model.type"},
        {"\"dropout\": null", "\"dropout\": 0.1", "model.dropout"},
        {"\"unk_token\": null", "\"unk_token\": \"x\"", "model.unk_token"},
        {"\"byte_fallback\": false", "\"byte_fallback\": true", "model.byte_fallback"},
        {"\"ignore_merges\": false", "\"ignore_merges\": true", "model.ignore_merges"},
        {"\"single_word\": false", "\"single_word\": true", "single_word"},
        {"\"lstrip\": false", "\"lstrip\": true", "lstrip"},
        {"\"rstrip\": false", "\"rstrip\": true", "rstrip"},
        {"\"normalized\": false", "\"normalized\": 3", "normalized"},
        {"\"content\": \"<｜▁pad▁｜>\"", "\"content\": \"\"", "must not be empty"},
        {"\"content\": \"<think>\"", "\"content\": \"</think>\"", "stands twice"},
        {"\"content\": \"<think>\"", "\"content\": 9", "content must be the token's text"},
        {"\"id\": 4051", "\"id\": 4052", "contradicts"},
        {"\"id\": 4095", "\"id\": 9999", "must be a number from 0 to 4095"},
        {"\"id\": 4095", "\"id\": -1", "must be a number from 0 to 4095"},
        {"\"id\": 4095", "\"id\": 1e3", "must be a number from 0 to 4095"},
        {"\"id\": 4095", "\"id\": 99999999999999999999", "must be a number from 0 to 4095"},
        {"\"!\": 3", "\"!\": 4", "given twice"},
        {"\"!\": 3", "\"!!\": 3", "no token for the byte 33"},
        {"\"!\": 3", "\"\\u2603\": 3", "byte-level alphabet"},
        {"\"!\": 3", "\"\": 3", "byte-level alphabet"},
        {"\"!\": 3", "\"!\": \"3\"", "the id of \"!\""},
        {"\"h e\"", "\"he\"", "model.merges[1] must be two tokens"},
        {"\"h e\"", "\"h e r\"", "model.merges[1] must be two tokens"},
        {"\"h e\"", "[\"h\"]", "model.merges[1] must be two tokens"},
        {"\"h e\"", "7", "model.merges[1] must be two tokens"},
        {"\"h e\"", "\"h ☃\"", "which model.vocab lacks"},
        {"\"h e\"", "\"Ġ Ġ\"", "model.merges[1] stands twice"},
        {"\"<｜▁pad▁｜>\"", "\"he\"", "contradicts"},
        {"\"merges\": [", "\"merges\": [\"< ｜▁pad▁｜>\", ", "which model.vocab lacks"},
        {"\"merges\": [", "\"merges\": 5, \"x\": [", "model.merges must be a list"},
        {"\"vocab\": {", "\"vocab\": 5, \"x\": {", "model.vocab must be an object"},
        {"\"added_tokens\": [", "\"added_tokens\": 5, \"x\": [", "added_tokens must be a list"},
        {"\"decoder\": {", "\"decoder\": 5, \"x\": {", "decoder must be an object"},
        {"\"version\": \"1.0\"", "\"version\": \"1.0\", \"model\": 1", "stands twice"},
        {"\"version\"", "version", "not valid JSON"},
    };
    for (const auto& [from, to, says] : kCases) {
        std::string text = good;
        const size_t at = text.find(from);
        REQUIRE_MESSAGE(at != std::string::npos, std::string(from));
        text.replace(at, std::string_view(from).size(), to);
        const auto parsed = Tokenizer::parse(text);
        REQUIRE_MESSAGE(!parsed.ok(), std::string(to));
        CHECK_MESSAGE(parsed.error().message.find(says) != std::string::npos,
                      parsed.error().message);
        CHECK(parsed.error().message.find('\n') == std::string::npos);
        CHECK(parsed.error().message.size() < 1000);
    }
}

TEST_CASE("a foreign, truncated or missing tokenizer file is refused") {
    const std::string good = *read_text_file(
        Path(MILLRACE_SOURCE_DIR) / "assets/demo/tokenizer.json", uint64_t{1} << 24);
    for (const char* text : {"", "null", "[]", "{}", "\"x\"", "{\"model\": {}}"}) {
        CHECK(!Tokenizer::parse(text).ok());
    }
    for (size_t cut = 0; cut < good.size(); cut += good.size() / 50) {
        CHECK(!Tokenizer::parse(std::string_view(good).substr(0, cut)).ok());
    }
    CHECK(Tokenizer::load("/nonexistent/tokenizer.json").error().code == ErrorCode::kNotFound);
}

TEST_CASE("merges may be pairs instead of strings") {
    std::string text = *read_text_file(Path(MILLRACE_SOURCE_DIR) / "assets/demo/tokenizer.json",
                                       uint64_t{1} << 24);
    Json root = *Json::parse(text);
    Json pairs(Json::Array{});
    for (const Json& merge : root.find("model")->find("merges")->items()) {
        const std::string& both = *merge.as_string();
        const size_t space = both.find(' ');
        pairs.push(Json(Json::Array{Json(both.substr(0, space)), Json(both.substr(space + 1))}));
    }
    Json model = *root.find("model");
    model.set("merges", std::move(pairs));
    root.set("model", std::move(model));
    const auto tokenizer = Tokenizer::parse(root.dump());
    REQUIRE_MESSAGE(tokenizer.ok(), (tokenizer.ok() ? "" : tokenizer.error().message));
    const std::string sample = "The experts stream from the drive, 1234 times.\n";
    CHECK(ids_of(*tokenizer, sample) == ids_of(demo_tokenizer(), sample));
}

}  // namespace
}  // namespace millrace::test
