#include "offload/router_trace.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <string_view>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "MILLTRC1";
constexpr int32_t kLayersMax = 1024, kExpertsMax = 4096, kRowsMax = 1 << 20;

template <class T>
void put(std::vector<std::byte>& out, std::span<const T> values) {
    const size_t at = out.size();
    out.resize(at + values.size_bytes());
    if (!values.empty()) std::memcpy(out.data() + at, values.data(), values.size_bytes());
}

template <class T>
void put(std::vector<std::byte>& out, T value) {
    put(out, std::span<const T>(&value, 1));
}

// Takes values from the front of a file.
class Cursor {
public:
    explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

    template <class T>
    [[nodiscard]] bool take(std::span<T> out) {
        if (out.size_bytes() > bytes_.size() - at_) return false;
        if (!out.empty()) std::memcpy(out.data(), bytes_.data() + at_, out.size_bytes());
        at_ += out.size_bytes();
        return true;
    }
    template <class T>
    [[nodiscard]] bool take(T& value) {
        return take(std::span<T>(&value, 1));
    }
    [[nodiscard]] size_t at() const { return at_; }
    [[nodiscard]] size_t left() const { return bytes_.size() - at_; }

private:
    std::span<const std::byte> bytes_;
    size_t at_ = 0;
};

Error cut_short(const Cursor& cursor) {
    return {ErrorCode::kCorrupt, cat("the trace ends inside what begins at byte ", cursor.at(),
                                     "; it was not written to its end: record it again")};
}

Result<TraceShape> parse_shape(Cursor& cursor) {
    TraceShape shape;
    if (!cursor.take(shape.layers) || !cursor.take(shape.experts) ||
        !cursor.take(shape.experts_per_token)) {
        return cut_short(cursor);
    }
    if (shape.layers < 1 || shape.layers > kLayersMax || shape.experts < 1 ||
        shape.experts > kExpertsMax || shape.experts_per_token < 1 ||
        shape.experts_per_token > shape.experts) {
        return Error{ErrorCode::kInvalid,
                     cat("a trace of ", shape.layers, " layers with ", shape.experts,
                         " experts, of which a token chooses ", shape.experts_per_token,
                         "; possible are 1 to ", kLayersMax, " layers with 1 to ", kExpertsMax)};
    }
    return shape;
}

}  // namespace

std::span<const uint16_t> RouterTrace::ids(const TraceStep& step) const {
    return std::span(ids_).subspan(
        step.ids, static_cast<size_t>(step.rows) * static_cast<size_t>(shape_.experts_per_token));
}

MatrixView<const uint8_t> RouterTrace::ranks(const TraceStep& step) const {
    const bool fixed = shape_.fixed[static_cast<size_t>(step.layer.value)] != 0;
    const int64_t rows = fixed ? 0 : std::min<int64_t>(step.rows, kRankedRows);
    return {ranks_.data() + step.ranks, rows, shape_.experts};
}

int64_t RouterTrace::tokens() const {
    int64_t sum = 0;
    for (const TraceStep& step : steps_) sum += step.layer.value == 0 ? step.rows : 0;
    return sum;
}

size_t RouterTrace::rank_bytes(LayerId layer, int32_t rows) const {
    if (shape_.fixed[static_cast<size_t>(layer.value)] != 0) return 0;
    return static_cast<size_t>(std::min<int64_t>(rows, kRankedRows)) *
           static_cast<size_t>(shape_.experts);
}

void RouterTrace::add(LayerId layer, MatrixView<const int32_t> ids,
                      MatrixView<const uint8_t> ranks) {
    ENSURE(layer.value >= 0 && layer.value < shape_.layers);
    ENSURE(ids.cols == shape_.experts_per_token && ids.rows >= 1 && ids.rows <= kRowsMax);
    ENSURE(ranks.cols == shape_.experts && ranks.rows == std::min(ids.rows, kRankedRows));
    const auto rows = static_cast<int32_t>(ids.rows);
    steps_.push_back({layer, rows, ids_.size(), ranks_.size()});
    for (int64_t r = 0; r < ids.rows; ++r) {
        for (const int32_t id : ids.row(r)) ids_.push_back(static_cast<uint16_t>(id));
    }
    if (rank_bytes(layer, rows) == 0) return;
    for (int64_t r = 0; r < ranks.rows; ++r) {
        const auto row = ranks.row(r);
        ranks_.insert(ranks_.end(), row.begin(), row.end());
    }
}

void RouterTrace::append(const RouterTrace& other) {
    ENSURE(shape_ == other.shape_);
    for (TraceStep step : other.steps_) {
        step.ids += ids_.size();
        step.ranks += ranks_.size();
        steps_.push_back(step);
    }
    ids_.insert(ids_.end(), other.ids_.begin(), other.ids_.end());
    ranks_.insert(ranks_.end(), other.ranks_.begin(), other.ranks_.end());
}

std::vector<std::byte> RouterTrace::file() const {
    std::vector<std::byte> out;
    put(out, std::span(kMagic));
    put(out, shape_.layers);
    put(out, shape_.experts);
    put(out, shape_.experts_per_token);
    put(out, static_cast<uint64_t>(steps_.size()));
    put(out, std::span<const uint8_t>(shape_.fixed));
    for (const TraceStep& step : steps_) {
        put(out, step.layer.value);
        put(out, step.rows);
        put(out, ids(step));
        put(out, std::span(ranks_).subspan(step.ranks, rank_bytes(step.layer, step.rows)));
    }
    put(out, static_cast<uint64_t>(XXH3_64bits(out.data(), out.size())));
    return out;
}

Result<RouterTrace> RouterTrace::parse(std::span<const std::byte> file) {
    constexpr size_t kSumBytes = sizeof(uint64_t);
    const bool ours =
        file.size() >= kMagic.size() && std::memcmp(file.data(), kMagic.data(), kMagic.size()) == 0;
    if (!ours) {
        return Error{ErrorCode::kInvalid, cat("no router trace: it does not begin with ", kMagic,
                                              "; record one with millrace trace")};
    }
    if (file.size() < kMagic.size() + kSumBytes) return cut_short(Cursor(file));
    const auto body = file.first(file.size() - kSumBytes);
    uint64_t sum = 0;
    std::memcpy(&sum, file.data() + body.size(), sizeof sum);

    Cursor cursor(body.subspan(kMagic.size()));
    TraceShape shape = TRY(parse_shape(cursor));
    uint64_t count = 0;
    if (!cursor.take(count)) return cut_short(cursor);
    shape.fixed.resize(static_cast<size_t>(shape.layers));
    if (!cursor.take(std::span(shape.fixed))) return cut_short(cursor);
    if (!std::ranges::all_of(shape.fixed, [](uint8_t kind) { return kind <= 1; })) {
        return Error{ErrorCode::kInvalid,
                     "the trace has a layer of a kind that this version does not know; use the "
                     "version that recorded it"};
    }
    RouterTrace trace(std::move(shape));
    TRY(trace.parse_steps(cursor.at() + kMagic.size(), count, body));
    if (XXH3_64bits(body.data(), body.size()) != sum) {
        return Error{ErrorCode::kCorrupt,
                     "the trace's checksum is wrong: some of its bytes have changed; copy or "
                     "record it again"};
    }
    return trace;
}

Status RouterTrace::parse_steps(size_t begin, uint64_t count, std::span<const std::byte> body) {
    Cursor cursor(body.subspan(begin));
    const auto k = static_cast<size_t>(shape_.experts_per_token);
    std::vector<uint64_t> seen(static_cast<size_t>(shape_.experts), ~uint64_t{0});
    uint64_t row_number = 0;
    for (uint64_t i = 0; i < count; ++i) {
        TraceStep step{{}, 0, ids_.size(), ranks_.size()};
        if (!cursor.take(step.layer.value) || !cursor.take(step.rows)) return cut_short(cursor);
        const auto wrong = [&](const auto&... what) {
            return Error{ErrorCode::kCorrupt,
                         cat("step ", i, " of the trace ", what..., "; record it again")};
        };
        if (step.layer.value < 0 || step.layer.value >= shape_.layers) {
            return wrong("is of layer ", step.layer.value, " of ", shape_.layers);
        }
        if (step.rows < 1 || step.rows > kRowsMax) {
            return wrong("has ", step.rows, " rows; 1 to ", kRowsMax, " are possible");
        }
        const size_t id_count = static_cast<size_t>(step.rows) * k;
        const size_t ranks = rank_bytes(step.layer, step.rows);
        // Before any memory is taken: a lying header costs nothing.
        if (id_count * sizeof(uint16_t) + ranks > cursor.left()) return cut_short(cursor);
        ids_.resize(ids_.size() + id_count);
        ranks_.resize(ranks_.size() + ranks);
        (void)cursor.take(std::span(ids_).subspan(step.ids));
        (void)cursor.take(std::span(ranks_).subspan(step.ranks));
        for (size_t j = 0; j < id_count; ++j) {
            const uint16_t id = ids_[step.ids + j];
            if (j % k == 0) ++row_number;
            if (id >= shape_.experts) {
                return wrong("chooses expert ", id, " of ", shape_.experts);
            }
            if (seen[id] == row_number) return wrong("chooses expert ", id, " twice for a token");
            seen[id] = row_number;
        }
        steps_.push_back(step);
    }
    if (cursor.left() == 0) return {};
    return Error{ErrorCode::kCorrupt, cat("the trace has ", cursor.left(),
                                          " bytes behind its last step; record it again")};
}

}  // namespace millrace
