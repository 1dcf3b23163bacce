#include "app/trace_file.h"

#include <span>

namespace millrace {

Result<RouterTrace> read_trace(const Path& path) {
    constexpr uint64_t kTraceBytesMax = uint64_t{2} << 30;
    const std::string bytes = TRY(read_text_file(path, kTraceBytesMax));
    Result<RouterTrace> trace = RouterTrace::parse(std::as_bytes(std::span(bytes)));
    if (!trace.ok()) return trace.error().in(path.string());
    return trace;
}

}  // namespace millrace
