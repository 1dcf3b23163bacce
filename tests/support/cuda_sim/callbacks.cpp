// What compilers call in code built with -fsanitize=thread and -fsanitize=bounds,shift: the way in for every load and store
// of a kernel. Outside kernels they mean nothing.

#include "tests/support/cuda_sim/machine.h"

namespace {

using millrace::cuda_sim::Access;
using millrace::cuda_sim::checking;
using millrace::cuda_sim::Fault;
using millrace::cuda_sim::machine;
using millrace::cuda_sim::running_stack;
using millrace::cuda_sim::Unchecked;

// With the number of bytes known; all of it is here, and hardly anything is called while nothing is wrong.
template <Access kAccess>
[[gnu::always_inline]] inline void note(const void* at, size_t bytes, bool must_align,
                                        const void* from) {
    const Unchecked unchecked;
    millrace::cuda_sim::the_machine->access_as<kAccess>(
        reinterpret_cast<uintptr_t>(at), bytes, must_align, reinterpret_cast<uintptr_t>(from));
}

template <Access kAccess, size_t kBytes, bool kMustAlign>
[[gnu::noinline]] void note_one(const void* at, const void* from) {
    note<kAccess>(at, kBytes, kMustAlign, from);
}

// Most accesses are those of local variables: they are let go before anything is saved on the stack.
[[gnu::always_inline]] inline bool counts(const void* at) {
    return checking && reinterpret_cast<uintptr_t>(at) - running_stack >=
                           millrace::cuda_sim::Fibers::kStackBytes;
}

// The compiler describes the place of a wrong index or shift; the line follows the file's name.
struct Described {
    const char* file;
    uint32_t line, column;
};

void wrong(Fault fault, const void* description, const std::string& what) {
    if (!checking) return;
    const Unchecked unchecked;
    const auto* place = static_cast<const Described*>(description);
    machine().fail(fault, what + " in line " + std::to_string(place->line));
}

}  // namespace

#define MILLRACE_NOTE(name, access, bytes, aligned)                                        \
    void name(void* at) {                                                                  \
        if (counts(at)) note_one<access, bytes, aligned>(at, __builtin_return_address(0)); \
    }
#define MILLRACE_NOTE_BOTH(name, bytes, aligned)                                   \
    void name(void* at) {                                                          \
        if (!counts(at)) return;                                                   \
        note_one<Access::kRead, bytes, aligned>(at, __builtin_return_address(0));  \
        note_one<Access::kWrite, bytes, aligned>(at, __builtin_return_address(0)); \
    }
#define MILLRACE_ACCESS(bytes)                                                 \
    MILLRACE_NOTE(__tsan_read##bytes, Access::kRead, bytes, true)              \
    MILLRACE_NOTE(__tsan_write##bytes, Access::kWrite, bytes, true)            \
    MILLRACE_NOTE(__tsan_unaligned_read##bytes, Access::kRead, bytes, false)   \
    MILLRACE_NOTE(__tsan_unaligned_write##bytes, Access::kWrite, bytes, false) \
    MILLRACE_NOTE_BOTH(__tsan_read_write##bytes, bytes, true)                  \
    MILLRACE_NOTE_BOTH(__tsan_unaligned_read_write##bytes, bytes, false)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-declarations"
extern "C" {

void __tsan_init() {}
// The host's part of the sources counts references (std::shared_ptr); kernels have their own atomics.
int __tsan_atomic32_fetch_add(volatile int* at, int value, int /*order*/) {
    return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit(void*) {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

MILLRACE_ACCESS(1)
MILLRACE_ACCESS(2)
MILLRACE_ACCESS(4)
MILLRACE_ACCESS(8)
MILLRACE_ACCESS(16)

void __tsan_read_range(void* at, size_t bytes) {
    if (counts(at)) note<Access::kRead>(at, bytes, false, __builtin_return_address(0));
}
void __tsan_write_range(void* at, size_t bytes) {
    if (counts(at)) note<Access::kWrite>(at, bytes, false, __builtin_return_address(0));
}
void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
    if (counts(from)) note<Access::kRead>(from, bytes, false, __builtin_return_address(0));
    if (counts(to)) note<Access::kWrite>(to, bytes, false, __builtin_return_address(0));
    return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, size_t bytes) {
    if (counts(from)) note<Access::kRead>(from, bytes, false, __builtin_return_address(0));
    if (counts(to)) note<Access::kWrite>(to, bytes, false, __builtin_return_address(0));
    return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, size_t bytes) {
    if (counts(to)) note<Access::kWrite>(to, bytes, false, __builtin_return_address(0));
    return std::memset(to, value, bytes);
}
// The guard of a function's static variable.
int __tsan_atomic8_load(const void* at, int) {
    return *static_cast<const volatile signed char*>(at);
}

// The counters of --coverage; kernels' own atomics are functions of the simulator.
uint64_t __tsan_atomic64_fetch_add(volatile uint64_t* at, uint64_t value, int) {
    const uint64_t before = *at;
    *at = before + value;
    return before;
}

void __ubsan_handle_out_of_bounds(void* description, uintptr_t index) {
    wrong(Fault::kIndexBounds, description, "index " + std::to_string(index) + " of an array");
}
void __ubsan_handle_shift_out_of_bounds(void* description, uintptr_t, uintptr_t by) {
    wrong(Fault::kShift, description, "a shift by " + std::to_string(by));
}

}  // extern "C"
#pragma GCC diagnostic pop
