#pragma once
// Verbs that turn each line of JSON into another one.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "app/output.h"
#include "app/terminal.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/base/strings.h"
#include "core/base/types.h"

namespace millrace {

// Reads standard input to its end and writes `transform(line)` for each line to standard output; blank lines are skipped.
// The first error ends it, names its line, and leaves what was written before. Returns the exit code.
template <class Transform>
[[nodiscard]] int transform_lines(Terminal& terminal, const Transform& transform) {
    LineReader in(0, "standard input");
    Output out(1, "standard output");
    const auto body = [&]() -> Status {
        std::string line;
        for (int64_t number = 1; TRY(in.next(line)) == LineReader::Next::kLine; ++number) {
            if (line.find_first_not_of(" \t") == std::string::npos) continue;
            const auto answer = [&]() -> Result<Json> { return transform(TRY(Json::parse(line))); };
            const Result<Json> json = answer();
            if (!json.ok()) return json.error().in(cat("line ", number));
            out.write(json->dump());
            out.write("\n");
            // Whoever writes one line and waits for its answer gets it.
            if (!in.has_line()) TRY(out.flush());
        }
        return {};
    };
    Status status = body();
    const Status flushed = out.flush();
    if (status.ok()) status = flushed;
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : 1;
}

// A list of token ids of a vocabulary with `vocabulary` tokens; errors name the place in the list.
[[nodiscard]] Result<std::vector<TokenId>> parse_ids(const Json& list, int64_t vocabulary);
[[nodiscard]] Json ids_json(std::span<const TokenId> ids);

}  // namespace millrace
