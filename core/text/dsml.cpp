#include "core/text/dsml.h"

#include <algorithm>
#include <unordered_map>

#include "core/base/json.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

using Kind = TagMatch::Kind;

constexpr std::string_view kBar = "｜";
constexpr std::string_view kBlank = " \t\r\n";

// The grammar of V4, with the names its successor uses for the same things.
struct TagName {
    std::string_view name;
    Kind open, close;
};
constexpr TagName kTagNames[] = {
    {"tool_calls", Kind::kBlockOpen, Kind::kBlockClose},
    {"calls", Kind::kBlockOpen, Kind::kBlockClose},
    {"invoke", Kind::kInvokeOpen, Kind::kInvokeClose},
    {"parameter", Kind::kParameterOpen, Kind::kParameterClose},
};

// Eats words from the front. Running out of text inside a word is remembered: then nothing is
// certain yet.
struct Reader {
    std::string_view rest;
    bool ran_out = false;

    bool eat(std::string_view word) {
        if (rest.starts_with(word)) {
            rest.remove_prefix(word.size());
            return true;
        }
        if (word.starts_with(rest)) ran_out = true;
        return false;
    }
    int eat_bars() { return eat(kBar) ? (eat(kBar) ? 2 : 1) : 0; }
    // True if no letter of a longer name follows.
    bool at_name_end() {
        if (rest.empty()) {
            ran_out = true;
            return true;
        }
        const char c = rest[0];
        return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '_');
    }
};

TagMatch match_complete(Reader& reader, std::string_view text) {
    const auto bytes = [&] { return text.size() - reader.rest.size(); };
    reader.rest.remove_prefix(1);  // '<'
    const bool closes = reader.eat("/");
    if (closes && reader.eat("think>")) return {Kind::kThinkClose, bytes(), false};
    const bool barred = reader.eat_bars() > 0;
    const bool marked = reader.eat("DSML") && reader.eat_bars() > 0;
    if (barred && !marked) return {};
    const size_t after_marker = bytes();
    if (marked) reader.eat(" ");
    for (const TagName& tag : kTagNames) {
        const std::string_view before = reader.rest;
        if (reader.eat(tag.name) && reader.at_name_end()) {
            return {closes ? tag.close : tag.open, bytes(), marked};
        }
        reader.rest = before;
    }
    if (closes && marked) return {Kind::kOtherClose, after_marker, true};
    return {};
}

void trim(std::string& text) {
    const size_t end = text.find_last_not_of(kBlank);
    text.erase(end == std::string::npos ? 0 : end + 1);
}

// Whether `text` is JSON that may stand as a member of an object (which is one level deeper).
bool is_json_value(std::string_view text) {
    return Json::parse(text).ok() && Json::parse(cat("[", text, "]")).ok();
}

// `{"a": 1, "b": "x"}`; a name given twice keeps its first place and its last value.
std::string join_arguments(const std::vector<std::pair<std::string, std::string>>& arguments) {
    std::unordered_map<std::string_view, size_t> last;
    for (size_t i = 0; i < arguments.size(); ++i) last[arguments[i].first] = i;
    std::string out = "{";
    for (const auto& [name, value] : arguments) {
        const auto at = last.find(name);
        if (at == last.end()) continue;  // written already
        if (out.size() > 1) out += ", ";
        out += cat(Json(name).dump(), ": ", arguments[at->second].second);
        last.erase(at);
    }
    out.push_back('}');
    return out;
}

}  // namespace

TagMatch match_tag(std::string_view text, Input input) {
    Reader reader{text};
    const TagMatch match = match_complete(reader, text);
    if (reader.ran_out && input == Input::kOpen) return {Kind::kPartial, 0, false};
    return match;
}

size_t DsmlParser::read(std::string_view text, Input input, std::vector<ToolCall>& calls) {
    size_t at = 0;
    while (at < text.size()) {
        const size_t done = step(text.substr(at), input, calls);
        if (done == 0) break;
        at += done;
    }
    return at;
}

size_t DsmlParser::step(std::string_view text, Input input, std::vector<ToolCall>& calls) {
    if (skip_bracket_) {
        skip_bracket_ = false;
        if (text[0] == '>') return 1;
    }
    switch (state_) {
        case State::kBetweenCalls:
        case State::kArguments: return read_structure(text, input, calls);
        case State::kCallQuote: return seek_quote(text, State::kCallName, State::kBetweenCalls);
        case State::kCallName: return read_until(text, '"', name_, State::kCallTagEnd);
        case State::kCallTagEnd: {
            const size_t end = text.find_first_of("<>");
            if (end == std::string_view::npos) return text.size();
            state_ = State::kArguments;
            if (text[end] == '>') return end + 1;
            return end > 0 ? end : read_structure(text, input, calls);
        }
        case State::kParameterQuote:
            return seek_quote(text, State::kParameterName, State::kArguments);
        case State::kParameterName: return read_until(text, '"', parameter_, State::kParameterType);
        case State::kParameterType: return read_type(text);
        case State::kValue:
        case State::kBody: return read_payload(text, input, calls);
        case State::kClosed: return text.size();
    }
    return text.size();
}

size_t DsmlParser::seek_quote(std::string_view text, State found, State given_up) {
    const size_t at = text.find_first_of("\">");
    if (at == std::string_view::npos) return text.size();
    state_ = text[at] == '"' ? found : given_up;
    if (state_ == State::kBetweenCalls) in_call_ = false;  // a call without a name
    return at + 1;
}

size_t DsmlParser::read_until(std::string_view text, char end, std::string& out, State then) {
    const size_t at = text.find(end);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return text.size();
    state_ = then;
    return at + 1;
}

size_t DsmlParser::read_type(std::string_view text) {
    const size_t done = read_until(text, '>', type_, State::kValue);
    if (state_ == State::kValue) payload_.clear();
    return done;
}

size_t DsmlParser::read_payload(std::string_view text, Input input, std::vector<ToolCall>& calls) {
    if (text[0] != '<') {
        const size_t end = std::min(text.find('<'), text.size());
        payload_ += text.substr(0, end);
        return end;
    }
    const TagMatch tag = match_tag(text, input);
    if (tag.kind == Kind::kPartial) return 0;
    const bool block = tag.kind == Kind::kBlockClose, invoke = tag.kind == Kind::kInvokeClose,
               parameter = tag.kind == Kind::kParameterClose;
    // A payload that was opened with DSML may speak of XML as it likes.
    const bool plain = !tag.marked && !marked_ && (state_ == State::kValue ? parameter : invoke);
    const bool closes =
        plain || (tag.marked && (block || invoke || parameter || tag.kind == Kind::kOtherClose));
    if (!closes) {
        payload_ += text[0];
        return 1;
    }
    end_payload(tag.kind, calls);
    skip_bracket_ = true;
    return tag.bytes;
}

size_t DsmlParser::read_structure(std::string_view text, Input input,
                                  std::vector<ToolCall>& calls) {
    const bool body_may_begin = state_ == State::kArguments && arguments_.empty();
    const size_t at = text.find_first_of(body_may_begin ? "<{" : "<");
    if (at != 0) return std::min(at, text.size());
    if (text[0] == '{') {
        state_ = State::kBody;
        payload_.assign(1, '{');
        return 1;
    }
    const TagMatch tag = match_tag(text, input);
    switch (tag.kind) {
        case Kind::kPartial: return 0;
        case Kind::kInvokeOpen:
            if (state_ == State::kArguments) end_call(State::kBetweenCalls, calls);
            open_call(tag.marked);
            return tag.bytes;
        case Kind::kParameterOpen:
            if (state_ != State::kArguments) return tag.bytes;
            parameter_.clear();
            type_.clear();
            marked_ = tag.marked;
            state_ = State::kParameterQuote;
            return tag.bytes;
        case Kind::kInvokeClose:
        case Kind::kOtherClose:
            if (state_ == State::kArguments) end_call(State::kBetweenCalls, calls);
            break;
        case Kind::kBlockClose:
            if (state_ == State::kArguments) end_call(State::kClosed, calls);
            state_ = State::kClosed;
            break;
        case Kind::kParameterClose: break;
        case Kind::kNone:
        case Kind::kThinkClose:
        case Kind::kBlockOpen: return std::max<size_t>(tag.bytes, 1);
    }
    skip_bracket_ = true;
    return tag.bytes;
}

void DsmlParser::open_call(bool marked) {
    state_ = State::kCallQuote;
    in_call_ = true;
    marked_ = marked;
    name_.clear();
    arguments_.clear();
}

void DsmlParser::end_payload(TagMatch::Kind closer, std::vector<ToolCall>& calls) {
    if (state_ == State::kBody) {
        trim(payload_);
        const auto parsed = Json::parse(payload_);
        if (parsed.ok() && parsed->is_object()) {
            for (const auto& [name, value] : parsed->members()) {
                arguments_.emplace_back(name, value.dump());
            }
        } else {
            arguments_.emplace_back("arguments", Json(payload_).dump());
        }
    } else {
        end_parameter(closer);
    }
    const bool call_goes_on =
        state_ == State::kValue && (closer == Kind::kParameterClose || closer == Kind::kOtherClose);
    if (call_goes_on) {
        state_ = State::kArguments;
    } else {
        end_call(closer == Kind::kBlockClose ? State::kClosed : State::kBetweenCalls, calls);
    }
}

void DsmlParser::end_parameter(TagMatch::Kind closer) {
    // Closed by its parent's tag: its own was missing, or written as plain XML.
    if (closer == Kind::kInvokeClose || closer == Kind::kBlockClose) {
        constexpr std::string_view kPlain = "</parameter>";
        std::string trimmed = payload_;
        trim(trimmed);
        if (trimmed.ends_with(kPlain)) {
            payload_ = trimmed.substr(0, trimmed.size() - kPlain.size());
        } else if (payload_.ends_with('\n')) {
            payload_.pop_back();
        }
    }
    const bool json = type_.find("\"false\"") != std::string::npos;
    if (json && is_json_value(payload_)) {
        const size_t begin = payload_.find_first_not_of(kBlank);
        trim(payload_);
        arguments_.emplace_back(std::move(parameter_), payload_.substr(begin));
    } else {
        arguments_.emplace_back(std::move(parameter_), Json(payload_).dump());
    }
}

void DsmlParser::end_call(State then, std::vector<ToolCall>& calls) {
    if (!name_.empty()) calls.push_back({{}, std::move(name_), join_arguments(arguments_)});
    name_.clear();
    arguments_.clear();
    in_call_ = false;
    state_ = then;
}

}  // namespace millrace
