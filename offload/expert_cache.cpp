#include "offload/expert_cache.h"

#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "offload/drive_files.h"
#include "offload/io_thread.h"
#include "offload/open_reader.h"

namespace millrace {
namespace {

// One thread writes, so that no atomic addition is needed.
template <class T>
void add(std::atomic<T>& counter, T amount) {
    counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

void add_one(std::atomic<uint64_t>& counter) { add(counter, uint64_t{1}); }

std::string hexadecimal(uint64_t value) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text(16, '0');
    for (size_t i = text.size(); i > 0; value /= 16) text[--i] = kDigits[value % 16];
    return text;
}

Status validate(const ExpertCacheOptions& options) {
    constexpr uint64_t kChunkBytesMax = uint64_t{1} << 30;
    const bool chunk_good = options.chunk_bytes > 0 && options.chunk_bytes <= kChunkBytesMax &&
                            options.chunk_bytes % kBlockBytes == 0;
    if (!chunk_good) {
        return Error{
            ErrorCode::kInvalid,
            cat("experts cannot be read in chunks of ", options.chunk_bytes,
                " bytes; a chunk is a multiple of ", kBlockBytes, " and at most ", kChunkBytesMax)};
    }
    if (options.queue_depth < 1 || options.queue_depth > 4096 || options.pread_threads < 1 ||
        options.pread_threads > 256 || options.min_slots < 1 || options.read_attempts < 1) {
        return Error{ErrorCode::kInvalid,
                     cat("experts cannot be read with a queue of ", options.queue_depth, ", ",
                         options.pread_threads, " threads, ", options.min_slots, " slots and ",
                         options.read_attempts,
                         " attempts; 1 to 4096, 1 to 256, at least 1 and at least 1 are possible")};
    }
    return {};
}

Error budget_error(const ExpertCacheOptions& options, uint64_t slots_needed, uint64_t slot_bytes) {
    const uint64_t mebibytes = round_up(slots_needed * slot_bytes, uint64_t{1} << 20) >> 20;
    return {ErrorCode::kCapacity,
            cat("--ram-budget ", human_bytes(options.ram_budget_bytes), " holds ",
                options.ram_budget_bytes / slot_bytes, " experts of ", human_bytes(slot_bytes),
                ", but one layer of one token needs ", slots_needed, " slots; use --ram-budget ",
                mebibytes, "M or more")};
}

// One token's experts of one layer, of what is left when a token can be computed. Nothing needs to be guessed where
// everything has its slot.
int32_t guess_slots(int32_t slots, int64_t experts, int32_t min_slots) {
    if (slots >= experts) return 0;
    return std::clamp(slots - min_slots, 0, min_slots - 1);
}

}  // namespace

double ExpertCacheStats::bandwidth() const {
    if (drive_busy_ns <= 0) return 0;
    return static_cast<double>(bytes_read) / (static_cast<double>(drive_busy_ns) * 1e-9);
}

ExpertCache::ExpertCache(ExpertLayout layout, const ExpertCacheOptions& options, Clock& clock,
                         PageBuffer arena, int32_t slots)
    : layout_(std::move(layout)),
      options_(options),
      clock_(clock),
      slot_bytes_(layout_.slot_bytes()),
      arena_(std::move(arena)),
      // As many slots as a token needs in a layer are kept out of the hands of hints.
      table_(slots, layout_.layers, layout_.experts, std::max(slots - (options.min_slots - 1), 0),
             guess_slots(slots, layout_.expert_count(), options.min_slots)),
      own_ranks_(static_cast<size_t>(layout_.experts)),
      layer_counts_(static_cast<size_t>(layout_.layers)) {
    for (Batch& b : batches_) b.entries.reserve(static_cast<size_t>(slots));
}

ExpertCache::~ExpertCache() {
    for (const Batch& b : batches_) ENSURE(!b.alive);
    ENSURE(table_.pinned() == 0);
}

Result<std::unique_ptr<ExpertCache>> ExpertCache::plan(ExpertLayout layout,
                                                       const ExpertCacheOptions& options,
                                                       Clock& clock) {
    TRY(validate(options));
    TRY(layout.validate());
    if (layout.experts > ExpertPolicy::kExpertsMax) {
        return Error{ErrorCode::kUnsupported,
                     cat("a layer of ", layout.experts, " experts; this version manages ",
                         ExpertPolicy::kExpertsMax)};
    }
    const uint64_t slot_bytes = layout.slot_bytes();
    const auto experts = static_cast<uint64_t>(layout.expert_count());
    const uint64_t needed = std::min(static_cast<uint64_t>(options.min_slots), experts);
    const uint64_t slots = std::min(options.ram_budget_bytes / slot_bytes, experts);
    if (slots < needed) return budget_error(options, needed, slot_bytes);
    if (slots > std::numeric_limits<int32_t>::max() / 8) {
        return Error{ErrorCode::kCapacity,
                     cat("--ram-budget ", human_bytes(options.ram_budget_bytes), " is cut into ",
                         slots, " slots, more than can be managed; use a smaller one")};
    }
    PageBuffer arena = TRY(PageBuffer::create(slots * slot_bytes, HugePages::kIfGranted));
    return std::unique_ptr<ExpertCache>(new ExpertCache(
        std::move(layout), options, clock, std::move(arena), static_cast<int32_t>(slots)));
}

IoEnginePlan ExpertCache::io_plan() const {
    return {.layout = layout_,
            .arena = arena_.bytes(),
            .slots = slots(),
            .slot_bytes = slot_bytes_,
            .chunk_bytes = options_.chunk_bytes,
            .window_bytes = options_.window_bytes,
            .read_attempts = options_.read_attempts};
}

Result<std::unique_ptr<ExpertCache>> ExpertCache::create(ExpertLayout layout,
                                                         ExpertCacheOptions options, Clock& clock) {
    DriveFiles files = TRY(DriveFiles::open(layout.files, options.direct));
    std::vector<uint64_t> sizes;
    sizes.reserve(static_cast<size_t>(files.size()));
    for (int32_t i = 0; i < files.size(); ++i) sizes.push_back(TRY(files.bytes(i)));
    TRY(layout.validate());
    TRY(layout.validate_sizes(sizes));
    std::unique_ptr<ExpertCache> cache = TRY(plan(std::move(layout), options, clock));
    const ReaderChoice choice{.backend = options.backend,
                              .depth = options.queue_depth * files.drives(),
                              .pread_threads = options.pread_threads};
    cache->port_ = TRY(IoThread::start(
        cache->io_plan(),
        [&] { return open_reader(std::move(files), cache->arena_.bytes(), choice); }, clock));
    return cache;
}

Result<std::unique_ptr<ExpertCache>> ExpertCache::create_on(ExpertLayout layout,
                                                            ExpertCacheOptions options,
                                                            Clock& clock,
                                                            std::unique_ptr<Reader> reader,
                                                            IoRunsOn runs_on) {
    std::unique_ptr<ExpertCache> cache = TRY(plan(std::move(layout), options, clock));
    if (runs_on == IoRunsOn::kCaller) {
        cache->port_ = std::make_unique<IoInline>(cache->io_plan(), std::move(reader), clock);
        return cache;
    }
    cache->port_ = TRY(IoThread::start(
        cache->io_plan(),
        [&]() -> Result<OpenedReader> {
            return OpenedReader{std::move(reader), {}};
        },
        clock));
    return cache;
}

// One slot is left over, unless there is one for every expert.
int32_t ExpertCache::max_batch() const {
    return slots() == layout_.expert_count() ? slots() : slots() - 1;
}

Status ExpertCache::check_batch(LayerId layer, std::span<const ExpertId> ids) const {
    int64_t claims = table_.pinned() + homeless_;
    for (const ExpertId id : ids) {
        const ExpertKey key{layer, id};
        if (!layout_.contains(key)) {
            return Error{ErrorCode::kInvalid,
                         cat("there is no ", describe(key), "; this model has experts 0 to ",
                             layout_.experts - 1, " in layers 0 to ", layout_.layers - 1)};
        }
        const std::optional<SlotId> slot = table_.find(key);
        if (!slot || table_.pins(*slot) == 0) ++claims;
    }
    if (ids.size() > static_cast<size_t>(max_batch()) || claims > slots()) {
        return Error{ErrorCode::kCapacity,
                     cat("acquiring ", ids.size(), " experts of layer ", layer.value, " when ",
                         table_.pinned(), " of ", slots(), " slots are leased; at most ",
                         max_batch(), " can be had at a time: raise --ram-budget")};
    }
    return {};
}

Result<LeaseBatch> ExpertCache::acquire(LayerId layer, std::span<const ExpertId> ids) {
    take_reports();
    house_homeless();
    TRY(check_batch(layer, ids));
    const auto free =
        std::find_if(batches_.begin(), batches_.end(), [](const Batch& b) { return !b.alive; });
    if (free == batches_.end()) {
        return Error{ErrorCode::kCapacity, cat("acquiring experts of layer ", layer.value,
                                               " while ", kBatchesMax, " batches are alive")};
    }
    table_.tick();
    observe_own(layer, ids);
    free->alive = true;
    // What is there is pinned first, so that no miss of this batch can evict it.
    for (const ExpertId id : ids) {
        Entry entry{.key = {layer, id}, .state = EntryState::kHomeless};
        if (!pin_where_it_is(entry)) ++homeless_;
        free->entries.push_back(entry);
    }
    ++acquires_without_miss_;
    for (Entry& entry : free->entries) {
        if (entry.state != EntryState::kHomeless) continue;
        acquires_without_miss_ = 0;
        add_one(counts_.misses);
        add_one(counts_of(layer).misses);
        if (find_home(entry)) --homeless_;
    }
    forget_guesses(layer);
    make_room();
    if (homeless_ == 0) table_.refill();
    return LeaseBatch(this, static_cast<int32_t>(free - batches_.begin()));
}

void ExpertCache::observe(LayerId layer, MatrixView<const uint8_t> ranks, int32_t chosen) {
    table_.policy().observe(layer, ranks, chosen);
    observed_ = layer;
}

void ExpertCache::count_elsewhere(LayerId layer) {
    add_one(counts_.hits);
    add_one(counts_of(layer).hits);
}

void ExpertCache::observe_own(LayerId layer, std::span<const ExpertId> ids) {
    if (observed_ == layer || ids.empty()) return;
    std::ranges::fill(own_ranks_, uint8_t{255});
    for (const ExpertId id : ids) own_ranks_[static_cast<size_t>(id.value)] = 0;
    table_.policy().observe(layer, {own_ranks_.data(), 1, layout_.experts}, 1);
}

bool ExpertCache::pin_where_it_is(Entry& entry) {
    const std::optional<SlotId> slot = table_.find(entry.key);
    if (!slot) return false;
    const bool hinted = table_.hinted(*slot);
    const bool loading = table_.state(*slot) == SlotState::kLoading;
    add_one(loading ? counts_.joins : counts_.hits);
    LayerCounts& of_layer = counts_of(entry.key.layer);
    add_one(loading ? of_layer.misses : of_layer.hits);
    if (table_.guessed(*slot)) {
        guess_gate_.used();
        add(counts_.guess_bytes_used, layout_.place(entry.key).slot_bytes());
        acquires_without_miss_ = 0;  // it would have been one
    } else if (hinted) {
        add_one(counts_.hint_hits);
    }
    if (hinted && loading) {
        port_->send({.kind = IoCommand::Kind::kPromote,
                     .slot = *slot,
                     .generation = table_.generation(*slot)});
    }
    table_.pin(*slot);
    entry.slot = *slot;
    entry.state = EntryState::kPinned;
    return true;
}

// A slot for a missed expert, if there is one now.
bool ExpertCache::find_home(Entry& entry) {
    std::optional<SlotId> slot = table_.find(entry.key);
    if (!slot) {
        slot = table_.take(entry.key, Claim::kDemand);
        if (!slot) return false;
        begin_load(*slot, Priority::kDemand);
    }
    table_.pin(*slot);
    entry.slot = *slot;
    entry.state = EntryState::kPinned;
    return true;
}

void ExpertCache::begin_load(SlotId slot, Priority priority) {
    counts_.evictions.store(table_.evictions(), std::memory_order_relaxed);
    port_->send({.kind = IoCommand::Kind::kLoad,
                 .priority = priority,
                 .slot = slot,
                 .generation = table_.generation(slot),
                 .key = table_.key(slot)});
}

void ExpertCache::house_homeless() {
    if (homeless_ == 0) return;
    for (Batch& b : batches_) {
        for (Entry& entry : b.entries) {
            if (entry.state == EntryState::kHomeless && find_home(entry)) --homeless_;
        }
    }
    make_room();
}

// Every homeless entry waits for a read to end that nobody wants; where there are too few of those, hints give way.
void ExpertCache::make_room() {
    while (table_.calling_off() < homeless_) {
        const std::optional<SlotId> slot = table_.hinted_loading();
        if (!slot) return;
        table_.call_off(*slot);
        port_->send({.kind = IoCommand::Kind::kCallOff,
                     .slot = *slot,
                     .generation = table_.generation(*slot)});
    }
}

void ExpertCache::hint(LayerId layer, std::span<const ExpertId> ids) {
    take_reports();
    house_homeless();
    for (const ExpertId id : ids) {
        const ExpertKey key{layer, id};
        if (!layout_.contains(key)) continue;
        if (const std::optional<SlotId> slot = table_.find(key)) {
            table_.policy().expect(key);
            continue;
        }
        const std::optional<SlotId> slot =
            homeless_ == 0 ? table_.take(key, Claim::kHint) : std::nullopt;
        if (!slot) {
            add_one(counts_.hints_refused);
            continue;
        }
        add_one(counts_.hint_reads);
        begin_load(*slot, Priority::kHint);
    }
}

void ExpertCache::measure_waiting() {
    const int64_t now = clock_.now_ns(), waited = counts_.wait_ns.load(std::memory_order_relaxed);
    if (asked_at_ns_ > 0 && now > asked_at_ns_) {
        constexpr double kNew = 1.0 / 64;
        const double share =
            static_cast<double>(waited - waited_then_ns_) / static_cast<double>(now - asked_at_ns_);
        waiting_ += kNew * (share - waiting_);
    }
    asked_at_ns_ = now;
    waited_then_ns_ = waited;
}

bool ExpertCache::wants_guess() {
    constexpr double kWaitingMax = 0.5;
    measure_waiting();
    const bool missing = acquires_without_miss_ <= layout_.layers && waiting_ < kWaitingMax;
    const bool wanted =
        missing && homeless_ == 0 && slots() < layout_.expert_count() && guess_gate_.open();
    table_.keep_for_guesses(wanted);
    return wanted;
}

void ExpertCache::guess(LayerId layer, std::span<const ExpertId> ids) {
    if (homeless_ > 0) return;
    table_.keep_for_guesses(true);
    table_.refill();
    for (const ExpertId id : ids) {
        const ExpertKey key{layer, id};
        if (!layout_.contains(key) || table_.find(key)) continue;
        const std::optional<SlotId> slot = table_.take(key, Claim::kGuess);
        if (!slot) return;
        add_one(counts_.guess_reads);
        begin_load(*slot, Priority::kHint);
    }
}

// The layer has been reached, and this is what it did not ask for.
void ExpertCache::forget_guesses(LayerId layer) {
    for (size_t i = table_.guesses().size(); i > 0; --i) {
        const SlotId slot = table_.guesses()[i - 1];
        if (table_.key(slot).layer != layer) continue;
        guess_gate_.wasted();
        if (table_.state(slot) == SlotState::kReady) {
            add(counts_.guess_bytes_wasted, layout_.place(table_.key(slot)).slot_bytes());
            table_.discard(slot);
            continue;
        }
        table_.call_off(slot);
        port_->send({.kind = IoCommand::Kind::kCallOff,
                     .slot = slot,
                     .generation = table_.generation(slot)});
    }
}

void ExpertCache::take_reports() {
    IoReport report;
    while (port_->receive(report)) {
        ENSURE(report.generation == table_.generation(report.slot));
        switch (report.outcome) {
            case IoReport::Outcome::kDone: table_.loaded(report.slot); break;
            case IoReport::Outcome::kCalledOff: table_.called_off(report.slot); break;
            case IoReport::Outcome::kFailed:
                add_one(counts_.failures);
                table_.failed(report.slot, report.failure);
                break;
        }
    }
}

void ExpertCache::wait_for_report(LayerId layer) {
    const int64_t begin = clock_.now_ns();
    port_->wait();
    const int64_t waited = clock_.now_ns() - begin;
    add(counts_.wait_ns, waited);
    add(counts_of(layer).wait_ns, waited);
}

Result<std::optional<size_t>> ExpertCache::next(Batch& batch) {
    for (;;) {
        take_reports();
        house_homeless();
        bool all_returned = true;
        for (size_t i = 0; i < batch.entries.size(); ++i) {
            Entry& entry = batch.entries[i];
            if (entry.state == EntryState::kHomeless) all_returned = false;
            if (entry.state != EntryState::kPinned) continue;
            all_returned = false;
            const SlotState state = table_.state(entry.slot);
            if (state == SlotState::kReady) {
                entry.state = EntryState::kReturned;
                return std::optional<size_t>(i);
            }
            if (state == SlotState::kFailed) {
                Error error = failure_of(entry);
                entry.state = EntryState::kGone;
                unpin(entry.slot);
                return error;
            }
        }
        if (all_returned) return std::optional<size_t>();
        wait_for_report(batch.entries.front().key.layer);
    }
}

Error ExpertCache::failure_of(const Entry& entry) const {
    const ReadFailure& failure = table_.failure(entry.slot);
    const Path& path = layout_.files[static_cast<size_t>(failure.file)];
    if (failure.reason == ReadFailure::Reason::kTruncated) {
        return {ErrorCode::kCorrupt,
                cat(path.string(), " has only ", failure.file_bytes, " bytes now, but ",
                    describe(entry.key), " needs it up to byte ", failure.offset,
                    "; the file was cut short: download or copy it again")};
    }
    if (failure.reason == ReadFailure::Reason::kChanged) {
        const ExpertPlace& place = layout_.place(entry.key);
        return {ErrorCode::kCorrupt,
                cat(describe(entry.key), " has changed: ", place.bytes(), " bytes of ",
                    path.string(), " from byte ", failure.offset, " on have the checksum ",
                    hexadecimal(failure.checksum), " instead of ", hexadecimal(*place.checksum),
                    ", also when read again; run `millrace verify ", path.parent_path().string(),
                    " --repair SRC` with the checkpoint that it was made of")};
    }
    const std::string attempts =
        failure.attempts > 1 ? cat(", tried ", failure.attempts, " times") : std::string();
    return io_error(
        cat("reading ", describe(entry.key), " (byte ", failure.offset, attempts, ") from"), path,
        failure.error_number);
}

void ExpertCache::unpin(SlotId slot) {
    if (!table_.unpin(slot) || table_.state(slot) != SlotState::kLoading) return;
    table_.call_off(slot);
    port_->send(
        {.kind = IoCommand::Kind::kCallOff, .slot = slot, .generation = table_.generation(slot)});
}

void ExpertCache::release(Batch& batch) {
    for (const Entry& entry : batch.entries) {
        if (entry.state == EntryState::kHomeless) --homeless_;
        if (entry.state == EntryState::kPinned || entry.state == EntryState::kReturned) {
            unpin(entry.slot);
        }
    }
    batch.entries.clear();
    batch.alive = false;
}

const std::byte* ExpertCache::data(ExpertKey key, SlotId slot, int32_t range) const {
    const ExpertPlace& place = layout_.place(key);
    ENSURE(range >= 0 && range < place.range_count);
    return arena_.bytes().data() + static_cast<uint64_t>(slot.value) * slot_bytes_ +
           place.data_offset(range);
}

ExpertCacheStats ExpertCache::stats() const {
    const IoCounts io = port_->counts();
    const auto get = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
    std::vector<int64_t> layer_waits;
    std::vector<uint64_t> layer_hits, layer_misses;
    for (const LayerCounts& layer : layer_counts_) {
        layer_waits.push_back(get(layer.wait_ns));
        layer_hits.push_back(get(layer.hits));
        layer_misses.push_back(get(layer.misses));
    }
    return {.hits = get(counts_.hits),
            .joins = get(counts_.joins),
            .misses = get(counts_.misses),
            .evictions = get(counts_.evictions),
            .hint_reads = get(counts_.hint_reads),
            .hint_hits = get(counts_.hint_hits),
            .hints_refused = get(counts_.hints_refused),
            .failures = get(counts_.failures),
            .wait_ns = get(counts_.wait_ns),
            .layer_wait_ns = std::move(layer_waits),
            .layer_hits = std::move(layer_hits),
            .layer_misses = std::move(layer_misses),
            .guess_reads = get(counts_.guess_reads),
            .guess_bytes_used = get(counts_.guess_bytes_used),
            .guess_bytes_wasted = get(counts_.guess_bytes_wasted),
            .reads = io.reads,
            .bytes_read = io.bytes_read,
            .retries = io.retries,
            .short_reads = io.short_reads,
            .drive_busy_ns = io.busy_ns,
            .bytes_called_off = io.bytes_called_off,
            .bytes_checked = io.bytes_checked,
            .checks_failed = io.checks_failed,
            .check_ns = io.check_ns,
            .drives = io.drives,
            .backend = port_->backend(),
            .backend_notes = port_->backend_notes(),
            .direct = io.direct,
            .slots = slots(),
            .slot_bytes = slot_bytes_};
}

ExpertPulse ExpertCache::pulse() const {
    const IoCounts io = port_->counts();
    const auto get = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
    return {.hits = get(counts_.hits),
            .misses = get(counts_.joins) + get(counts_.misses),
            .bytes_read = io.bytes_read,
            .wait_ns = get(counts_.wait_ns),
            .drive_busy_ns = io.busy_ns,
            .reads_in_flight = io.in_flight,
            .reads_waiting = io.waiting};
}

}  // namespace millrace
