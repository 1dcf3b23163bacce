// Any bytes as what a model writes: the result is the same for every way of cutting them, and
// always well formed. The first byte chooses how the stream starts and whether there are stop
// strings, the second how it is cut.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/json.h"
#include "core/base/random.h"
#include "core/base/utf8.h"
#include "core/text/stream_filter.h"
#include "tests/text/tiny_tokenizer.h"

using namespace millrace;

namespace {

const Tokenizer& tiny_tokenizer() {
    static const Tokenizer tokenizer = [] {
        auto parsed = Tokenizer::parse(test::tiny_tokenizer_json());
        ENSURE(parsed.ok());
        return *std::move(parsed);
    }();
    return tokenizer;
}

// Everything that came out, in an unambiguous form.
std::string gather(const StreamFilter& filter, const std::vector<StreamPart>& parts) {
    std::string reasoning, answer, calls;
    for (const StreamPart& part : parts) {
        ENSURE(first_invalid_utf8(part.text) == part.text.size());
        switch (part.kind) {
            case StreamPart::Kind::kReasoning: reasoning += part.text; break;
            case StreamPart::Kind::kAnswer: answer += part.text; break;
            case StreamPart::Kind::kToolCall: {
                const auto arguments = Json::parse_unique(part.call.arguments);
                ENSURE(arguments.ok());
                ENSURE(arguments->is_object());
                ENSURE(!part.call.name.empty());
                calls += Json(part.call.name).dump() + part.call.arguments;
                break;
            }
        }
    }
    return Json(reasoning).dump() + Json(answer).dump() + calls + std::to_string(filter.stopped()) +
           std::to_string(filter.call_open());
}

template <class Size>
std::string run(std::string_view stream, const StreamOptions& options, Size size) {
    auto filter = StreamFilter::create(tiny_tokenizer(), options);
    ENSURE(filter.ok());
    std::vector<StreamPart> parts;
    while (!stream.empty()) {
        const size_t count = std::min<size_t>(size(), stream.size());
        filter->feed(stream.substr(0, count), parts);
        stream.remove_prefix(count);
    }
    filter->finish(parts);
    return gather(*filter, parts);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) return 0;
    StreamOptions options;
    options.start = static_cast<StreamStart>(data[0] % 3);
    if (data[0] % 2 == 1) options.stop_strings = {"STOP", "aabaac", "\n\n"};
    const std::string_view stream(reinterpret_cast<const char*>(data) + 2, size - 2);
    Random random(data[1]);
    const std::string whole = run(stream, options, [&] { return stream.size(); });
    ENSURE(run(stream, options, [] { return size_t{1}; }) == whole);
    ENSURE(run(stream, options, [&] { return 1 + random.below(16); }) == whole);
    return 0;
}
