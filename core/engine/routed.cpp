#include "core/engine/routed.h"

#include <algorithm>
#include <numeric>

namespace millrace {
namespace {

// One expert on the rows that chose it. A single row goes to its place of scratch.host_outputs at once.
ExpertCall call_of(const RoutedWork& work, const ExpertWeights& expert, ExpertId id) {
    const MoeScratch& scratch = work.scratch;
    const int64_t k = work.input.weights.cols;
    const auto first = static_cast<size_t>(scratch.begin[static_cast<size_t>(id.value)]);
    const int64_t count = work.rows_of(id);
    for (size_t i = first; i < first + static_cast<size_t>(count); ++i) {
        const int32_t pair = scratch.pairs[i];
        scratch.rows[i] = static_cast<int32_t>(pair / k);
        scratch.row_weights[i] = work.input.weights.row(pair / k)[static_cast<size_t>(pair % k)];
    }
    const auto home = [&] { return scratch.home[static_cast<size_t>(scratch.pairs[first])]; };
    return {.weights = expert,
            .rows = scratch.rows.subspan(first, static_cast<size_t>(count)),
            .route_weights = scratch.row_weights.subspan(first, static_cast<size_t>(count)),
            .out = count == 1 ? scratch.host_outputs.slice_rows(home(), 1)
                              : scratch.expert_rows.slice_rows(0, count)};
}

// The rows of an expert that has several into their places of scratch.host_outputs.
void spread(const ExpertCall& call, ExpertId id, const MoeScratch& scratch) {
    const auto first = static_cast<size_t>(scratch.begin[static_cast<size_t>(id.value)]);
    for (int64_t i = 0; i < call.out.rows; ++i) {
        const int32_t pair = scratch.pairs[first + static_cast<size_t>(i)];
        std::ranges::copy(
            call.out.row(i),
            scratch.host_outputs.row(scratch.home[static_cast<size_t>(pair)]).begin());
    }
}

// The matrices of an expert that has landed, as its bytes lie: in the file's order, unless the host's ops have used them.
ExpertWeights landed_expert(Ops& ops, const ExpertRecord& record, LeaseBatch& batch, size_t i) {
    std::array<const std::byte*, 6> data{};
    for (int32_t r = 0; r < record.range_count; ++r) {
        data[static_cast<size_t>(r)] = batch.data(i, r);
    }
    ExpertWeights expert = record.at(data);
    if (batch.unused(i)) return expert;
    for (LinearWeight* weight : {&expert.w1, &expert.w3, &expert.w2}) {
        if (ops.arranges(*weight)) weight->layout = WeightLayout::kStrips;
    }
    return expert;
}

// The same in the layout that the ops like: they are turned where they lie, once for every time that they are read.
ExpertWeights arranged_expert(Ops& ops, const ExpertRecord& record, LeaseBatch& batch, size_t i) {
    ExpertWeights expert = landed_expert(ops, record, batch, i);
    if (!batch.first_use(i)) return expert;
    const auto turn = [&](LinearWeight& weight, const ExpertPart& part) {
        if (!ops.arranges(weight)) return;
        const bool scaled = weight.scale_format != ScaleFormat::kNone;
        ops.arrange(weight, batch.writable(i, part.codes_range) + part.codes_offset,
                    scaled ? batch.writable(i, part.scales_range) + part.scales_offset : nullptr);
        weight.layout = WeightLayout::kStrips;
    };
    turn(expert.w1, record.w1);
    turn(expert.w3, record.w3);
    turn(expert.w2, record.w2);
    return expert;
}

// Experts of one row each are computed together.
class Gathered {
public:
    explicit Gathered(const RoutedWork& work) : work_(work) {}

    void add(const ExpertCall& call) {
        work_.scratch.calls[count_++] = call;
        if (count_ == work_.scratch.calls.size()) flush();
    }
    void flush() {
        if (count_ == 0) return;
        work_.ops.experts(work_.input.x, work_.scratch.calls.first(count_), work_.input.limit);
        count_ = 0;
    }

private:
    const RoutedWork& work_;
    size_t count_ = 0;
};

// By the host.
void compute(const RoutedWork& work, LeaseBatch& batch, size_t i, ExpertId id, Gathered& gathered) {
    const ExpertKey key{work.layer(), id};
    const ExpertRecord& record = work.experts.source.record(key);
    const ExpertCall call = call_of(work, arranged_expert(work.ops, record, batch, i), id);
    if (work.observer != nullptr) {
        work.observer->expert(key, work.input.x, call.rows, call.weights, call.route_weights);
    }
    if (call.rows.size() > 1) {
        work.ops.experts(work.input.x, {&call, 1}, work.input.limit);
        spread(call, id, work.scratch);
    } else {
        gathered.add(call);
    }
    if (work.gpu == nullptr) return;
    work.gpu->count_by_cpu();
    if (work.gpu->wants(key)) work.gpu->offer(batch.take(i), call.weights);
}

}  // namespace

std::span<ExpertId> group_by_expert(MatrixView<const int32_t> ids, int32_t experts,
                                    const MoeScratch& scratch) {
    std::fill(scratch.begin.begin(), scratch.begin.end(), 0);
    for (int64_t r = 0; r < ids.rows; ++r) {
        for (const int32_t id : ids.row(r)) ++scratch.begin[static_cast<size_t>(id) + 1];
    }
    size_t used = 0;
    for (int32_t e = 0; e < experts; ++e) {
        const auto at = static_cast<size_t>(e);
        if (scratch.begin[at + 1] > 0) scratch.used[used++] = ExpertId{e};
        scratch.begin[at + 1] += scratch.begin[at];
    }
    for (int64_t r = 0; r < ids.rows; ++r) {
        for (int64_t j = 0; j < ids.cols; ++j) {
            const auto e = static_cast<size_t>(ids.row(r)[static_cast<size_t>(j)]);
            scratch.pairs[static_cast<size_t>(scratch.begin[e]++)] =
                static_cast<int32_t>(r * ids.cols + j);
        }
    }
    // Filling moved every start to the next one's: shift back.
    for (auto e = static_cast<size_t>(experts); e > 0; --e) scratch.begin[e] = scratch.begin[e - 1];
    scratch.begin[0] = 0;
    return scratch.used.first(used);
}

int64_t give_homes(const RoutedWork& work, std::span<const ExpertId> used) {
    const MoeScratch& scratch = work.scratch;
    const auto pairs = static_cast<size_t>(work.input.weights.rows * work.input.weights.cols);
    if (work.gpu == nullptr) {
        const std::span<int32_t> home = scratch.home.first(pairs);
        std::iota(home.begin(), home.end(), 0);
        return static_cast<int64_t>(pairs);
    }
    int32_t count = 0;
    for (const ExpertId id : used) {
        if (work.copies(id)) continue;
        const auto first = static_cast<size_t>(scratch.begin[static_cast<size_t>(id.value)]);
        for (const int32_t pair :
             scratch.pairs.subspan(first, static_cast<size_t>(work.rows_of(id)))) {
            scratch.placed[static_cast<size_t>(count)] = pair;
            scratch.home[static_cast<size_t>(pair)] = count++;
        }
    }
    return count;
}

Result<LeaseBatch> acquire_wave(const RoutedWork& work, std::span<const ExpertId> ids) {
    if (work.gpu != nullptr) {
        const auto count = static_cast<int32_t>(ids.size());
        // Copies under way and offers hold slots of the cache.
        if (work.experts.cache.unleased() < count) TRY(work.gpu->end_copies(work.on_gpu));
        TRY(work.gpu->unlease(count));
    }
    return work.experts.cache.acquire(work.layer(), ids);
}

Status run_wave(const RoutedWork& work, LeaseBatch& batch, std::span<const ExpertId> ids) {
    Gathered gathered(work);
    StepPlace place = work.place;
    for (;; ++place.experts_done) {
        TRY(go_on(work.experts.watch, place));
        begin_part(work.observer, StepPart::kWait);
        const std::optional<size_t> ready = TRY(batch.next());
        begin_part(work.observer, StepPart::kExperts);
        if (!ready) break;
        const ExpertId id = ids[*ready];
        if (work.copies(id)) {
            const ExpertKey key{work.layer(), id};
            const ExpertWeights weights =
                landed_expert(work.ops, work.experts.source.record(key), batch, *ready);
            TRY(work.gpu->copy(batch.take(*ready), weights, work.on_gpu));
        } else {
            compute(work, batch, *ready, id, gathered);
        }
        // As long as more of them are there.
        if (!batch.ready()) gathered.flush();
    }
    return {};
}

}  // namespace millrace
