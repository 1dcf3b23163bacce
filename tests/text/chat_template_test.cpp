#include "core/text/chat_template.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/strings.h"
#include "core/text/prompt_constants.h"
#include "tests/support/golden.h"
#include "tests/text/released_tokenizer.h"

namespace millrace::test {
namespace {

RenderedChat render(const Json& request, const EffortTable& efforts = EffortTable::preview()) {
    auto parsed = ChatRequest::parse(request);
    REQUIRE_MESSAGE(parsed.ok(), (parsed.ok() ? "" : parsed.error().message));
    auto rendered = render_chat(parsed->messages, parsed->options, efforts);
    REQUIRE_MESSAGE(rendered.ok(), (rendered.ok() ? "" : rendered.error().message));
    return *std::move(rendered);
}

RenderedChat render_text(std::string_view request) {
    auto json = Json::parse(request);
    REQUIRE_MESSAGE(json.ok(), (json.ok() ? "" : json.error().message));
    return render(*json);
}

std::string error_of(std::string_view request) {
    const auto json = Json::parse(request);
    if (!json.ok()) return json.error().message;
    const auto parsed = ChatRequest::parse(*json);
    if (!parsed.ok()) return parsed.error().message;
    const auto rendered = render_chat(parsed->messages, parsed->options, EffortTable::preview());
    return rendered.ok() ? "" : rendered.error().message;
}

TEST_CASE("the prompt constants and effort tables are those of the released encoder") {
    const Json golden = read_golden_json("chat/constants.json");
    const auto text = [&golden](std::string_view name) { return *golden.find(name)->as_string(); };
    CHECK(prompt::kEffortM1 == text("effort_m1"));
    CHECK(prompt::kEffortM2 == text("effort_m2"));
    CHECK(prompt::kToolsHead == text("tools_head"));
    CHECK(prompt::kToolsTail == text("tools_tail"));
    CHECK(prompt::kResponseFormatHead == text("response_format_head"));
    for (const auto& [name, efforts] : golden.find("effort_tables")->members()) {
        const auto table = EffortTable::named(name);
        REQUIRE(table.ok());
        CHECK(table->entries().size() == efforts.members().size());
        for (const auto& [effort, constant] : efforts.members()) {
            const std::string& wanted = *constant.as_string();
            const auto prefix = table->prefix(effort);
            REQUIRE(prefix.ok());
            CHECK(*prefix == (wanted.empty() ? "" : text("effort_" + wanted)));
        }
    }
    CHECK(!EffortTable::named("0813").ok());
}

TEST_CASE("the released encoder's own four conversations, text and ids") {
    constexpr size_t kIds[] = {541, 53, 820, 582};
    size_t bytes = 0, unequal = 0;
    for (int i = 1; i <= 4; ++i) {
        Json request = read_golden_json(cat("chat/test_input_", i, ".json"));
        const std::string wanted = read_golden(cat("chat/test_output_", i, ".txt"));
        if (request.is_array()) {
            Json object;
            object.set("messages", std::move(request));
            request = std::move(object);
        }
        request.set("thinking_mode", i == 4 ? "chat" : "thinking");
        const RenderedChat got = render(request);
        bytes += wanted.size();
        unequal += got.text.text() == wanted ? 0 : 1;
        CHECK(got.text.text() == wanted);
        const auto ids = released_tokenizer().encode(got.text);
        REQUIRE(ids.ok());
        CHECK(ids->size() == kIds[i - 1]);
        CHECK(*ids == ids_of(released_tokenizer(), wanted));
    }
    MESSAGE("4 conversations, ", bytes, " bytes compared, ", unequal, " unequal");
}

TEST_CASE("random conversations: the released encoder's text, the reference library's ids") {
    size_t conversations = 0, bytes = 0, ids_compared = 0, unequal = 0, unequal_ids = 0;
    for (const Json& golden : read_golden_lines("chat/random-conversations.jsonl")) {
        const std::string& wanted = *golden.find("text")->as_string();
        const RenderedChat got = render(golden);
        ++conversations;
        bytes += wanted.size();
        if (got.text.text() != wanted) {
            ++unequal;
            CHECK(got.text.text() == wanted);
        }
        // None of these contents spells a special token, so marking must not change an id.
        const auto ids = released_tokenizer().encode(got.text);
        REQUIRE(ids.ok());
        ids_compared += ids->size();
        if (*ids != ids_of(released_tokenizer(), wanted)) ++unequal_ids;
    }
    MESSAGE(conversations, " conversations, ", bytes, " bytes compared, ", unequal, " unequal; ",
            ids_compared, " ids of marked text compared, ", unequal_ids, " conversations unequal");
    CHECK(conversations == 300);
    CHECK(unequal == 0);
    CHECK(unequal_ids == 0);
}

TEST_CASE("efforts stand first, in thinking mode only, and depend on the release") {
    Json request = *Json::parse(R"({"messages":[{"role":"user","content":"hi"}]})");
    const std::string start(prompt::kBeginOfSentence);
    const std::string hi = "<｜User｜>hi<｜Assistant｜><think>";
    const auto with = [&](const char* effort, const EffortTable& table) {
        request.set("reasoning_effort", effort);
        return render(request, table).text.text();
    };
    CHECK(with("high", EffortTable::preview()) == start + hi);
    CHECK(with("max", EffortTable::preview()) == start + std::string(prompt::kEffortM1) + hi);
    CHECK(with("low", EffortTable::v0731()) == start + hi);
    CHECK(with("high", EffortTable::v0731()) == start + std::string(prompt::kEffortM1) + hi);
    CHECK(with("max", EffortTable::v0731()) == start + std::string(prompt::kEffortM2) + hi);
    request.set("thinking_mode", "chat");
    CHECK(with("max", EffortTable::v0731()) == start + "<｜User｜>hi<｜Assistant｜></think>");
    const auto parsed = ChatRequest::parse(request);
    REQUIRE(parsed.ok());
    RenderOptions options = parsed->options;
    options.effort = "low";
    CHECK(!render_chat(parsed->messages, options, EffortTable::preview()).ok());
}

TEST_CASE("the start of the answer is known") {
    const auto start = [](std::string_view request) { return render_text(request).start; };
    CHECK(start(R"([{"role":"user","content":"q"}])") == StreamStart::kReasoning);
    CHECK(start(R"({"thinking_mode":"chat","messages":[{"role":"user","content":"q"}]})") ==
          StreamStart::kAnswer);
    CHECK(start(R"([{"role":"user","content":"q"},
                    {"role":"assistant","content":"a","prefix":true}])") == StreamStart::kAnswer);
    CHECK(start(R"([{"role":"user","content":"q","task":"action"}])") == StreamStart::kAnswer);
}

TEST_CASE("an earlier developer message vanishes where reasoning is dropped") {
    const std::string messages = R"("messages":[{"role":"developer","content":"d"},
        {"role":"assistant","reasoning_content":"r","content":"a"},
        {"role":"user","content":"q"}]})";
    const auto text = [&](const char* options) {
        return render_text(options + messages).text.text();
    };
    const std::string end = "a<｜end▁of▁sentence｜><｜User｜>q<｜Assistant｜>";
    CHECK(text("{") == "<｜begin▁of▁sentence｜>" + end + "<think>");
    CHECK(text(R"({"drop_thinking":false,)") ==
          "<｜begin▁of▁sentence｜><｜User｜>d<｜Assistant｜><think>r</think>" + end + "<think>");
    CHECK(text(R"({"thinking_mode":"chat",)") ==
          "<｜begin▁of▁sentence｜><｜User｜>d<｜Assistant｜></think>" + end + "</think>");
}

TEST_CASE("forms the released encoder refuses or clients vary") {
    const auto text = [](std::string_view request) { return render_text(request).text.text(); };
    CHECK(text("[]") == prompt::kBeginOfSentence);
    CHECK(
        text(R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"},
                  {"type":"text","text":"b"}]}])") ==
        "<｜begin▁of▁sentence｜><｜User｜>a\n\n[Unsupported image_url]\n\nb<｜Assistant｜><think>");
    // Arguments: an object instead of text; none at all; text that is no object.
    const auto call = [&](std::string_view function) {
        const std::string all = text(cat(R"([{"role":"assistant","content":null,"tool_calls":[
            {"function":)",
                                         function, "}]}]"));
        const size_t begin = all.find("<｜DSML｜invoke"), end = all.find("</｜DSML｜invoke");
        REQUIRE(begin < end);
        REQUIRE(end != std::string::npos);
        return all.substr(begin, end - begin);
    };
    CHECK(call(R"({"name":"f","arguments":{"n":1E5,"s":"x"}})") ==
          "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"n\" "
          "string=\"false\">100000.0</｜DSML｜parameter>\n<｜DSML｜parameter name=\"s\" "
          "string=\"true\">x</｜DSML｜parameter>\n");
    CHECK(call(R"({"name":"f"})") == "<｜DSML｜invoke name=\"f\">\n\n");
    CHECK(call(R"({"name":"f","arguments":"[1]"})") ==
          "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"arguments\" "
          "string=\"true\">[1]</｜DSML｜parameter>\n");
    // Tools without a system message make an empty one.
    const std::string tools = text(R"({"tools":[{"type":"function","function":{"name":"f"}}],
        "messages":[{"role":"user","content":"q"}]})");
    CHECK(tools.starts_with("<｜begin▁of▁sentence｜>\n\n## Tools\n\n"));
    CHECK(tools.find("{\"name\": \"f\"}\n\nYou MUST") != std::string::npos);
}

TEST_CASE("a malformed request is one sentence that names the place") {
    const struct {
        const char* request;
        const char* says;
    } kCases[] = {
        {"7", "an object with a list of messages"},
        {"{}", "without \"messages\""},
        {R"({"messages":{}})", "messages must be a list"},
        {R"([7])", "messages[0] must be an object"},
        {R"([{"content":"x"}])", "messages[0].role must be one of"},
        {R"([{"role":"wizard"}])", "found \"wizard\""},
        {R"([{"role":"user","content":5}])", "messages[0].content must be text"},
        {R"([{"role":"user","content":[5]}])", "messages[0].content[0]"},
        {R"([{"role":"user","content":[{"type":"text","text":1}]}])", "content[0].text"},
        {R"([{"role":"user","content":[{}]}])", "content[0].type"},
        {R"([{"role":"assistant","reasoning_content":[]}])", "reasoning_content must be text"},
        {R"([{"role":"assistant","tool_calls":{}}])", "tool_calls must be a list"},
        {R"([{"role":"assistant","tool_calls":[1]}])", "tool_calls[0]"},
        {R"([{"role":"assistant","tool_calls":[{"function":{}}]}])", "function.name"},
        {R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":3}}]}])",
         "arguments must be JSON"},
        {R"([{"role":"system","tools":5}])", "tools must be a list"},
        {R"([{"role":"system","tools":[{"type":"x"}]}])", "tools[0].function"},
        {R"([{"role":"system","response_format":"json"}])", "response_format must be an object"},
        {R"([{"role":"user","task":"dance"}])", "task must be one of action"},
        {R"([{"role":"user","prefix":true}])", "prefix may be true only"},
        {R"([{"role":"assistant","wo_eos":1}])", "wo_eos must be true or false"},
        {R"({"messages":[],"thinking_mode":"deep"})", "thinking_mode must be"},
        {R"({"messages":[],"reasoning_effort":3})", "reasoning_effort must be text"},
        {R"({"messages":[],"reasoning_effort":"low"})", "take none, high, max"},
        {R"({"messages":[],"drop_thinking":"yes"})", "drop_thinking must be true or false"},
        {R"({"tools":[{"function":{"name":"a"}}],"messages":[{"role":"system",
            "tools":[{"function":{"name":"b"}}]}]})",
         "keep one of the two"},
        {R"([{"role":"user","content":"\ud800"}])", "not valid JSON"},
        {"[{\"role\":\"user\",\"content\":\"\xFF\"}]", "not valid JSON"},
    };
    for (const auto& [request, says] : kCases) {
        const std::string message = error_of(request);
        CHECK_MESSAGE(message.find(says) != std::string::npos, std::string(request), " -> ",
                      message);
        CHECK(message.find('\n') == std::string::npos);
    }
}

}  // namespace
}  // namespace millrace::test
