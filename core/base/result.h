#pragma once
// Expected failures (files, requests, capacity) are values. `Result<T>` holds a T or an Error; `TRY` unwraps or returns.
// A bug is not a Result: that is ENSURE (check.h).

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "core/base/check.h"

namespace millrace {

enum class ErrorCode {
    kInvalid,      // the caller's words or a document are wrong
    kNotFound,     // a file, tensor or entry is missing
    kCorrupt,      // a file contradicts itself or its format
    kIo,           // the operating system refused or failed
    kNoSpace,      // a disk or a file system is full
    kCapacity,     // a planned limit (memory, context, queue) is too small
    kUnsupported,  // valid, but not something this build or machine can do
    kCancelled,    // somebody asked to stop
    kDeviceLost,   // a GPU stopped working: what lay in its memory is gone
};

// One sentence for a human: the thing, what was found, what was wanted, the likely fix.
struct Error {
    ErrorCode code;
    std::string message;

    // Says where it happened, once, at the place that knows: "reading config.json: …".
    [[nodiscard]] Error in(const std::string& context) const {
        return {code, context + ": " + message};
    }
};

template <class T>
class [[nodiscard]] Result {
public:
    using Value = T;
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    [[nodiscard]] bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(value()); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    [[nodiscard]] const Error& error() const {
        ENSURE(!ok());
        return *std::get_if<1>(&state_);
    }

private:
    T& value() {
        ENSURE(ok());
        return *std::get_if<0>(&state_);
    }
    const T& value() const {
        ENSURE(ok());
        return *std::get_if<0>(&state_);
    }

    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    using Value = void;
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}

    [[nodiscard]] bool ok() const { return !error_.has_value(); }
    explicit operator bool() const { return ok(); }
    void operator*() const { ENSURE(ok()); }

    [[nodiscard]] const Error& error() const {
        ENSURE(!ok());
        return *error_;
    }

private:
    std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace millrace

// `auto x = TRY(f());` continues with the value or returns the error. Not in an initialiser or beside an owning argument:
// what stands before it there leaks. The counter keeps a TRY in a TRY's expression (a lambda's body) from shadowing it.
#define TRY(expression) TRY_NUMBERED(expression, __COUNTER__)
#define TRY_NUMBERED(expression, number) TRY_PASTED(expression, number)
#define TRY_PASTED(expression, number)                                     \
    __extension__({                                                        \
        auto try_result_##number = (expression);                           \
        if (!try_result_##number.ok()) return try_result_##number.error(); \
        *std::move(try_result_##number);                                   \
    })
