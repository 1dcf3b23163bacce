#include "tests/support/cuda_sim/fibers.h"

#include <sys/mman.h>

#include "core/base/check.h"

namespace millrace::cuda_sim {
namespace {

// Stacks of one size would begin in the same few lines of the caches: each begins somewhat lower than the one before.
constexpr size_t kColours = 64;
constexpr size_t kColourBytes = 320;

}  // namespace

#if defined(__x86_64__)

// Keeps the registers that a call must keep on the stack it leaves, and takes up those of the other.
asm(R"(
    .text
    .p2align 4
    .type millrace_switch_fiber, @function
millrace_switch_fiber:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size millrace_switch_fiber, .-millrace_switch_fiber

    .type millrace_begin_fiber, @function
millrace_begin_fiber:
    movq %r12, %rdi
    callq *%r13
    ud2
    .size millrace_begin_fiber, .-millrace_begin_fiber
)");

extern "C" {
void millrace_switch_fiber(FiberState* from, const FiberState* to);
void millrace_begin_fiber();
}

namespace {

void switch_fiber(FiberState& from, const FiberState& to) { millrace_switch_fiber(&from, &to); }

void prepare(FiberState& state, uintptr_t, uintptr_t top, Fibers::Body body, void* context) {
    auto* stack = reinterpret_cast<uintptr_t*>(top);
    *--stack = 0;  // a call wants a multiple of 16
    *--stack = 0;
    *--stack = reinterpret_cast<uintptr_t>(&millrace_begin_fiber);
    *--stack = 0;                                     // rbp
    *--stack = 0;                                     // rbx
    *--stack = reinterpret_cast<uintptr_t>(context);  // r12
    *--stack = reinterpret_cast<uintptr_t>(body);     // r13
    *--stack = 0;                                     // r14
    *--stack = 0;                                     // r15
    state.stack_pointer = stack;
}

}  // namespace

#else

namespace {

void switch_fiber(FiberState& from, const FiberState& to) { ENSURE(swapcontext(&from, &to) == 0); }

void call(unsigned body_low, unsigned body_high, unsigned low, unsigned high) {
    const auto word = [](unsigned l, unsigned h) { return (static_cast<uintptr_t>(h) << 32) | l; };
    reinterpret_cast<Fibers::Body>(word(body_low, body_high))(
        reinterpret_cast<void*>(word(low, high)));
}

void prepare(FiberState& state, uintptr_t bottom, uintptr_t top, Fibers::Body body, void* context) {
    ENSURE(getcontext(&state) == 0);
    state.uc_stack.ss_sp = reinterpret_cast<void*>(bottom);
    state.uc_stack.ss_size = top - bottom;
    state.uc_link = nullptr;
    const auto function = reinterpret_cast<uintptr_t>(body);
    const auto argument = reinterpret_cast<uintptr_t>(context);
    makecontext(&state, reinterpret_cast<void (*)()>(&call), 4, static_cast<unsigned>(function),
                static_cast<unsigned>(function >> 32), static_cast<unsigned>(argument),
                static_cast<unsigned>(argument >> 32));
}

}  // namespace

#endif

Fibers::Fibers(Body body, void* context) : body_(body), context_(context), states_(kFibersMax) {
    void* stacks = mmap(nullptr, kFibersMax * kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ENSURE(stacks != MAP_FAILED);
    stacks_ = reinterpret_cast<uintptr_t>(stacks);
}

Fibers::~Fibers() { munmap(reinterpret_cast<void*>(stacks_), kFibersMax * kStackBytes); }

void Fibers::enter(size_t index) {
    current_ = index;
    switch_fiber(outside_, states_[index]);
}

void Fibers::go_on(size_t index) {
    FiberState& own = states_[current_];
    current_ = index;
    switch_fiber(own, states_[index]);
}

void Fibers::leave() { switch_fiber(states_[current_], outside_); }

void Fibers::reset(size_t fibers) {
    for (size_t i = 0; i < fibers; ++i) begin(i);
}

void Fibers::begin(size_t index) {
    const uintptr_t bottom = stack_of(index);
    prepare(states_[index], bottom, bottom + kStackBytes - index % kColours * kColourBytes, body_,
            context_);
}

}  // namespace millrace::cuda_sim
