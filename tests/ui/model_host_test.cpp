// The thread that opens models: what it does when nobody waits for a model any more.

#include "ui/model_host.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <thread>

#include "tests/ui/host_world.h"

namespace millrace::test {
namespace {

auto says(const std::string& text) {
    return [text](const ModelReport& report) { return report.text == text; };
}

size_t count(const std::vector<ModelReport>& reports, const std::string& text) {
    return static_cast<size_t>(std::ranges::count(reports, text, &ModelReport::text));
}

// A model of the size of "slow" takes as long to open as somebody waits for it.
Result<OpenedModel> opener(const Path& directory, const std::function<bool(std::string)>& say) {
    if (directory == "slow") {
        while (say("reading")) std::this_thread::yield();
        return Error{ErrorCode::kCancelled, "nobody waits"};
    }
    return Error{ErrorCode::kNotFound, directory.string() + " is not there"};
}

}  // namespace

TEST_CASE("another model ends the opening of the one before, without a word about it") {
    Reports reports;
    const auto host = make_model_host(opener, reports.listener());
    host->open("slow");
    CHECK(reports.until(says("reading")).back().kind == ModelReport::Kind::kOpening);
    host->open("other");
    const std::vector<ModelReport> then = reports.until(says("other is not there"));
    CHECK(then.back().kind == ModelReport::Kind::kClosed);
    CHECK(count(then, "nobody waits") == 0);
    CHECK(count(then, "reading") == 0);  // the same words are not told again
}

TEST_CASE("leaving while a model is being opened does not wait until it is open") {
    Reports reports;
    auto host = make_model_host(opener, reports.listener());
    host->open("slow");
    static_cast<void>(reports.until(says("reading")));
    host.reset();  // the opener would never come to an end by itself
    CHECK(reports.rest().empty());
}

}  // namespace millrace::test
