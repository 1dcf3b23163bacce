#include "tests/support/cuda_sim/fibers.h"

#include <sys/mman.h>

#include "core/base/check.h"

namespace millrace::cuda_sim {
namespace {

// What setjmp returns when somebody jumps.
constexpr int kYielded = 1;
constexpr int kEnded = 2;

}  // namespace

Fibers::~Fibers() {
    for (Fiber* fiber : fibers_) {
        munmap(fiber->stack, kStackBytes);
        delete fiber;
    }
}

void Fibers::main(unsigned low, unsigned high) {
    auto* fibers = reinterpret_cast<Fibers*>((static_cast<uintptr_t>(high) << 32) | low);
    fibers->body_(fibers->context_);
    fibers->abandon();
}

void Fibers::prepare(Fiber& fiber) {
    ENSURE(getcontext(&fiber.start) == 0);
    fiber.start.uc_stack.ss_sp = fiber.stack;
    fiber.start.uc_stack.ss_size = kStackBytes;
    fiber.start.uc_link = nullptr;
    const auto self = reinterpret_cast<uintptr_t>(this);
    makecontext(&fiber.start, reinterpret_cast<void (*)()>(&Fibers::main), 2,
                static_cast<unsigned>(self), static_cast<unsigned>(self >> 32));
}

bool Fibers::resume(size_t index, Body body, void* context) {
    while (fibers_.size() <= index) {
        auto* fiber = new Fiber;
        void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ENSURE(stack != MAP_FAILED);
        fiber->stack = static_cast<std::byte*>(stack);
        fibers_.push_back(fiber);
    }
    current_ = index;
    body_ = body;
    context_ = context;
    const int why = _setjmp(scheduler_);
    if (why == 0) {
        Fiber& fiber = *fibers_[index];
        if (fiber.begun) _longjmp(fiber.state, 1);
        prepare(fiber);
        fiber.begun = true;
        setcontext(&fiber.start);
    }
    if (why == kEnded) fibers_[current_]->begun = false;
    return why == kEnded;
}

void Fibers::yield() {
    if (_setjmp(fibers_[current_]->state) == 0) _longjmp(scheduler_, kYielded);
}

void Fibers::abandon() { _longjmp(scheduler_, kEnded); }

void Fibers::reset() {
    for (Fiber* fiber : fibers_) fiber->begun = false;
}

bool Fibers::on_stack(size_t index, uintptr_t at) const {
    const auto begin = reinterpret_cast<uintptr_t>(fibers_[index]->stack);
    return at >= begin && at < begin + kStackBytes;
}

bool Fibers::on_any_stack(uintptr_t at) const {
    for (size_t i = 0; i < fibers_.size(); ++i) {
        if (on_stack(i, at)) return true;
    }
    return false;
}

}  // namespace millrace::cuda_sim
