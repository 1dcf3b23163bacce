#include "core/text/stream_filter.h"

#include <algorithm>

#include "core/base/utf8.h"

namespace millrace {
namespace {

void append_part(StreamPart::Kind kind, std::string_view text, std::vector<StreamPart>& out) {
    if (text.empty()) return;
    if (out.empty() || out.back().kind != kind) out.push_back({kind});
    out.back().text += text;
}

}  // namespace

StreamFilter::StreamFilter(const Tokenizer& tokenizer, StreamStart start, StopStrings stops)
    : tokenizer_(&tokenizer),
      state_(start == StreamStart::kReasoning ? State::kReasoning
             : start == StreamStart::kAnswer  ? State::kAnswer
                                              : State::kTools),
      stops_(std::move(stops)) {}

Result<StreamFilter> StreamFilter::create(const Tokenizer& tokenizer,
                                          const StreamOptions& options) {
    StopStrings stops = TRY(StopStrings::create(options.stop_strings));
    return StreamFilter(tokenizer, options.start, std::move(stops));
}

void StreamFilter::feed(TokenId id, std::vector<StreamPart>& out) {
    feed(tokenizer_->token_bytes(id), out);
}

void StreamFilter::feed(std::string_view bytes, std::vector<StreamPart>& out) {
    raw_ += bytes;
    const size_t whole = raw_.size() - incomplete_utf8_tail(raw_);
    buffer_ += repair_utf8(std::string_view(raw_).substr(0, whole));
    raw_.erase(0, whole);
    process(Input::kOpen, out);
}

void StreamFilter::finish(std::vector<StreamPart>& out) {
    buffer_ += repair_utf8(raw_);
    raw_.clear();
    process(Input::kEnded, out);
    if (state_ == State::kTools || stopped_) return;
    if (begun_) emit_newlines(out);
    if (state_ != State::kAnswer || stopped_) return;
    std::string waiting;
    stops_.flush(waiting);
    append_part(StreamPart::Kind::kAnswer, waiting, out);
}

void StreamFilter::process(Input input, std::vector<StreamPart>& out) {
    size_t at = 0;
    while (at < buffer_.size() && !stopped_) {
        const std::string_view rest = std::string_view(buffer_).substr(at);
        const State before = state_;
        const size_t read =
            before == State::kTools ? read_calls(rest, input, out) : read_text(rest, input, out);
        if (read == 0 && state_ == before) break;
        at += read;
    }
    buffer_.erase(0, stopped_ ? buffer_.size() : at);
}

size_t StreamFilter::read_calls(std::string_view text, Input input, std::vector<StreamPart>& out) {
    std::vector<ToolCall> closed;
    const size_t read = parser_.read(text, input, closed);
    calls_ += closed.size();
    for (ToolCall& call : closed) {
        out.push_back({StreamPart::Kind::kToolCall, {}, std::move(call)});
    }
    return read;
}

size_t StreamFilter::read_text(std::string_view text, Input input, std::vector<StreamPart>& out) {
    if (text[0] == '\n') {
        const size_t count = std::min(text.find_first_not_of('\n'), text.size());
        newlines_ += count;
        return count;
    }
    if (text[0] != '<') {
        const size_t end = std::min(text.find_first_of("\n<"), text.size());
        emit(text.substr(0, end), out);
        return end;
    }
    const TagMatch tag = match_tag(text, input);
    switch (tag.kind) {
        case TagMatch::Kind::kPartial: return 0;
        case TagMatch::Kind::kThinkClose:
            if (state_ == State::kReasoning) enter(State::kAnswer, out);
            return tag.bytes;
        case TagMatch::Kind::kBlockOpen:
        case TagMatch::Kind::kInvokeOpen:
            if (!tag.marked) break;
            enter(State::kTools, out);
            // A call without the tag around it: the parser reads the tag itself.
            return tag.kind == TagMatch::Kind::kBlockOpen ? tag.bytes : 0;
        default: break;
    }
    emit(text.substr(0, 1), out);
    return 1;
}

// The newlines before a marker belong to it.
void StreamFilter::enter(State state, std::vector<StreamPart>& out) {
    if (state_ == State::kAnswer) {
        std::string waiting;
        stops_.flush(waiting);
        append_part(StreamPart::Kind::kAnswer, waiting, out);
    }
    newlines_ = 0;
    begun_ = false;
    state_ = state;
}

void StreamFilter::emit(std::string_view text, std::vector<StreamPart>& out) {
    if (begun_) emit_newlines(out);
    newlines_ = 0;
    begun_ = true;
    if (!stopped_) pass(text, out);
}

void StreamFilter::emit_newlines(std::vector<StreamPart>& out) {
    constexpr std::string_view kSome = "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n";
    while (newlines_ > 0 && !stopped_) {
        const size_t count = std::min<size_t>(newlines_, kSome.size());
        pass(kSome.substr(0, count), out);
        newlines_ -= count;
    }
}

void StreamFilter::pass(std::string_view text, std::vector<StreamPart>& out) {
    if (state_ == State::kReasoning) {
        append_part(StreamPart::Kind::kReasoning, text, out);
        return;
    }
    std::string certain;
    stopped_ = stops_.feed(text, certain);
    append_part(StreamPart::Kind::kAnswer, certain, out);
}

}  // namespace millrace
