#pragma once
// A tokenizer.json of the right pipeline, small enough to read: 256 bytes, a few merges, the
// special tokens of a chat.

#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/strings.h"
#include "core/base/utf8.h"
#include "core/text/pre_tokenizer.h"

namespace millrace::test {

inline Json tiny_split(std::string_view regex) {
    return Json::Object{{"type", "Split"},
                        {"pattern", Json::Object{{"Regex", Json(regex)}}},
                        {"behavior", "Isolated"},
                        {"invert", false}};
}

inline std::string tiny_tokenizer_json() {
    Json vocab{Json::Object{}};
    int next = 0;
    char32_t other = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
        const bool printable =
            (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        std::string spelled;
        append_utf8(spelled, printable ? byte : other++);
        vocab.set(spelled, next++);
    }
    Json merges{Json::Array{}};
    for (const std::string_view merge : {"Ġ Ġ", "a b", "ab c", "Ġ ab", "b a", "t h", "th e"}) {
        const size_t space = merge.find(' ');
        vocab.set(cat(merge.substr(0, space), merge.substr(space + 1)), next++);
        merges.push(Json(merge));
    }
    Json added{Json::Array{}};
    for (const std::string_view literal :
         {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>",
          "<think>", "</think>", "｜DSML｜", "<｜latest_reminder｜>", "<dsml:"}) {
        added.push(Json::Object{{"id", next++},
                                {"content", Json(literal)},
                                {"single_word", false},
                                {"lstrip", false},
                                {"rstrip", false},
                                {"normalized", literal.starts_with("<｜") ? false : true},
                                {"special", true}});
    }
    Json::Array steps;
    for (const std::string_view pattern : kSplitPatterns) steps.push_back(tiny_split(pattern));
    steps.push_back(Json::Object{{"type", "ByteLevel"},
                                 {"add_prefix_space", false},
                                 {"trim_offsets", true},
                                 {"use_regex", false}});
    const Json root = Json::Object{
        {"version", "1.0"},
        {"added_tokens", std::move(added)},
        {"normalizer", Json()},
        {"pre_tokenizer", Json::Object{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}}},
        {"decoder", Json::Object{{"type", "ByteLevel"}}},
        {"model",
         Json::Object{{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", std::move(merges)}}},
    };
    return root.dump();
}

}  // namespace millrace::test
