#include "offload/io_engine.h"

#include <algorithm>
#include <cerrno>
#include <numeric>

#include "core/base/check.h"

namespace millrace {
namespace {

// EINTR and EAGAIN say nothing about the drive, but a thousand in a row do.
constexpr int32_t kInterruptionsMax = 1000;

// Errors that may be gone when one asks again.
bool may_pass(int error) {
    return error == EIO || error == ENOMEM || error == EBUSY || error == ETIMEDOUT ||
           error == ENOBUFS || error == EILSEQ || error == ENODATA;
}

// One thread writes, so that no atomic addition is needed.
template <class T>
void add(std::atomic<T>& counter, T amount) {
    counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

}  // namespace

IoCounts SharedIoCounts::snapshot() const {
    return {.reads = reads.load(std::memory_order_relaxed),
            .bytes_read = bytes_read.load(std::memory_order_relaxed),
            .retries = retries.load(std::memory_order_relaxed),
            .short_reads = short_reads.load(std::memory_order_relaxed),
            .busy_ns = busy_ns.load(std::memory_order_relaxed),
            .direct = direct.load(std::memory_order_relaxed)};
}

IoEngine::IoEngine(const IoEnginePlan& plan, Reader& reader, Clock& clock,
                   SpscQueue<IoReport>& reports, SharedIoCounts& counts)
    : plan_(plan),
      reader_(reader),
      clock_(clock),
      reports_(reports),
      counts_(counts),
      loads_(static_cast<size_t>(plan.slots)),
      demand_(plan.slots),
      hints_(plan.slots),
      chunks_(static_cast<size_t>(reader.depth())),
      free_(chunks_.size()),
      done_(chunks_.size()) {
    ENSURE(plan.chunk_bytes > 0 && plan.chunk_bytes % kBlockBytes == 0);
    ENSURE(plan.arena.size() >= static_cast<uint64_t>(plan.slots) * plan.slot_bytes);
    std::iota(free_.rbegin(), free_.rend(), 0u);
    repeats_.reserve(chunks_.size());
    count_direct();
}

IoEngine::~IoEngine() {
    while (in_flight_ > 0) {
        in_flight_ -= static_cast<int32_t>(reader_.reap(done_, Wait::kYes));
    }
}

void IoEngine::accept(const IoCommand& command) {
    if (command.kind == IoCommand::Kind::kLoad) return start(command);
    Load& l = load(command.slot);
    if (!l.active || l.stopping || l.generation != command.generation) return;
    if (command.kind == IoCommand::Kind::kCallOff) {
        stop(command.slot);
        finish_if_over(command.slot);
    } else if (l.priority == Priority::kHint) {
        l.priority = Priority::kDemand;
        if (hints_.contains(command.slot)) {
            hints_.remove(command.slot);
            demand_.add(command.slot);
        }
    }
}

void IoEngine::start(const IoCommand& command) {
    Load& l = load(command.slot);
    ENSURE(!l.active);
    l = {.active = true,
         .priority = command.priority,
         .generation = command.generation,
         .key = command.key};
    ++active_;
    (command.priority == Priority::kDemand ? demand_ : hints_).add(command.slot);
}

void IoEngine::stop(SlotId slot) {
    load(slot).stopping = true;
    if (demand_.contains(slot)) demand_.remove(slot);
    if (hints_.contains(slot)) hints_.remove(slot);
    for (size_t i = 0; i < repeats_.size();) {
        const uint32_t index = repeats_[i];
        if (chunks_[index].slot == slot) {
            repeats_.erase(repeats_.begin() + static_cast<std::ptrdiff_t>(i));
            free_.push_back(index);
            --load(slot).open_chunks;
        } else {
            ++i;
        }
    }
}

void IoEngine::finish_if_over(SlotId slot) {
    Load& l = load(slot);
    const bool all_submitted = l.next_range == plan_.layout.place(l.key).range_count;
    if (l.open_chunks > 0 || (!l.stopping && !all_submitted)) return;
    l.active = false;
    --active_;
    IoReport report{.slot = slot, .generation = l.generation, .failure = l.failure};
    report.outcome = l.failed     ? IoReport::Outcome::kFailed
                     : l.stopping ? IoReport::Outcome::kCalledOff
                                  : IoReport::Outcome::kDone;
    reports_.push(report);
}

void IoEngine::step(Wait wait) {
    submit_what_fits();
    const size_t count = reader_.reap(done_, wait);
    spend_time();
    for (size_t i = 0; i < count; ++i) complete(done_[i]);
}

void IoEngine::submit_what_fits() {
    while (const std::optional<uint32_t> index = next_chunk()) submit(*index);
}

std::optional<uint32_t> IoEngine::next_chunk() {
    if (const auto chunk = take_repeat(Priority::kDemand)) return chunk;
    if (const auto chunk = cut_chunk(demand_)) return chunk;
    // Before new hints, because what waits to be repeated may hold every chunk there is, and demand needs one.
    if (const auto chunk = take_repeat(Priority::kHint)) return chunk;
    return demand_.size() > 0 ? std::nullopt : cut_chunk(hints_);
}

std::optional<uint32_t> IoEngine::take_repeat(Priority priority) {
    for (size_t i = 0; i < repeats_.size(); ++i) {
        const uint32_t index = repeats_[i];
        if (load(chunks_[index].slot).priority != priority) continue;
        if (!fits(chunks_[index])) return std::nullopt;
        repeats_.erase(repeats_.begin() + static_cast<std::ptrdiff_t>(i));
        return index;
    }
    return std::nullopt;
}

// The next chunk of the oldest load in `queue`.
std::optional<uint32_t> IoEngine::cut_chunk(SlotOrder& queue) {
    const std::optional<SlotId> slot = queue.oldest();
    if (!slot || free_.empty()) return std::nullopt;
    Load& l = load(*slot);
    const ExpertPlace& place = plan_.layout.place(l.key);
    const FileRange& range = place.ranges[static_cast<size_t>(l.next_range)];
    const uint64_t bytes = std::min(range.block_bytes() - l.next_block_byte, plan_.chunk_bytes);
    Chunk chunk;
    chunk.slot = *slot;
    chunk.file = range.file;
    chunk.offset = range.first_block() + l.next_block_byte;
    chunk.bytes = static_cast<uint32_t>(bytes);
    chunk.needed =
        static_cast<uint32_t>(std::min(chunk.offset + bytes, range.end()) - chunk.offset);
    if (!fits(chunk)) return std::nullopt;
    chunk.into = plan_.arena.data() + static_cast<uint64_t>(slot->value) * plan_.slot_bytes +
                 place.slot_offset(l.next_range) + l.next_block_byte;

    l.next_block_byte += bytes;
    if (l.next_block_byte == range.block_bytes()) {
        l.next_block_byte = 0;
        ++l.next_range;
    }
    if (l.next_range == place.range_count) queue.remove(*slot);
    ++l.open_chunks;
    const uint32_t index = free_.back();
    free_.pop_back();
    chunks_[index] = chunk;
    return index;
}

// At least one chunk is always in flight, however small the window.
bool IoEngine::fits(const Chunk& chunk) const {
    if (in_flight_ == 0) return true;
    const bool hint = loads_[static_cast<size_t>(chunk.slot.value)].priority == Priority::kHint;
    const uint64_t window = hint ? plan_.window_bytes / 2 : plan_.window_bytes;
    return in_flight_bytes_ + chunk.rest() <= window;
}

void IoEngine::submit(uint32_t index) {
    Chunk& chunk = chunks_[index];
    if (in_flight_ == 0) busy_until_ns_ = clock_.now_ns();
    ++in_flight_;
    in_flight_bytes_ += chunk.rest();
    chunk.direct = reader_.is_direct(chunk.file);
    reader_.submit({.tag = index,
                    .file = chunk.file,
                    .offset = chunk.offset + chunk.progress,
                    .bytes = chunk.rest(),
                    .into = chunk.into + chunk.progress});
}

void IoEngine::complete(const ReadDone& done) {
    const Chunk& chunk = chunks_[done.tag];
    --in_flight_;
    in_flight_bytes_ -= chunk.rest();
    if (done.result > 0) {
        add(counts_.reads, uint64_t{1});
        add(counts_.bytes_read, static_cast<uint64_t>(done.result));
    }
    if (load(chunk.slot).stopping) return close(done.tag);
    if (done.result >= 0) {
        handle_bytes(done.tag, static_cast<uint32_t>(done.result));
    } else {
        handle_error(done.tag, -done.result);
    }
}

void IoEngine::handle_bytes(uint32_t index, uint32_t bytes) {
    Chunk& chunk = chunks_[index];
    const uint32_t arrived = chunk.progress + bytes;
    if (arrived >= chunk.needed) return close(index);
    add(counts_.short_reads, uint64_t{1});
    // The rest begins at a block, as O_DIRECT wants it; a started block is read again.
    const auto blocks = static_cast<uint32_t>(round_down(arrived, kBlockBytes));
    if (blocks == chunk.progress) return handle_no_progress(index);
    chunk.progress = blocks;
    chunk.attempts = 0;
    chunk.interruptions = 0;
    repeats_.push_back(index);
}

// Less than a block came: either the file ends here, or it is only a drive in a bad mood.
void IoEngine::handle_no_progress(uint32_t index) {
    Chunk& chunk = chunks_[index];
    const uint64_t end = chunk.offset + chunk.needed;
    const Result<uint64_t> size = reader_.file_bytes(chunk.file);
    if (size.ok() && *size < end) {
        return fail(index, {.reason = ReadFailure::Reason::kTruncated,
                            .file = chunk.file,
                            .offset = end,
                            .file_bytes = *size});
    }
    handle_error(index, ENODATA);
}

void IoEngine::handle_error(uint32_t index, int error) {
    Chunk& chunk = chunks_[index];
    if (error == EINTR || error == EAGAIN) {
        if (++chunk.interruptions < kInterruptionsMax) return repeat(index);
    } else if (error == EINVAL && chunk.direct) {
        // The file system or the drive wants an alignment that we do not keep. Others that were in flight with O_DIRECT may
        // find the page cache in use already.
        const bool buffered =
            !reader_.is_direct(chunk.file) || reader_.use_page_cache(chunk.file).ok();
        count_direct();
        if (buffered) return repeat(index);
    } else if (may_pass(error)) {
        if (++chunk.attempts < plan_.read_attempts) return repeat(index);
    }
    fail(index, {.reason = ReadFailure::Reason::kError,
                 .error_number = error,
                 .attempts = std::max(chunk.attempts, 1),
                 .file = chunk.file,
                 .offset = chunk.offset + chunk.progress});
}

void IoEngine::repeat(uint32_t index) {
    add(counts_.retries, uint64_t{1});
    repeats_.push_back(index);
}

void IoEngine::fail(uint32_t index, const ReadFailure& failure) {
    Load& l = load(chunks_[index].slot);
    l.failed = true;
    l.failure = failure;
    stop(chunks_[index].slot);
    close(index);
}

void IoEngine::close(uint32_t index) {
    const SlotId slot = chunks_[index].slot;
    free_.push_back(index);
    --load(slot).open_chunks;
    finish_if_over(slot);
}

void IoEngine::count_direct() {
    bool direct = true;
    for (size_t i = 0; i < plan_.layout.files.size(); ++i) {
        direct = direct && reader_.is_direct(static_cast<int32_t>(i));
    }
    counts_.direct.store(direct, std::memory_order_relaxed);
}

void IoEngine::spend_time() {
    if (in_flight_ == 0) return;
    const int64_t now = clock_.now_ns();
    add(counts_.busy_ns, now - busy_until_ns_);
    busy_until_ns_ = now;
}

}  // namespace millrace
