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
            .bytes_called_off = bytes_called_off.load(std::memory_order_relaxed),
            .bytes_checked = bytes_checked.load(std::memory_order_relaxed),
            .checks_failed = checks_failed.load(std::memory_order_relaxed),
            .check_ns = check_ns.load(std::memory_order_relaxed),
            .drives = drives.load(std::memory_order_relaxed),
            .in_flight = in_flight.load(std::memory_order_relaxed),
            .waiting = waiting.load(std::memory_order_relaxed),
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
      to_check_(plan.slots),
      chunks_(static_cast<size_t>(reader.depth())),
      free_(chunks_.size()),
      done_(chunks_.size()) {
    ENSURE(plan.chunk_bytes > 0 && plan.chunk_bytes % kBlockBytes == 0);
    ENSURE(plan.arena.size() >= static_cast<uint64_t>(plan.slots) * plan.slot_bytes);
    std::iota(free_.rbegin(), free_.rend(), 0u);
    int32_t drives = 1;
    for (size_t i = 0; i < plan.layout.files.size(); ++i) {
        drives = std::max(drives, reader.drive(static_cast<int32_t>(i)) + 1);
    }
    for (int32_t d = 0; d < drives; ++d) {
        drives_.push_back({.demand = SlotOrder(plan.slots),
                           .hints = SlotOrder(plan.slots),
                           .repeats = {},
                           .window = DriveWindow(plan.window_bytes, 2 * plan.chunk_bytes)});
        drives_.back().repeats.reserve(chunks_.size());
    }
    chunks_per_drive_ = std::max(reader.depth() / drives, 1);
    counts_.drives.store(drives, std::memory_order_relaxed);
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
        for (Drive& drive : drives_) {
            if (!drive.hints.contains(command.slot)) continue;
            drive.hints.remove(command.slot);
            drive.demand.add(command.slot);
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
    queue(command.slot);
}

// All of the load waits for its drives.
void IoEngine::queue(SlotId slot) {
    Load& l = load(slot);
    const ExpertPlace& place = plan_.layout.place(l.key);
    l.cut = {};
    l.ranges_uncut = place.range_count;
    for (int32_t r = 0; r < place.range_count; ++r) {
        Drive& drive = drive_of(place.ranges[static_cast<size_t>(r)].file);
        SlotOrder& order = l.priority == Priority::kDemand ? drive.demand : drive.hints;
        if (!order.contains(slot)) order.add(slot);
    }
}

void IoEngine::unqueue(SlotId slot) {
    for (Drive& drive : drives_) {
        if (drive.demand.contains(slot)) drive.demand.remove(slot);
        if (drive.hints.contains(slot)) drive.hints.remove(slot);
    }
}

void IoEngine::stop(SlotId slot) {
    load(slot).stopping = true;
    unqueue(slot);
    if (to_check_.contains(slot)) to_check_.remove(slot);
    for (Drive& drive : drives_) {
        std::vector<uint32_t>& repeats = drive.repeats;
        for (size_t i = 0; i < repeats.size();) {
            const uint32_t index = repeats[i];
            if (chunks_[index].slot == slot) {
                repeats.erase(repeats.begin() + static_cast<std::ptrdiff_t>(i));
                free_.push_back(index);
                --load(slot).open_chunks;
            } else {
                ++i;
            }
        }
    }
}

void IoEngine::finish_if_over(SlotId slot) {
    Load& l = load(slot);
    if (l.open_chunks > 0 || (!l.stopping && l.ranges_uncut > 0)) return;
    const bool whole = !l.stopping && !l.failed;
    if (whole && plan_.layout.place(l.key).checksum) return to_check_.add(slot);
    report(slot);
}

void IoEngine::report(SlotId slot) {
    Load& l = load(slot);
    l.active = false;
    --active_;
    IoReport report{.slot = slot, .generation = l.generation, .failure = l.failure};
    report.outcome = l.failed     ? IoReport::Outcome::kFailed
                     : l.stopping ? IoReport::Outcome::kCalledOff
                                  : IoReport::Outcome::kDone;
    if (report.outcome == IoReport::Outcome::kCalledOff)
        add(counts_.bytes_called_off, l.bytes_read);
    reports_.push(report);
}

// What can be on its way is, before a checksum or sleep takes time.
void IoEngine::step(Wait wait) {
    submit_what_fits();
    const bool checks = to_check_.size() > 0;
    if (checks) {
        // Handed over, not waited for.
        const size_t early = reader_.reap(done_, Wait::kNo);
        spend_time();
        for (size_t i = 0; i < early; ++i) complete(done_[i]);
        submit_what_fits();
        if (to_check_.size() > 0) check_one();
    }
    const size_t count = reader_.reap(done_, checks ? Wait::kNo : wait);
    spend_time();
    for (size_t i = 0; i < count; ++i) complete(done_[i]);
    if (count > 0) count_queues();
}

void IoEngine::submit_what_fits() {
    for (Drive& drive : drives_) {
        drive.full = false;
        while (const std::optional<uint32_t> index = next_chunk(drive)) submit(drive, *index);
    }
    // Before this thread sleeps: whoever looks meanwhile sees what it sleeps for.
    count_queues();
}

std::optional<uint32_t> IoEngine::next_chunk(Drive& drive) {
    if (const auto chunk = take_repeat(drive, Priority::kDemand)) return chunk;
    if (const auto chunk = cut_chunk(drive, drive.demand)) return chunk;
    // Before new hints, because what waits to be repeated may hold every chunk there is, and demand needs one.
    if (const auto chunk = take_repeat(drive, Priority::kHint)) return chunk;
    return drive.demand.size() > 0 ? std::nullopt : cut_chunk(drive, drive.hints);
}

std::optional<uint32_t> IoEngine::take_repeat(Drive& drive, Priority priority) {
    for (size_t i = 0; i < drive.repeats.size(); ++i) {
        const uint32_t index = drive.repeats[i];
        if (load(chunks_[index].slot).priority != priority) continue;
        if (!fits(drive, chunks_[index])) return std::nullopt;
        drive.repeats.erase(drive.repeats.begin() + static_cast<std::ptrdiff_t>(i));
        return index;
    }
    return std::nullopt;
}

// The first range of the load that lies on this drive and has bytes in no chunk; −1 when there is none.
int32_t IoEngine::uncut_range(const Drive& drive, const Load& l) const {
    const ExpertPlace& place = plan_.layout.place(l.key);
    for (int32_t r = 0; r < place.range_count; ++r) {
        const FileRange& range = place.ranges[static_cast<size_t>(r)];
        if (&drives_[static_cast<size_t>(reader_.drive(range.file))] != &drive) continue;
        if (l.cut[static_cast<size_t>(r)] < range.block_bytes()) return r;
    }
    return -1;
}

// The next chunk of the oldest load in `queue`.
std::optional<uint32_t> IoEngine::cut_chunk(Drive& drive, SlotOrder& queue) {
    const std::optional<SlotId> slot = queue.oldest();
    if (!slot || free_.empty()) return std::nullopt;
    Load& l = load(*slot);
    const ExpertPlace& place = plan_.layout.place(l.key);
    const int32_t r = uncut_range(drive, l);
    const FileRange& range = place.ranges[static_cast<size_t>(r)];
    uint64_t& cut = l.cut[static_cast<size_t>(r)];
    const uint64_t bytes = std::min(range.block_bytes() - cut, plan_.chunk_bytes);
    Chunk chunk;
    chunk.slot = *slot;
    chunk.file = range.file;
    chunk.offset = range.first_block() + cut;
    chunk.bytes = static_cast<uint32_t>(bytes);
    chunk.needed =
        static_cast<uint32_t>(std::min(chunk.offset + bytes, range.end()) - chunk.offset);
    if (!fits(drive, chunk)) return std::nullopt;
    chunk.into = plan_.arena.data() + static_cast<uint64_t>(slot->value) * plan_.slot_bytes +
                 place.slot_offset(r) + cut;

    cut += bytes;
    if (cut == range.block_bytes()) --l.ranges_uncut;
    if (uncut_range(drive, l) < 0) queue.remove(*slot);
    ++l.open_chunks;
    const uint32_t index = free_.back();
    free_.pop_back();
    chunks_[index] = chunk;
    return index;
}

// At least one chunk is always in flight, however small the window.
bool IoEngine::fits(Drive& drive, const Chunk& chunk) const {
    if (drive.in_flight == 0) return true;
    const bool hint = loads_[static_cast<size_t>(chunk.slot.value)].priority == Priority::kHint;
    const uint64_t window =
        hint ? std::min(drive.window.bytes(), plan_.window_bytes / 2) : drive.window.bytes();
    const bool room =
        drive.in_flight < chunks_per_drive_ && drive.in_flight_bytes + chunk.rest() <= window;
    drive.full = drive.full || !room;
    return room;
}

void IoEngine::submit(Drive& drive, uint32_t index) {
    Chunk& chunk = chunks_[index];
    if (in_flight_ == 0) busy_until_ns_ = clock_.now_ns();
    ++in_flight_;
    ++drive.in_flight;
    drive.in_flight_bytes += chunk.rest();
    chunk.direct = reader_.is_direct(chunk.file);
    reader_.submit({.tag = index,
                    .file = chunk.file,
                    .offset = chunk.offset + chunk.progress,
                    .bytes = chunk.rest(),
                    .into = chunk.into + chunk.progress});
}

// Compares the bytes that came first with their checksum.
void IoEngine::check_one() {
    const SlotId slot = *to_check_.oldest();
    to_check_.remove(slot);
    Load& l = load(slot);
    const ExpertPlace& place = plan_.layout.place(l.key);
    const int64_t begin = clock_.now_ns();
    const std::byte* at = plan_.arena.data() + static_cast<uint64_t>(slot.value) * plan_.slot_bytes;
    const uint64_t found = checksum_.of(place, at);
    add(counts_.check_ns, clock_.now_ns() - begin);
    add(counts_.bytes_checked, place.bytes());
    if (found == *place.checksum) return report(slot);
    add(counts_.checks_failed, uint64_t{1});
    if (!l.wrong_before) return read_again(slot);
    l.failed = true;
    l.failure = {.reason = ReadFailure::Reason::kChanged,
                 .file = place.ranges[0].file,
                 .offset = place.ranges[0].offset,
                 .checksum = found};
    report(slot);
}

// The drive may do better the second time, or the page cache was wrong; it is not asked again.
void IoEngine::read_again(SlotId slot) {
    Load& l = load(slot);
    l.wrong_before = true;
    const ExpertPlace& place = plan_.layout.place(l.key);
    for (int32_t r = 0; r < place.range_count; ++r) {
        const FileRange& range = place.ranges[static_cast<size_t>(r)];
        if (!reader_.is_direct(range.file)) {
            reader_.drop_cached(range.file, range.first_block(), range.block_bytes());
        }
    }
    queue(slot);
}

void IoEngine::complete(const ReadDone& done) {
    const Chunk& chunk = chunks_[done.tag];
    Drive& drive = drive_of(chunk.file);
    --in_flight_;
    --drive.in_flight;
    drive.in_flight_bytes -= chunk.rest();
    if (done.result > 0) {
        drive.window.arrived(static_cast<uint64_t>(done.result), clock_.now_ns(), drive.full);
        add(counts_.reads, uint64_t{1});
        add(counts_.bytes_read, static_cast<uint64_t>(done.result));
        load(chunk.slot).bytes_read += static_cast<uint64_t>(done.result);
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
    drive_of(chunks_[index].file).repeats.push_back(index);
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
    drive_of(chunks_[index].file).repeats.push_back(index);
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

void IoEngine::count_queues() {
    size_t waiting = 0;
    for (const Drive& drive : drives_) {
        waiting += static_cast<size_t>(drive.demand.size()) +
                   static_cast<size_t>(drive.hints.size()) + drive.repeats.size();
    }
    counts_.in_flight.store(in_flight_, std::memory_order_relaxed);
    counts_.waiting.store(static_cast<int32_t>(waiting), std::memory_order_relaxed);
}

void IoEngine::spend_time() {
    if (in_flight_ == 0) return;
    const int64_t now = clock_.now_ns();
    add(counts_.busy_ns, now - busy_until_ns_);
    busy_until_ns_ = now;
}

}  // namespace millrace
