// The real host over the demo model: what it reports of each token is what the engine did.

#include <doctest/doctest.h>

#include "tests/ui/host_world.h"
#include "ui/answer_tokens.h"

namespace millrace::test {
namespace {

// As the desk does: the answer grows, and the tokens with it.
struct Answer {
    void take(const std::vector<ModelReport>& reports) {
        for (const ModelReport& report : reports) {
            tokens.grow(MessageId{1}, report, {content.size(), reasoning.size(), ids.size()});
            content += report.content;
            reasoning += report.reasoning;
            ids.insert(ids.end(), report.ids.begin(), report.ids.end());
            bytes.insert(bytes.end(), report.id_bytes.begin(), report.id_bytes.end());
        }
    }
    std::string content, reasoning;
    std::vector<int32_t> ids;
    std::vector<std::string> bytes;
    AnswerTokens tokens;
};

}  // namespace

TEST_CASE("every token of an answer leads to its bytes and to the step that took it in") {
    HostWorld host;
    Answer answer;
    Ask ask;
    ask.number = 1;
    ask.messages = {{.role = Role::kUser, .content = "Tell me a story about the mill."}};
    ask.options.sampling.temperature = 0;
    ask.options.tokens_max = 40;
    host.port().ask(ask);
    answer.take(host.until(ModelReport::Kind::kFinished));
    const size_t first = answer.ids.size();
    REQUIRE(first > 5);
    // It goes on, as another request.
    ask.so_far = answer.ids;
    ask.number = 2;
    ask.options.tokens_max = 20;
    host.port().ask(ask);
    answer.take(host.until(ModelReport::Kind::kFinished));
    REQUIRE(answer.ids.size() > first + 5);

    // Each byte once, in order, and the bytes are the token's.
    const LiveFeed& feed = *host.port().feed();
    std::string joined;
    int64_t index = -1;
    for (size_t at = 0; at < answer.content.size();) {
        const auto token = answer.tokens.at(MessageId{1}, false, at, at + 1, 0);
        REQUIRE(token);
        CHECK(token->begin == at);
        CHECK(token->index > index);
        index = token->index;
        const std::string& bytes = answer.bytes[static_cast<size_t>(index)];
        CHECK(bytes.ends_with(answer.content.substr(at, token->end - at)));
        const LiveFeed::FoundStep step = feed.find_step(token->request, token->position);
        const bool last = index + 1 == static_cast<int64_t>(first) ||
                          index + 1 == static_cast<int64_t>(answer.ids.size());
        // The last token of a request is taken in only when there is one behind it.
        if (!last) {
            CHECK(step.kind == LiveFeed::FoundStep::Kind::kFound);
            CHECK(step.record.step_ns > 0);
        }
        at = token->end;
    }
    CHECK(feed.state().request == 1);
}

}  // namespace millrace::test
