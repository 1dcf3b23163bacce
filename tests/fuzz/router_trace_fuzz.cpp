// Any bytes as a router trace: either an error of one sentence, or a trace that is written the same again and can be
// replayed.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <xxhash.h>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "offload/replay.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace millrace;
    std::vector<std::byte> file(size);
    if (size > 0) std::memcpy(file.data(), data, size);
    // What the checksum would hide from the fuzzer lies open when the sum is made right.
    for (int time = 0; time < 2; ++time) {
        const auto trace = RouterTrace::parse(file);
        if (trace.ok()) {
            ENSURE(trace->file() == file);
            const int32_t experts = trace->shape().layers * trace->shape().experts;
            constexpr int32_t kExpertsMax = 4096;
            if (experts >= 2 && experts <= kExpertsMax && trace->steps().size() < 100) {
                (void)replay_all(*trace, 2);
            }
        } else {
            ENSURE(!trace.error().message.empty());
            ENSURE(first_invalid_utf8(trace.error().message) == trace.error().message.size());
        }
        if (size < sizeof(uint64_t)) return 0;
        const uint64_t sum = XXH3_64bits(file.data(), size - sizeof sum);
        std::memcpy(file.data() + size - sizeof sum, &sum, sizeof sum);
    }
    return 0;
}
