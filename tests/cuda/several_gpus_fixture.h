#pragma once
// Tiny models on several simulated GPUs.

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/engine/kv_fill.h"
#include "core/engine/runtime.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/support/tiny_model.h"

namespace millrace::test {

// On these GPUs; no bit depends on what lies where.
inline RuntimeOptions several_options(const std::vector<int>& gpus) {
    RuntimeOptions options = tiny_options();
    options.ops = "cuda";
    options.gpu.numbers = gpus;
    options.gpu.misses = GpuMisses::kCopy;
    options.context_max = 256;
    options.prefill_chunk = 64;
    options.rollback_tokens = 16;
    return options;
}

inline std::unique_ptr<Runtime> open_on(const std::vector<int>& gpus,
                                        const std::string& name = "tiny-clamp") {
    return open_runtime(tiny_checkpoint(name), several_options(gpus));
}

inline std::vector<TokenId> some_tokens(size_t count) {
    std::vector<TokenId> out;
    for (size_t i = 0; i < count; ++i) out.push_back({static_cast<int32_t>(i * 37 % 200)});
    return out;
}

// With made-up tokens before.
inline Session filled_session(Runtime& runtime, int64_t length) {
    Session out = new_session(runtime);
    REQUIRE(fill_session(out, runtime.config(), length, 5).ok());
    return out;
}

// Stops a step when it is asked for the time number `stop_at`, from 0.
class StopAt final : public StepWatch {
public:
    explicit StopAt(int64_t stop_at) : stop_at_(stop_at) {}
    bool cancelled() const override { return asked_++ == stop_at_; }

private:
    int64_t stop_at_;
    mutable int64_t asked_ = 0;
};

}  // namespace millrace::test
