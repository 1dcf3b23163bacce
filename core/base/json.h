#pragma once
// JSON as a tree that keeps what the text said: member order, and numbers as they were spelled. Parsing is strict
// (RFC 8259, UTF-8, no lone surrogates) and bounded in depth; nothing here throws. nlohmann-json reads the text.

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"

namespace millrace {

class Json {
public:
    enum class Kind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };
    using Array = std::vector<Json>;
    using Object = std::vector<std::pair<std::string, Json>>;  // in the text's order

    Json() = default;
    Json(bool value) : kind_(Kind::kBool), bool_(value) {}
    Json(std::string text) : kind_(Kind::kString), text_(std::move(text)) {}
    Json(std::string_view text) : Json(std::string(text)) {}
    Json(const char* text) : Json(std::string(text)) {}
    template <std::integral T>
    requires(!std::same_as<T, bool>) Json(T value)
        : kind_(Kind::kNumber), text_(std::to_string(value)) {}
    Json(double value);
    Json(Array items) : kind_(Kind::kArray), array_(std::move(items)) {}
    Json(Object members) : kind_(Kind::kObject), object_(std::move(members)) {}
    // A number by its spelling, which must be a valid JSON number.
    [[nodiscard]] static Json number(std::string spelling);

    // Depth at most 256; a duplicate member keeps its first place and its last value, as Python's reader does.
    [[nodiscard]] static Result<Json> parse(std::string_view text);
    // The same, and a duplicate member is an error: for files where two values would be a contradiction.
    [[nodiscard]] static Result<Json> parse_unique(std::string_view text);

    [[nodiscard]] Kind kind() const { return kind_; }
    [[nodiscard]] bool is_null() const { return kind_ == Kind::kNull; }
    [[nodiscard]] bool is_string() const { return kind_ == Kind::kString; }
    [[nodiscard]] bool is_number() const { return kind_ == Kind::kNumber; }
    [[nodiscard]] bool is_bool() const { return kind_ == Kind::kBool; }
    [[nodiscard]] bool is_array() const { return kind_ == Kind::kArray; }
    [[nodiscard]] bool is_object() const { return kind_ == Kind::kObject; }

    // Absent when the kind or the range does not fit.
    [[nodiscard]] std::optional<int64_t> as_int() const;  // only integer spellings
    [[nodiscard]] std::optional<double> as_double() const;
    [[nodiscard]] std::optional<bool> as_bool() const;
    [[nodiscard]] const std::string* as_string() const { return is_string() ? &text_ : nullptr; }
    [[nodiscard]] const std::string& spelling() const { return text_; }  // of a number
    // Empty when this is not an array / object.
    [[nodiscard]] const Array& items() const { return array_; }
    [[nodiscard]] const Object& members() const { return object_; }
    [[nodiscard]] Object& members() { return object_; }
    // The member's value, or null if there is none or this is no object.
    [[nodiscard]] const Json* find(std::string_view name) const;
    // Replaces or appends a member; makes an object of a null.
    void set(std::string name, Json value);
    void push(Json value);

    // Compact text: `{"a":1,"b":[true]}`; non-ASCII stays as it is.
    [[nodiscard]] std::string dump() const;
    // As Python's json.dumps(x, ensure_ascii=False) writes it: `{"a": 1, "b": [true]}`, floats by repr.
    [[nodiscard]] std::string dump_python() const;
    // "an object", "a string", … for messages.
    [[nodiscard]] std::string_view kind_name() const;

private:
    Kind kind_ = Kind::kNull;
    bool bool_ = false;
    std::string text_;  // of a string; the spelling of a number
    Array array_;
    Object object_;
};

}  // namespace millrace
