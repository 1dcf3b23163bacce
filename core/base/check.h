#pragma once
// ENSURE states what only a bug can break; it stays on in release. Input from outside must never reach one.

namespace millrace {

// Prints the broken condition and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace millrace

#define ENSURE(condition)  \
    ((condition) ? void(0) \
                 : ::millrace::check_failed(#condition, __builtin_FILE(), __builtin_LINE()))

#ifdef NDEBUG
#define DENSURE(condition) void(sizeof(!(condition)))
#else
#define DENSURE(condition) ENSURE(condition)
#endif
