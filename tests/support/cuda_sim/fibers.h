#pragma once
// One stack a simulated thread, and switching from one to another without system calls.

#include <cstddef>
#include <cstdint>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace millrace::cuda_sim {

// Where a stack that is not running goes on.
#if defined(__x86_64__)
struct FiberState {
    void* stack_pointer = nullptr;  // the registers that a call keeps lie above it
};
#else
using FiberState = ucontext_t;
#endif

class Fibers {
public:
    using Body = void (*)(void* context);
    static constexpr size_t kStackBytes = 128 * 1024;
    static constexpr size_t kFibersMax = 1024;

    // Fibers that are entered for the first time begin body(context); it does not return, but leaves.
    Fibers(Body body, void* context);
    ~Fibers();
    Fibers(const Fibers&) = delete;
    Fibers& operator=(const Fibers&) = delete;

    // From outside: runs fiber `index`, and whomever that goes on to, until one leaves.
    void enter(size_t index);
    // From inside: goes on with fiber `index`, and comes back when somebody goes on with this one.
    void go_on(size_t index);
    // From inside: back to enter(). What the fiber was doing is left for later, or for good.
    void leave();
    // Forgets what fibers were doing; all begin anew.
    void reset(size_t fibers);

    [[nodiscard]] uintptr_t stack_of(size_t index) const { return stacks_ + index * kStackBytes; }
    [[nodiscard]] bool on_any_stack(uintptr_t at) const {
        return at >= stacks_ && at < stacks_ + kFibersMax * kStackBytes;
    }

private:
    void begin(size_t index);

    const Body body_;
    void* const context_;
    uintptr_t stacks_ = 0;
    std::vector<FiberState> states_;
    FiberState outside_;
    size_t current_ = 0;
};

}  // namespace millrace::cuda_sim
