#include "core/base/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/base/strings.h"
#include "core/base/utf8.h"

namespace millrace {
namespace {

constexpr size_t kDepthMax = 256;
constexpr size_t kProblemBytesMax = 240;

enum class Duplicates { kLastWins, kRefuse };

// Builds the tree from nlohmann's events. Returning false stops the reader; `error` then says why.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
public:
    explicit Builder(Duplicates duplicates) : duplicates_(duplicates) {}

    bool null() override { return put(Json()); }
    bool boolean(bool value) override { return put(Json(value)); }
    bool number_integer(number_integer_t value) override { return put(Json(value)); }
    bool number_unsigned(number_unsigned_t value) override { return put(Json(value)); }
    bool number_float(number_float_t, const string_t& spelling) override {
        return put(Json::number(spelling));
    }
    bool string(string_t& value) override { return put(Json(std::move(value))); }
    bool binary(binary_t&) override { return fail("binary values are not JSON"); }

    bool start_object(std::size_t) override { return open(Json(Json::Object{})); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(Json(Json::Array{})); }
    bool end_array() override { return close(); }

    bool key(string_t& name) override {
        Frame& top = stack_.back();
        if (top.seen.contains(name) && duplicates_ == Duplicates::kRefuse) {
            return fail(cat("the name ", quote_text(name), " stands twice in one object"));
        }
        top.key = std::move(name);
        return true;
    }

    bool parse_error(std::size_t position, const std::string&,
                     const nlohmann::json::exception& problem) override {
        // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error …"
        std::string what = problem.what();
        if (const size_t end = what.find("] "); end != std::string::npos) what.erase(0, end + 2);
        // The reader quotes the whole token, which may be most of the text.
        const bool cut = what.size() > kProblemBytesMax;
        what.resize(std::min(what.size(), kProblemBytesMax));
        return fail(
            cat("not valid JSON at byte ", position, " (", repair_utf8(what), cut ? "…)" : ")"));
    }

    Json root;
    std::string error;

private:
    struct Frame {
        Json value;
        std::string key;
        std::unordered_map<std::string, size_t> seen;  // member name → place
    };

    bool fail(std::string why) {
        if (error.empty()) error = std::move(why);
        return false;
    }

    bool open(Json container) {
        if (stack_.size() >= kDepthMax)
            return fail(cat("nested deeper than ", kDepthMax, " levels"));
        stack_.push_back({std::move(container), {}, {}});
        return true;
    }

    bool close() {
        Json done = std::move(stack_.back().value);
        stack_.pop_back();
        return put(std::move(done));
    }

    bool put(Json value) {
        if (stack_.empty()) {
            root = std::move(value);
            return true;
        }
        Frame& top = stack_.back();
        if (top.value.is_array()) {
            top.value.push(std::move(value));
            return true;
        }
        Json::Object& members = top.value.members();
        const auto [place, fresh] = top.seen.try_emplace(top.key, members.size());
        if (fresh) {
            members.emplace_back(top.key, std::move(value));
        } else {
            members[place->second].second = std::move(value);
        }
        return true;
    }

    Duplicates duplicates_;
    std::vector<Frame> stack_;
};

Result<Json> parse_with(std::string_view text, Duplicates duplicates) {
    Builder builder(duplicates);
    const bool done = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
    if (!done) return Error{ErrorCode::kCorrupt, builder.error};
    return std::move(builder.root);
}

void write_string(std::string& out, std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    out.push_back('"');
    for (const char c : text) {
        switch (c) {
            case '"': out += "\\\""; break;
            case '\\': out += "\\\\"; break;
            case '\n': out += "\\n"; break;
            case '\r': out += "\\r"; break;
            case '\t': out += "\\t"; break;
            case '\b': out += "\\b"; break;
            case '\f': out += "\\f"; break;
            default:
                if (static_cast<unsigned char>(c) < 0x20) {
                    out += "\\u00";
                    out.push_back(kHex[static_cast<unsigned char>(c) >> 4]);
                    out.push_back(kHex[static_cast<unsigned char>(c) & 15]);
                } else {
                    out.push_back(c);
                }
        }
    }
    out.push_back('"');
}

// Python prints a float by repr: the shortest digits that read back, with an exponent from 1e16 on and below 1e-4.
std::string python_number(const std::string& spelling) {
    const bool integer = spelling.find_first_of(".eE") == std::string::npos;
    if (integer) return spelling == "-0" ? "0" : spelling;
    double value = 0;
    std::from_chars(spelling.data(), spelling.data() + spelling.size(), value);
    if (std::isinf(value) ||
        (value == 0 && spelling.find_first_of("123456789") != std::string::npos)) {
        value =
            std::strtod(spelling.c_str(), nullptr);  // from_chars leaves out-of-range values alone
    }
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    const double size = std::fabs(value);
    const bool with_exponent = size != 0 && (size < 1e-4 || size >= 1e16);
    std::array<char, 400> text{};
    const auto format = with_exponent ? std::chars_format::scientific : std::chars_format::fixed;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value, format).ptr;
    std::string out(text.data(), end);
    if (!with_exponent && out.find('.') == std::string::npos) out += ".0";
    return out;
}

struct Style {
    std::string_view comma, colon;
    bool python;
};

void write(std::string& out, const Json& value, const Style& style) {
    switch (value.kind()) {
        case Json::Kind::kNull: out += "null"; break;
        case Json::Kind::kBool: out += *value.as_bool() ? "true" : "false"; break;
        case Json::Kind::kNumber:
            out += style.python ? python_number(value.spelling()) : value.spelling();
            break;
        case Json::Kind::kString: write_string(out, *value.as_string()); break;
        case Json::Kind::kArray: {
            out.push_back('[');
            std::string_view between;
            for (const Json& item : value.items()) {
                out += between;
                write(out, item, style);
                between = style.comma;
            }
            out.push_back(']');
            break;
        }
        case Json::Kind::kObject: {
            out.push_back('{');
            std::string_view between;
            for (const auto& [name, member] : value.members()) {
                out += between;
                write_string(out, name);
                out += style.colon;
                write(out, member, style);
                between = style.comma;
            }
            out.push_back('}');
            break;
        }
    }
}

}  // namespace

Json::Json(double value) : kind_(Kind::kNumber) {
    if (std::isfinite(value)) {
        append(text_, value);
    } else {
        kind_ = Kind::kNull;  // JSON has no word for it
    }
}

Json Json::number(std::string spelling) {
    Json out;
    out.kind_ = Kind::kNumber;
    out.text_ = std::move(spelling);
    return out;
}

Result<Json> Json::parse(std::string_view text) { return parse_with(text, Duplicates::kLastWins); }
Result<Json> Json::parse_unique(std::string_view text) {
    return parse_with(text, Duplicates::kRefuse);
}

std::optional<int64_t> Json::as_int() const {
    if (!is_number()) return std::nullopt;
    int64_t value = 0;
    const char* end = text_.data() + text_.size();
    const auto [stop, problem] = std::from_chars(text_.data(), end, value);
    if (problem != std::errc() || stop != end) return std::nullopt;
    return value;
}

std::optional<double> Json::as_double() const {
    if (!is_number()) return std::nullopt;
    const double value = std::strtod(text_.c_str(), nullptr);
    if (!std::isfinite(value)) return std::nullopt;
    return value;
}

std::optional<bool> Json::as_bool() const {
    if (!is_bool()) return std::nullopt;
    return bool_;
}

const Json* Json::find(std::string_view name) const {
    const auto at = std::find_if(object_.begin(), object_.end(),
                                 [name](const auto& member) { return member.first == name; });
    return at == object_.end() ? nullptr : &at->second;
}

void Json::set(std::string name, Json value) {
    if (is_null()) kind_ = Kind::kObject;
    ENSURE(is_object());
    const auto at = std::find_if(object_.begin(), object_.end(),
                                 [&name](const auto& member) { return member.first == name; });
    if (at != object_.end()) {
        at->second = std::move(value);
    } else {
        object_.emplace_back(std::move(name), std::move(value));
    }
}

void Json::push(Json value) {
    if (is_null()) kind_ = Kind::kArray;
    ENSURE(is_array());
    array_.push_back(std::move(value));
}

std::string Json::dump() const {
    std::string out;
    write(out, *this, {",", ":", false});
    return out;
}

std::string Json::dump_python() const {
    std::string out;
    write(out, *this, {", ", ": ", true});
    return out;
}

std::string_view Json::kind_name() const {
    switch (kind_) {
        case Kind::kNull: return "null";
        case Kind::kBool: return "a boolean";
        case Kind::kNumber: return "a number";
        case Kind::kString: return "a string";
        case Kind::kArray: return "an array";
        case Kind::kObject: return "an object";
    }
    return "?";
}

}  // namespace millrace
