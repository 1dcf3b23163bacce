#include "core/text/stream_filter.h"

#include <doctest/doctest.h>

#include "core/base/random.h"
#include "core/base/strings.h"
#include "core/base/utf8.h"
#include "tests/text/released_tokenizer.h"

namespace millrace::test {
namespace {

struct Outcome {
    std::string reasoning{}, answer{};
    std::vector<std::string> calls{};  // "name arguments"
    bool stopped = false, done = false, call_open = false;
    bool operator==(const Outcome&) const = default;
};

std::string show(const Outcome& outcome) {
    std::string out = cat("reasoning ", quote_text(outcome.reasoning, 300), ", answer ",
                          quote_text(outcome.answer, 300));
    for (const std::string& call : outcome.calls) out += ", call " + quote_text(call, 300);
    return cat(out, outcome.stopped ? ", stopped" : "", outcome.call_open ? ", open" : "");
}

StreamFilter make_filter(const StreamOptions& options) {
    auto filter = StreamFilter::create(demo_tokenizer(), options);
    REQUIRE(filter.ok());
    return *std::move(filter);
}

Outcome gather(const StreamFilter& filter, const std::vector<StreamPart>& parts) {
    Outcome out;
    for (const StreamPart& part : parts) {
        // Whatever comes out, whenever, is whole characters.
        CHECK(first_invalid_utf8(part.text) == part.text.size());
        switch (part.kind) {
            case StreamPart::Kind::kReasoning: out.reasoning += part.text; break;
            case StreamPart::Kind::kAnswer: out.answer += part.text; break;
            case StreamPart::Kind::kToolCall:
                CHECK(Json::parse(part.call.arguments).ok());
                out.calls.push_back(cat(part.call.name, " ", part.call.arguments));
                break;
        }
    }
    out.stopped = filter.stopped();
    out.done = filter.done();
    out.call_open = filter.call_open();
    CHECK(filter.calls() == out.calls.size());
    return out;
}

// Feeds `bytes` in portions of the sizes that `size` returns; every feed appends to a fresh list,
// as a server would.
template <class Size>
Outcome run_cut(std::string_view bytes, const StreamOptions& options, Size size) {
    StreamFilter filter = make_filter(options);
    std::vector<StreamPart> all;
    while (!bytes.empty()) {
        const size_t count = std::min<size_t>(size(), bytes.size());
        std::vector<StreamPart> some;
        filter.feed(bytes.substr(0, count), some);
        all.insert(all.end(), some.begin(), some.end());
        bytes.remove_prefix(count);
    }
    filter.finish(all);
    return gather(filter, all);
}

Outcome run(std::string_view bytes, const StreamOptions& options = {}) {
    return run_cut(bytes, options, [&] { return bytes.size(); });
}

Outcome run_tokens(const std::vector<TokenId>& ids, const StreamOptions& options) {
    StreamFilter filter = make_filter(options);
    std::vector<StreamPart> all;
    for (const TokenId id : ids) filter.feed(id, all);
    filter.finish(all);
    return gather(filter, all);
}

constexpr StreamOptions kThink{.start = StreamStart::kReasoning};

TEST_CASE("reasoning and answer are taken apart") {
    CHECK(run("\nfirst\n\nthen\n</think>\n\nThe answer.\n", kThink) ==
          Outcome{.reasoning = "first\n\nthen", .answer = "The answer.\n"});
    CHECK(run("just an answer") == Outcome{.answer = "just an answer"});
    CHECK(run("</think></think>\n\nHi</think> there") == Outcome{.answer = "Hi there"});
    CHECK(run("never closed\n", kThink) == Outcome{.reasoning = "never closed\n"});
    CHECK(run("") == Outcome{});
    CHECK(run("a < b, </thinking>, <｜DSM and <br") ==
          Outcome{.answer = "a < b, </thinking>, <｜DSM and <br"});
}

TEST_CASE("tool calls") {
    const std::string block =
        "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get_weather\">\n"
        "<｜DSML｜parameter name=\"city\" string=\"true\">Bei \"j\" <b>\n</｜DSML｜parameter>\n"
        "<｜DSML｜parameter name=\"days\" string=\"false\">[1, 2.50]</｜DSML｜parameter>\n"
        "</｜DSML｜invoke>\n<｜DSML｜invoke name=\"now\">\n\n</｜DSML｜invoke>\n"
        "</｜DSML｜tool_calls>";
    const std::vector<std::string> calls = {
        R"(get_weather {"city": "Bei \"j\" <b>\n", "days": [1, 2.50]})", "now {}"};
    CHECK(run("Let me see." + block + "discarded") ==
          Outcome{.answer = "Let me see.", .calls = calls, .done = true});
    // The model forgot </think>.
    CHECK(run("I need the weather." + block, kThink) ==
          Outcome{.reasoning = "I need the weather.", .calls = calls, .done = true});
    // The prompt ended inside the block.
    CHECK(run(block.substr(block.find('>') + 1), {.start = StreamStart::kToolBlock}) ==
          Outcome{.calls = calls, .done = true});
    // A block that does not close: what is complete counts, the rest is dropped.
    const size_t second = block.find("<｜DSML｜invoke name=\"now");
    CHECK(run(block.substr(0, second + 40)) == Outcome{.calls = {calls[0]}, .call_open = true});
    CHECK(run("x\n<｜DSML｜tool_calls></｜DSML｜tool_calls>") ==
          Outcome{.answer = "x", .done = true});
}

TEST_CASE("what models get wrong in tool calls") {
    const auto calls = [](std::string_view inside) {
        return run(cat("<｜DSML｜tool_calls>\n", inside, "\n</｜DSML｜tool_calls>")).calls;
    };
    using Calls = std::vector<std::string>;
    const std::string open =
        "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" string=\"true\">";
    const Calls wanted = {R"(f {"a": "x"})"};
    CHECK(calls(open + "x</｜DSML｜parameter>\n</｜DSML｜invoke>") == wanted);
    CHECK(calls(open + "x</｜｜DSML｜｜parameter>\n</｜｜DSML｜｜invoke>") == wanted);
    CHECK(calls(open + "x</DSML｜parameter>\n</DSML｜invoke>") == wanted);
    CHECK(calls(open + "x</｜DSML｜ parameter>\n</｜DSML｜ invoke>") == wanted);
    CHECK(calls(open + "x</｜DSML｜>\n</｜DSML｜>") == wanted);
    CHECK(calls(open + "x</｜DSML｜parameter\n</｜DSML｜invoke") == wanted);
    CHECK(calls(open + "x</parameter>\n</｜DSML｜invoke>") == wanted);
    CHECK(calls(open + "x\n</｜DSML｜invoke>") == wanted);
    CHECK(calls(open + "x</｜DSML｜parameter>\n</invoke>") == wanted);
    CHECK(calls(open + "x</｜DSML｜parameter>") == wanted);
    CHECK(calls(open + "x") == wanted);
    CHECK(calls("<invoke name=\"f\"><parameter name=\"a\">x</parameter></invoke>") == wanted);
    CHECK(
        calls("noise <｜DSML｜invoke name=\"f\" <｜DSML｜parameter name=\"a\">x</｜DSML｜parameter>"
              "noise</｜DSML｜invoke>") == wanted);
    CHECK(calls("<｜DSML｜invoke name=\"f\">\n {\"a\": \"x\"}\n</｜DSML｜invoke>") ==
          Calls{R"(f {"a": "x"})"});
    // A call without the block around it.
    CHECK(run("so:\n" + open + "x</｜DSML｜parameter></｜DSML｜invoke>") ==
          Outcome{.answer = "so:", .calls = wanted});
    // XML inside a proper parameter is the person's business.
    CHECK(calls(open +
                "<a></parameter></invoke></tool_calls></｜DSML｜parameter></｜DSML｜invoke>") ==
          Calls{R"(f {"a": "<a></parameter></invoke></tool_calls>"})"});
    // Broken JSON stays text; a repeated name keeps its place and takes the last value.
    const std::string number = "<｜DSML｜parameter name=\"n\" string=\"false\">";
    const std::string end = "</｜DSML｜parameter>";
    CHECK(calls("<｜DSML｜invoke name=\"f\">" + number + "{oops" + end + "</｜DSML｜invoke>") ==
          Calls{R"(f {"n": "{oops"})"});
    CHECK(calls("<｜DSML｜invoke name=\"f\">" + number + " 1, 2 " + end + "</｜DSML｜invoke>") ==
          Calls{R"(f {"n": " 1, 2 "})"});
    CHECK(calls("<｜DSML｜invoke name=\"f\">" + number + "1" + end +
                "<｜DSML｜parameter name=\"m\" string=\"false\">2" + end + number + "\n3 " + end +
                "</｜DSML｜invoke>") == Calls{R"(f {"n": 3, "m": 2})"});
    CHECK(calls("<｜DSML｜invoke name=\"\"></｜DSML｜invoke><｜DSML｜invoke></｜DSML｜invoke>")
              .empty());
    // JSON as deep as the parser reads must stay readable inside the arguments.
    const std::string deep = std::string(256, '[') + std::string(256, ']');
    CHECK(calls("<｜DSML｜invoke name=\"f\">" + number + deep + end + "</｜DSML｜invoke>") ==
          Calls{cat("f {\"n\": \"", deep, "\"}")});
}

TEST_CASE("stop strings cut the answer, and only the answer") {
    const auto with = [](std::vector<std::string> stops, StreamStart start = StreamStart::kAnswer) {
        return StreamOptions{start, std::move(stops)};
    };
    CHECK(run("one STOP two", with({"STOP"})) ==
          Outcome{.answer = "one ", .stopped = true, .done = true});
    CHECK(run("one STO", with({"STOP"})) == Outcome{.answer = "one STO"});
    CHECK(run("abcd", with({"abcd", "bc"})) ==
          Outcome{.answer = "a", .stopped = true, .done = true});
    CHECK(run("aabaabaac", with({"aabaac"})) ==
          Outcome{.answer = "aab", .stopped = true, .done = true});
    CHECK(run("STOP</think>a\n\nb", with({"STOP", "\n\n"}, StreamStart::kReasoning)) ==
          Outcome{.reasoning = "STOP", .answer = "a", .stopped = true, .done = true});
    CHECK(run("a\n\n", with({"\n\n"})) == Outcome{.answer = "a", .stopped = true, .done = true});
    // Newlines that belong to a tool block are no answer.
    CHECK(run("a\n\n<｜DSML｜tool_calls>\n</｜DSML｜tool_calls>", with({"\n\n"})) ==
          Outcome{.answer = "a", .done = true});
    CHECK(!StreamFilter::create(demo_tokenizer(), with({""})).ok());
    CHECK(!StreamFilter::create(demo_tokenizer(), with({"\xC3"})).ok());
    CHECK(!StreamFilter::create(demo_tokenizer(), with(std::vector<std::string>(65, "x"))).ok());
    CHECK(!StreamFilter::create(demo_tokenizer(), with({std::string(4097, 'x')})).ok());
}

TEST_CASE("characters come out whole, broken ones as U+FFFD") {
    StreamFilter filter = make_filter({});
    std::vector<StreamPart> parts;
    filter.feed("\xF0\x9F", parts);
    filter.feed("\x99", parts);
    CHECK(parts.empty());
    filter.feed("\x82", parts);
    REQUIRE(parts.size() == 1);
    CHECK(parts[0].text == "🙂");
    CHECK(run("a\xFF\xC3 b\xE2\x82") ==
          Outcome{.answer = "a\xEF\xBF\xBD\xEF\xBF\xBD b\xEF\xBF\xBD"});
    CHECK(run(std::string("\0a\0", 3)) == Outcome{.answer = std::string("\0a\0", 3)});
    // An id that does not exist has no bytes.
    filter.feed(TokenId{-5}, parts);
    filter.feed(TokenId{1 << 30}, parts);
    CHECK(parts.size() == 1);
}

// Texts that keep every marker, every beginning of one and every newline rule busy.
std::string random_stream(Random& random) {
    static const std::vector<std::string> kFragments = {
        "<｜DSML｜tool_calls>",
        "</｜DSML｜tool_calls>",
        "<｜DSML｜invoke name=\"",
        "f\">",
        "</｜DSML｜invoke>",
        "<｜DSML｜parameter name=\"",
        "k\" string=\"true\">",
        "n\" string=\"false\">",
        "</｜DSML｜parameter>",
        "</｜｜DSML｜｜parameter>",
        "</DSML｜invoke>",
        "</parameter>",
        "</invoke>",
        "<invoke name=\"g\">",
        "<parameter name=\"x\">",
        "</｜DSML｜",
        "<｜DSML｜",
        "<｜DSML",
        "<｜",
        "｜DSML｜",
        "</think>",
        "<think>",
        "</thi",
        "</",
        "<",
        ">",
        "\"",
        "\n",
        "\n\n",
        "\n\n\n",
        " ",
        "{\"a\": [1, 2]}",
        "12",
        "{",
        "}",
        "STOP",
        "STO",
        "aab",
        "aabaab",
        "word",
        "é",
        "漢",
        "🙂",
        "\xF0\x9F",
        "\xE2",
        "\xFF",
        "｜",
        "tool_calls",
        " parameter",
    };
    std::string out;
    for (uint64_t n = random.below(24); n > 0; --n) {
        if (random.below(12) == 0) {
            out.push_back(static_cast<char>(random.below(256)));
            continue;
        }
        const std::string& fragment = kFragments[random.below(kFragments.size())];
        out +=
            random.below(6) == 0 ? fragment.substr(0, random.below(fragment.size() + 1)) : fragment;
    }
    return out;
}

TEST_CASE("how the stream is cut does not change the result") {
    Random random(20260731);
    size_t streams = 0, cuts = 0, with_calls = 0, unequal = 0;
    for (int round = 0; round < 4000; ++round) {
        StreamOptions options;
        options.start = static_cast<StreamStart>(random.below(3));
        if (random.below(2) == 0) options.stop_strings = {"STOP", "aabaac", "\n\n\n"};
        std::string stream = random_stream(random);
        if (options.start != StreamStart::kToolBlock && random.below(2) == 0) {
            stream = "<｜DSML｜tool_calls><｜DSML｜invoke name=\"f\">" + stream;
        }
        const Outcome whole = run(stream, options);
        ++streams;
        with_calls += whole.calls.empty() ? 0 : 1;
        const auto compare = [&](const Outcome& cut) {
            ++cuts;
            if (cut == whole) return;
            ++unequal;
            CHECK_MESSAGE(cut == whole, quote_text(stream, 400), " gave ", show(cut),
                          " instead of ", show(whole));
        };
        compare(run_cut(stream, options, [] { return size_t{1}; }));
        for (int i = 0; i < 3; ++i) {
            compare(
                run_cut(stream, options, [&] { return 1 + random.below(1 + random.below(20)); }));
        }
        // Token by token: markers as special tokens, then spelled in ordinary ones.
        if (first_invalid_utf8(stream) != stream.size()) continue;
        compare(run_tokens(ids_of(demo_tokenizer(), stream), options));
        compare(run_tokens(ids_of(demo_tokenizer(), stream, Specials::kPlain), options));
    }
    MESSAGE(streams, " streams (", with_calls, " with calls), ", cuts, " cuts compared, ", unequal,
            " unequal");
    CHECK(unequal == 0);
    CHECK(with_calls > 200);
}

TEST_CASE("long streams cost linear time, byte by byte") {
    // Each of these would take minutes if a portion were looked at again from its beginning.
    for (const char* filling : {"\n", "<", "a", "</｜DSML｜parameter", "<｜DSML｜invoke name=\""}) {
        for (const char* before : {"x", "<｜DSML｜tool_calls>",
                                   "<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"p\">"}) {
            std::string stream = before;
            while (stream.size() < 200'000) stream += filling;
            const StreamOptions options{StreamStart::kAnswer, {"STOP"}};
            CHECK(run_cut(stream, options, [] { return size_t{1}; }) == run(stream, options));
        }
    }
}

}  // namespace
}  // namespace millrace::test
