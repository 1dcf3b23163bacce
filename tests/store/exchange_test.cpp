// Chats as files: what is exported reads well and comes back equal, what other programs write is understood, and what is
// no chat gets a sentence.

#include "core/store/exchange.h"

#include <doctest/doctest.h>

#include "core/base/json.h"
#include "core/base/random.h"
#include "core/base/utf8.h"
#include "core/store/utc_time.h"
#include "tests/support/store_world.h"

namespace millrace::test {
namespace {

ImportedChats imported(std::string_view json) {
    auto chats = import_chats(json);
    INFO((chats.ok() ? std::string() : chats.error().message));
    REQUIRE(chats.ok());
    return *std::move(chats);
}

void check_refused(std::string_view json, std::string_view words) {
    const auto chats = import_chats(json);
    REQUIRE_FALSE(chats.ok());
    INFO(chats.error().message);
    CHECK(chats.error().code == ErrorCode::kInvalid);
    CHECK(chats.error().message.find(words) != std::string::npos);
}

// "1<0 user a|2<1 assistant b|leaf 2"
std::string shape(const ChatTree& tree) {
    std::string out;
    for (const StoredMessage& message : tree.messages) {
        const char* names[] = {"system", "user", "assistant"};
        append(out,
               cat(static_cast<int64_t>(message.id), "<", static_cast<int64_t>(message.parent), " ",
                   names[static_cast<size_t>(message.author)], " ", message.content, "|"));
    }
    return out + cat("leaf ", static_cast<int64_t>(tree.leaf));
}

// Two versions of an answer, the first one goes on and is shown.
ChatTree small_tree() {
    ChatTree tree;
    tree.chat.title = "Rivers & <mills>";
    tree.chat.created_ms = 1'790'000'000'000;
    tree.chat.changed_ms = 1'790'000'000'500;
    tree.draft = "not yet";
    tree.settings = R"({"t":1})";
    const auto add = [&](int64_t id, int64_t parent, Author author, const char* content) {
        StoredMessage message = message_of(author, content, MessageId{parent});
        message.id = MessageId{id};
        message.created_ms = 1'790'000'000'000 - id;  // the clock went back
        tree.messages.push_back(message);
    };
    add(1, 0, Author::kUser, "How?");
    add(2, 1, Author::kAssistant, "Like <b>this</b>:\n```cpp\nint a = 1 < 2;\n```\ndone");
    add(3, 1, Author::kAssistant, "Otherwise.");
    add(4, 2, Author::kUser, "Thanks \"&\" bye");
    tree.messages[1].reasoning = "step\nby step";
    tree.messages[1].tokens = {1, -2, 129000};
    tree.messages[1].facts = R"({"speed":3.5})";
    tree.messages[1].state = MessageState::kStopped;
    tree.leaf = MessageId{4};
    tree.chat.messages = 4;
    return tree;
}

}  // namespace

TEST_CASE("what is exported as JSON comes back equal") {
    const ChatTree tree = small_tree();
    const ImportedChats back = imported(export_chat(tree, ExportFormat::kJson, ExportWhat::kAll));
    REQUIRE(back.chats.size() == 1);
    CHECK(back.notices.empty());
    std::string wanted, found;
    ChatTree ours = tree;
    ours.chat.id = ChatId{1};
    append_tree(wanted, ours);
    append_tree(found, back.chats[0]);
    CHECK(found == wanted);
    CHECK(back.chats[0].chat.created_ms == tree.chat.created_ms);

    const ImportedChats branch =
        imported(export_chat(tree, ExportFormat::kJson, ExportWhat::kBranch));
    CHECK(branch.chats[0].messages.size() == 3);
    CHECK(branch.chats[0].leaf == MessageId{3});
    CHECK(branch.chats[0].messages[2].content == tree.messages[3].content);

    // Nothing shown, nothing there, no UTF-8.
    ChatTree none = tree;
    none.leaf = MessageId::kNone;
    CHECK(imported(export_chat(none, ExportFormat::kJson, ExportWhat::kAll)).chats[0].leaf ==
          MessageId::kNone);
    none.messages[0].content = "\xFF";
    CHECK(imported(export_chat(none, ExportFormat::kJson, ExportWhat::kAll))
              .chats[0]
              .messages[0]
              .content == "\xEF\xBF\xBD");
    CHECK(
        imported(export_chat({}, ExportFormat::kJson, ExportWhat::kAll)).chats[0].messages.empty());
}

TEST_CASE("random trees come back equal, through a store too") {
    Random random(5);
    StoreTestWorld world;
    MemoryVfs disk("exchange");
    auto store = world.must_open(disk.name());
    for (int round = 0; round < 10; ++round) {
        const ChatId chat = *store->create(cat("chat ", round));
        std::vector<MessageId> ids{MessageId::kNone};
        for (int i = 0; i < 20; ++i) {
            world.calendar.now += 5;
            const auto author = static_cast<Author>(random.below(3));
            ids.push_back(*store->append(
                chat, message_of(author, cat("text ", i), ids[random.below(ids.size())])));
        }
        const auto tree = store->read(chat);
        REQUIRE(tree.ok());
        const ImportedChats back =
            imported(export_chat(*tree, ExportFormat::kJson, ExportWhat::kAll));
        ChatTree numbered = *tree;
        for (StoredMessage& message : numbered.messages) {
            const int64_t first = static_cast<int64_t>(ids[1]);
            message.id = MessageId{static_cast<int64_t>(message.id) - first + 1};
            if (message.parent == MessageId::kNone) continue;
            message.parent = MessageId{static_cast<int64_t>(message.parent) - first + 1};
        }
        numbered.leaf = MessageId{20};
        CHECK(shape(back.chats[0]) == shape(numbered));
    }
}

TEST_CASE("a store adopts a tree as it is, and refuses one that is none") {
    StoreTestWorld world;
    MemoryVfs disk("adopt");
    auto store = world.must_open(disk.name());
    REQUIRE(store->append(*store->create("first"), message_of(Author::kUser, "x", {})).ok());
    REQUIRE(store->search("x", 1).ok());  // the index is there, and grows
    ChatTree tree = small_tree();
    tree.chat.pinned = true;
    const auto chat = store->adopt(tree);
    REQUIRE(chat.ok());
    const auto read = store->read(*chat);
    REQUIRE(read.ok());
    CHECK(export_chat(*read, ExportFormat::kJson, ExportWhat::kAll) ==
          export_chat(tree, ExportFormat::kJson, ExportWhat::kAll));
    CHECK(store->search("otherwise", 5)->size() == 1);
    CHECK(store->search("mills", 5)->size() == 1);

    ChatTree wrong = tree;
    std::swap(wrong.messages[0], wrong.messages[1]);
    CHECK(store->adopt(wrong).error().code == ErrorCode::kInvalid);
    wrong = tree;
    wrong.messages[1].id = wrong.messages[0].id;
    CHECK(store->adopt(wrong).error().code == ErrorCode::kInvalid);
    wrong = tree;
    wrong.leaf = MessageId{77};
    CHECK(store->adopt(wrong).error().code == ErrorCode::kInvalid);
    CHECK(store->list(ChatStore::Deleted::kNo)->size() == 2);
    CHECK(store->append(*chat, message_of(Author::kUser, "on", read->leaf)).ok());
}

TEST_CASE("Markdown reads from top to bottom, with the versions named where all are wanted") {
    const ChatTree tree = small_tree();
    CHECK(export_chat(tree, ExportFormat::kMarkdown, ExportWhat::kBranch) ==
          "# Rivers & <mills>\n\n2026-09-21 14:13 UTC\n\n---\n\n**You**\n\nHow?\n\n---\n\n"
          "**Answer (stopped)**\n\n> *Thinking*\n>\n> step\n> by step\n\n"
          "Like <b>this</b>:\n```cpp\nint a = 1 < 2;\n```\ndone\n\n---\n\n**You**\n\n"
          "Thanks \"&\" bye\n");
    const std::string all = export_chat(tree, ExportFormat::kMarkdown, ExportWhat::kAll);
    CHECK(all.find("**Answer 2 (version 1 of 2, to 1; stopped)**") != std::string::npos);
    CHECK(all.find("**Answer 3 (version 2 of 2, to 1)**") != std::string::npos);
    CHECK(all.find("**You 4 (to 2)**") != std::string::npos);
}

TEST_CASE("HTML stands alone, and nothing that was written becomes markup") {
    ChatTree tree = small_tree();
    tree.messages[0].content = "<script>alert('x')</script>\x01";
    const std::string html = export_chat(tree, ExportFormat::kHtml, ExportWhat::kAll);
    CHECK(html.starts_with("<!DOCTYPE html>"));
    CHECK(html.find("<script") == std::string::npos);
    CHECK(html.find("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; ") != std::string::npos);
    CHECK(html.find("<title>Rivers &amp; &lt;mills&gt;</title>") != std::string::npos);
    CHECK(html.find("<pre><code>int a = 1 &lt; 2;</code></pre>") != std::string::npos);
    CHECK(html.find("prefers-color-scheme: dark") != std::string::npos);
    CHECK(html.find("http") == std::string::npos);  // nothing is fetched
    CHECK(html.find("<details><summary>Thinking</summary>") != std::string::npos);
}

TEST_CASE("ChatGPT's export: the mapping, thoughts, versions, what is not text") {
    const ImportedChats back =
        imported(R"([{"title":"Mills","create_time":1700000000.5,"update_time":1700000100,
      "mapping":{
        "c":{"id":"c","parent":"b","message":{"author":{"role":"assistant"},
          "create_time":1700000003,
             "content":{"content_type":"text","parts":["second"]}}},
        "root":{"id":"root","message":null,"parent":null,"children":["s"]},
        "s":{"id":"s","parent":"root","message":{"author":{"role":"system"},"content":
          {"content_type":"text","parts":[""]}}},
        "a":{"id":"a","parent":"s","message":{"author":{"role":"user"},"create_time":1700000001,
             "content":{"content_type":"multimodal_text","parts":[
          {"content_type":"image_asset_pointer"},"look"]}}},
        "b":{"id":"b","parent":"a","message":{"author":{"role":"tool"},"create_time":1700000002,
             "content":{"content_type":"text","parts":["result"]}}},
        "d":{"id":"d","parent":"a","message":{"author":{"role":"assistant"},
          "create_time":1700000004,
             "content":{"content_type":"thoughts","thoughts":[{"content":"hm"}]}}}},
      "current_node":"c"}])");
    REQUIRE(back.chats.size() == 1);
    CHECK(back.chats[0].chat.title == "Mills");
    CHECK(back.chats[0].chat.created_ms == 1'700'000'000'500);
    CHECK(shape(back.chats[0]) == "1<0 user look|2<1 assistant second|3<1 assistant |leaf 2");
    CHECK(back.chats[0].messages[2].reasoning == "hm\n");
    CHECK(back.notices.size() == 2);
}

TEST_CASE("LM Studio's export: versions and thinking") {
    const ImportedChats back =
        imported(R"({"name":"Local","createdAt":1700000000000,"systemPrompt":"Be brief.",
      "messages":[
        {"versions":[{"type":"singleStep","role":"user","content":[{"type":"text","text":"hello"
          }]}],"currentlySelected":0},
        {"versions":[
          {"type":"multiStep","role":"assistant","steps":[{"type":"contentBlock","content":[
          {"type":"text","text":"one"}]}]},
          {"type":"multiStep","role":"assistant","steps":[
            {"type":"contentBlock","style":{"type":"thinking"},"content":[{"type":"text",
          "text":"mull"}]},
            {"type":"contentBlock","content":[{"type":"text","text":"two"}]},
          {"type":"debugInfoBlock"}]}],
         "currentlySelected":1},
        {"versions":[{"type":"singleStep","role":"user","content":[{"type":"text","text":"on"}]}
          ],"currentlySelected":0}]})");
    CHECK(shape(back.chats.at(0)) ==
          "1<0 system Be brief.|2<1 user hello|3<2 assistant one|4<2 assistant two|5<4 user "
          "on|leaf 5");
    CHECK(back.chats[0].messages[3].reasoning == "mull");
    CHECK(back.chats[0].chat.title == "Local");
}

TEST_CASE("llama.cpp's web interface and Open WebUI") {
    const char* conv =
        R"({"conv":{"id":"x","name":"From llama","lastModified":1700000000000,"currNode":"m2"},
      "messages":[{"id":"r","convId":"x","type":"root","role":"system","content":"",
          "parent":null},
        {"id":"m1","type":"text","role":"user","content":"q","parent":"r",
          "timestamp":1700000000001},
        {"id":"m2","type":"text","role":"assistant","content":"a","thinking":"t","parent":"m1",
          "timestamp":1700000000002},
        {"id":"m3","type":"text","role":"assistant","content":"b","parent":"m1",
          "timestamp":1700000000003,"extra":[{"type":"imageFile"}]}]})";
    for (const std::string& file : {std::string(conv), cat("[", conv, "]")}) {
        const ImportedChats back = imported(file);
        CHECK(shape(back.chats.at(0)) == "1<0 user q|2<1 assistant a|3<1 assistant b|leaf 2");
        CHECK(back.chats[0].messages[1].reasoning == "t");
        CHECK(back.notices.size() == 1);
    }
    const ImportedChats back =
        imported(R"([{"id":"1","title":"Open","created_at":1700000000,"chat":{"history":{
      "currentId":"b","messages":{
        "b":{"id":"b","parentId":"a","role":"assistant","timestamp":1700000002,
             "content":
"<details type=\"reasoning\">\n<summary>T</summary>\n> one\n> two\n</details>\nyes"},
        "a":{"id":"a","parentId":null,"role":"user","timestamp":1700000001,"content":"question"
          }}}}}])");
    CHECK(shape(back.chats.at(0)) == "1<0 user question|2<1 assistant yes|leaf 2");
    CHECK(back.chats[0].messages[1].reasoning.find("one\ntwo") != std::string::npos);
}

TEST_CASE("plain lists, in a file and in several") {
    const char* list =
        R"([{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"u"},
        {"type":"image_url"}]},{"role":"assistant","content":"a","reasoning_content":"r"},
          {"role":"tool","content":"x"}])";
    CHECK(shape(imported(list).chats.at(0)) == "1<0 system s|2<1 user u|3<2 assistant a|leaf 3");
    CHECK(imported(list).notices.size() == 2);
    const ImportedChats two =
        imported(cat("\xEF\xBB\xBF[{\"title\":\"T\",\"messages\":", list, "},{\"messages\":[]}]"));
    REQUIRE(two.chats.size() == 2);
    CHECK(two.chats[0].chat.title == "T");
    CHECK(two.chats[1].chat.id == ChatId{2});
}

TEST_CASE("what is no chat is refused with a sentence") {
    check_refused("", "no list of chats");
    check_refused("{", "known are");
    check_refused("7", "a number was found");
    check_refused("[]", "the list is empty");
    check_refused("[1]", "chat 1 of 1 is a number");
    check_refused("{}", "known are");
    check_refused(R"([{"role":7}])", "\"role\" is a number");
    check_refused(R"([{"role":"user","content":{}}])",
                  "an object and should be a string or a list");
    check_refused(R"({"messages":[{"role":"user"},"x"]})", "message 2 is a string");
    check_refused(std::string(100000, '['), "nested deeper");
    check_refused(R"({"format":"millrace-chats","version":2,
          "chats":[]})",
                  "a newer one reads it");
    check_refused(R"({"format":"millrace-chats","version":1})", "no list \"chats\"");
    check_refused(
        R"({"format":"millrace-chats","version":1,"chats":[{"messages":[{"id":1,"author":"me",
          "state":"whole"}]}]})",
        "by \"me\"");
    check_refused(R"({"format":"millrace-chats","version":1,"chats":[{"messages":[
        {"id":1,"author":"user","state":"whole","tokens":[1.5]}]}]})",
                  "no token");
    check_refused(R"([{"mapping":{"a":{"parent":"b"},"b":{"parent":"a"}}}])", "in a ring");
    check_refused(R"([{"mapping":{"a":{"parent":"a"}}}])", "in a ring");
    check_refused(R"({"conv":{},"messages":[{"id":"x","role":"user"},{"id":"x","role":"user"}]})",
                  "is there twice");
    check_refused(R"([{"chat":{"history":{"messages":[]}}}])", "\"history\"");
    check_refused(R"({"messages":[{"versions":[]},{}]})", "message 2 has no \"versions\"");
}

TEST_CASE("a long chain and a missing predecessor are no trouble") {
    std::string chain = R"({"conv":{"name":"long"},"messages":[)";
    for (int i = 0; i < 20000; ++i) {
        const std::string id = cat("\"id\":", i, ",\"parent\":", i - 1);
        append(chain, cat(i == 0 ? "" : ",", "{\"role\":\"user\",\"content\":\"x\",", id, "}"));
    }
    const ImportedChats back = imported(chain + "]}");
    CHECK(back.chats.at(0).messages.size() == 20000);
    CHECK(back.chats[0].leaf == MessageId{20000});
    const ImportedChats orphan = imported(
        R"({"conv":{},"messages":[{"id":"a","parent":"gone","role":"user","content":"x"}]})");
    CHECK(shape(orphan.chats.at(0)) == "1<0 user x|leaf 1");
    CHECK(orphan.notices.size() == 1);
}

TEST_CASE("dates in UTC") {
    CHECK(utc_date(0) == "1970-01-01");
    CHECK(utc_minute(951'782'399'999) == "2000-02-28 23:59 UTC");
    CHECK(utc_date(INT64_MIN) == "1970-01-01");
    CHECK(utc_date(INT64_MAX) == "9999-12-31");
}

}  // namespace millrace::test
