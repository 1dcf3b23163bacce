#pragma once
// One stack a simulated thread, and switching between them and the scheduler, without system calls after the first time.

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace::cuda_sim {

class Fibers {
public:
    using Body = void (*)(void* context);
    static constexpr size_t kStackBytes = 128 * 1024;

    Fibers() = default;
    ~Fibers();
    Fibers(const Fibers&) = delete;
    Fibers& operator=(const Fibers&) = delete;

    // Runs fiber `index` until it yields or ends; one that is not running yet begins body(context). True when it ended.
    bool resume(size_t index, Body body, void* context);
    // From inside: back to resume().
    void yield();
    // From inside, for good: what the fiber was doing is forgotten.
    [[noreturn]] void abandon();
    // Forgets what fibers that have not ended were doing.
    void reset();

    [[nodiscard]] size_t current() const { return current_; }
    [[nodiscard]] bool on_stack(size_t index, uintptr_t at) const;
    [[nodiscard]] bool on_any_stack(uintptr_t at) const;

private:
    struct Fiber {
        std::byte* stack = nullptr;
        ucontext_t start{};
        jmp_buf state{};
        bool begun = false;
    };
    static void main(unsigned low, unsigned high);
    void prepare(Fiber& fiber);

    std::vector<Fiber*> fibers_;
    jmp_buf scheduler_{};
    size_t current_ = 0;
    Body body_ = nullptr;
    void* context_ = nullptr;
};

}  // namespace millrace::cuda_sim
