// The whole of offload on a simulated drive that fails in every way it knows: no wrong byte, no lost expert, no call that
// does not come back. A failing seed is printed, and it fails again when it is run again.

#include <doctest/doctest.h>

#include <cstring>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/base/strings.h"
#include "offload/expert_cache.h"
#include "offload/record_checksum.h"
#include "tests/offload/random_layout.h"
#include "tests/support/sim_scale.h"
#include "tests/support/simulated_drive.h"

namespace millrace::test {
namespace {

constexpr uint64_t kRangeBytesMax = 14'000;

struct Totals {
    DriveFaultCounts faults;
    ExpertCacheStats stats;
    uint64_t experts_compared = 0;
    uint64_t bytes_compared = 0;
    uint64_t dropped_early = 0;
    uint64_t errors = 0, changed = 0;

    void add(const ExpertCacheStats& s) {
        stats.hits += s.hits;
        stats.joins += s.joins;
        stats.misses += s.misses;
        stats.evictions += s.evictions;
        stats.hint_reads += s.hint_reads;
        stats.hint_hits += s.hint_hits;
        stats.hints_refused += s.hints_refused;
        stats.retries += s.retries;
        stats.short_reads += s.short_reads;
        stats.checks_failed += s.checks_failed;
        stats.guess_reads += s.guess_reads;
        stats.guess_bytes_used += s.guess_bytes_used;
        stats.guess_bytes_wasted += s.guess_bytes_wasted;
    }
};

// The checksums that a store would have.
void add_checksums(ExpertLayout& layout) {
    RecordChecksum checksum;
    std::vector<std::byte> slot;
    for (ExpertPlace& place : layout.places) {
        slot.resize(place.slot_bytes());
        for (int32_t r = 0; r < place.range_count; ++r) {
            const FileRange& range = place.ranges[static_cast<size_t>(r)];
            SimulatedDrive::truth(range.file, range.offset,
                                  std::span(slot).subspan(place.data_offset(r), range.bytes));
        }
        place.checksum = checksum.of(place, slot.data());
    }
}

// Bits flip only where a checksum can find it.
DriveFaults random_faults(Random& random, bool checksums) {
    const double scale = random.below(8) == 0 ? 0 : random.unit();
    return {.eintr = 0.15 * scale,
            .eagain = 0.15 * scale,
            .eio = 0.25 * scale,
            .short_read = 0.4 * scale,
            .empty_read = 0.1 * scale,
            .late = 0.02,
            .flip = checksums ? 0.01 * scale : 0,
            .refuse_direct = random.below(5) == 0};
}

ExpertCacheOptions random_options(Random& random, const ExpertLayout& layout) {
    ExpertCacheOptions options;
    options.min_slots = static_cast<int32_t>(2 + random.below(4));
    // From the least that works to more than all experts.
    const int64_t least = std::min<int64_t>(options.min_slots, layout.expert_count());
    const auto above = random.below(static_cast<uint64_t>(layout.expert_count() - least) + 2);
    const uint64_t slots = static_cast<uint64_t>(least) + (random.below(3) == 0 ? 0 : above);
    options.ram_budget_bytes = slots * layout.slot_bytes() + random.below(layout.slot_bytes());
    options.chunk_bytes = kBlockBytes << random.below(4);
    options.window_bytes = random.below(8) * options.chunk_bytes;
    return options;
}

// A user of the cache who does what the engine does and worse.
class Run {
public:
    Run(uint64_t seed, IoRunsOn runs_on, Totals& totals)
        : random_(seed), made_(random_layout(random_, kRangeBytesMax)), totals_(totals) {
        checksums_ = random_.below(2) == 0;
        if (checksums_) add_checksums(made_.layout);
        const ExpertCacheOptions options = random_options(random_, made_.layout);
        top_k_ = options.min_slots - 1;
        auto drive = std::make_unique<SimulatedDrive>(
            random_.next(), made_.file_bytes, static_cast<int32_t>(1 + random_.below(8)),
            random_faults(random_, checksums_), options.read_attempts - 1, clock_);
        drive_ = drive.get();
        // Some files lie on drives of their own, some of which are slow.
        for (size_t i = 1; i < made_.file_bytes.size(); ++i) {
            if (random_.below(2) == 0) continue;
            drive_->set_own_drive(static_cast<int32_t>(i), random_.below(2) == 0 ? 1 : 20);
        }
        auto cache =
            ExpertCache::create_on(made_.layout, options, clock_, std::move(drive), runs_on);
        if (!cache.ok()) FAIL(cache.error().message);
        cache_ = std::move(*cache);
    }

    void step() {
        switch (random_.below(14)) {
            case 0: return hint();
            case 1: return hint();
            case 2: clock_.advance(static_cast<int64_t>(random_.below(5'000'000))); return;
            case 3: return let_go();
            case 4: return guess();
            default: return use();
        }
    }

    // Some experts cannot be read any more.
    void break_something() {
        const auto file = static_cast<int32_t>(random_.below(made_.file_bytes.size()));
        const uint64_t size = made_.file_bytes[static_cast<size_t>(file)];
        switch (random_.below(checksums_ ? 4 : 3)) {
            case 0: drive_->set_vanished(file); break;
            case 3:
                for (int i = 0; i < 20; ++i) {
                    drive_->set_rotten(file, random_.below(size), SimulatedDrive::Rot::kDrive);
                }
                break;
            case 1: {
                const uint64_t begin = random_.below(size);
                drive_->set_bad(file, begin, begin + 1 + random_.below(20'000));
                break;
            }
            default: drive_->set_size(file, random_.below(size)); break;
        }
        broken_ = true;
    }

    // Everything can be read again, at once: what failed has left nothing behind.
    void heal() {
        held_.clear();
        drive_->heal();
        for (size_t i = 0; i < made_.file_bytes.size(); ++i) {
            drive_->set_size(static_cast<int32_t>(i), made_.file_bytes[i]);
        }
        // What a hint began to read before may still fail; the second time it may not.
        for (int32_t layer = 0; broken_ && layer < made_.layout.layers; ++layer) read_all({layer});
        broken_ = false;
        for (int32_t layer = 0; layer < made_.layout.layers; ++layer) read_all({layer});
    }

    void finish() {
        held_.clear();
        totals_.add(cache_->stats());
        cache_ = nullptr;
    }

    // Before `finish` destroys the drive.
    void count_faults() { totals_.faults.add(drive_->counts()); }
    [[nodiscard]] uint64_t history() const { return mix64(drive_->history_hash()) + digest_; }

private:
    struct Held {
        LeaseBatch batch;
        std::vector<Lease> leases;
    };

    LayerId random_layer() {
        return {static_cast<int32_t>(random_.below(static_cast<uint64_t>(made_.layout.layers)))};
    }

    void hint() {
        const auto count = static_cast<int32_t>(random_.below(6));
        cache_->hint(random_layer(), random_experts(random_, made_.layout.experts, count));
    }

    void guess() {
        (void)cache_->wants_guess();
        const auto count = static_cast<int32_t>(random_.below(6));
        cache_->guess(random_layer(), random_experts(random_, made_.layout.experts, count));
    }

    void let_go() {
        if (held_.empty()) return;
        for (const Lease& lease : held_.front().leases) compare(lease);
        held_.pop_front();
    }

    void use() {
        const LayerId layer = random_layer();
        const auto most = static_cast<uint64_t>(cache_->max_batch());
        const auto count = random_.below(4) == 0 ? static_cast<int32_t>(random_.below(most + 1))
                                                 : std::min(top_k_, cache_->max_batch());
        const std::vector<ExpertId> ids = random_experts(random_, made_.layout.experts, count);
        Result<LeaseBatch> batch = cache_->acquire(layer, ids);
        while (!batch.ok() && !held_.empty()) {
            // Too much is held, and that must be the reason.
            REQUIRE(batch.error().code == ErrorCode::kCapacity);
            let_go();
            batch = cache_->acquire(layer, ids);
        }
        if (!batch.ok()) FAIL(batch.error().message);
        REQUIRE(batch->size() == ids.size());
        const bool partly = random_.below(5) == 0;
        const size_t wanted = partly ? random_.below(ids.size() + 1) : ids.size();
        Held held{std::move(*batch), {}};
        const bool over = collect(held, layer, ids, wanted);
        if (!over) ++totals_.dropped_early;
        if (random_.below(4) == 0) held_.push_back(std::move(held));
    }

    // Takes up to `wanted` experts of the batch and compares their bytes. True when the batch has given everything.
    bool collect(Held& held, LayerId layer, const std::vector<ExpertId>& ids, size_t wanted) {
        std::set<size_t> seen;
        for (size_t got = 0; got < wanted; ++got) {
            const Result<std::optional<size_t>> next = held.batch.next();
            if (!next.ok()) {
                check_error(next.error(), layer, ids);
                continue;
            }
            REQUIRE(next->has_value());
            const size_t i = **next;
            REQUIRE(seen.insert(i).second);
            compare({layer, ids[i]}, [&](int32_t range) { return held.batch.data(i, range); });
            digest_ = mix64(digest_ + i + kGoldenGamma);
            if (random_.below(3) == 0) {
                held.leases.push_back(held.batch.take(i));
                compare(held.leases.back());
            }
        }
        if (wanted < ids.size()) return false;
        const Result<std::optional<size_t>> end = held.batch.next();
        REQUIRE((end.ok() && !end->has_value()));
        return true;
    }

    void check_error(const Error& error, LayerId layer, const std::vector<ExpertId>& ids) {
        ++totals_.errors;
        INFO(error.message);
        // Bits that flip by chance do it now and then twice for one expert, which is told too.
        const bool changed = error.message.find("has changed") != std::string::npos;
        totals_.changed += changed ? 1 : 0;
        REQUIRE((broken_ || (changed && checksums_)));
        bool names_expert = false, names_file = false;
        for (const ExpertId id : ids) {
            const std::string name = describe({layer, id});
            const size_t at = error.message.find(name + " ");
            names_expert = names_expert || at != std::string::npos;
        }
        for (const Path& file : made_.layout.files) {
            names_file = names_file || error.message.find(file.string()) != std::string::npos;
        }
        CHECK(names_expert);
        CHECK(names_file);
        CHECK(error.message.find(';') != std::string::npos);  // the likely fix
    }

    void read_all(LayerId layer) {
        std::vector<ExpertId> ids;
        for (int32_t i = 0; i < made_.layout.experts; ++i) {
            ids.push_back({i});
            const bool full = static_cast<int32_t>(ids.size()) == cache_->max_batch();
            if (!full && i + 1 < made_.layout.experts) continue;
            Result<LeaseBatch> batch = cache_->acquire(layer, ids);
            if (!batch.ok()) FAIL(batch.error().message);
            Held held{std::move(*batch), {}};
            REQUIRE(collect(held, layer, ids, ids.size()));
            ids.clear();
        }
    }

    void compare(const Lease& lease) {
        compare(lease.key(), [&](int32_t range) { return lease.data(range); });
    }
    template <class Data>
    void compare(ExpertKey key, const Data& data) {
        const ExpertPlace& place = made_.layout.place(key);
        for (int32_t r = 0; r < place.range_count; ++r) {
            const FileRange& range = place.ranges[static_cast<size_t>(r)];
            expected_.resize(range.bytes);
            SimulatedDrive::truth(range.file, range.offset, expected_);
            REQUIRE(std::memcmp(data(r), expected_.data(), range.bytes) == 0);
            totals_.bytes_compared += range.bytes;
        }
        ++totals_.experts_compared;
    }

    Random random_;
    SimulatedClock clock_;
    RandomLayout made_;
    Totals& totals_;
    int32_t top_k_ = 0;
    bool checksums_ = false, broken_ = false;
    SimulatedDrive* drive_ = nullptr;
    std::unique_ptr<ExpertCache> cache_;
    std::deque<Held> held_;
    std::vector<std::byte> expected_;
    uint64_t digest_ = 0;
};

void report(const std::string& what, const Totals& t) {
    const DriveFaultCounts& f = t.faults;
    MESSAGE(what, ": ", f.total(), " faults (", f.short_reads, " short, ", f.empty_reads,
            " empty, ", f.eintr, " EINTR, ", f.eagain, " EAGAIN, ", f.eio, " EIO, ", f.flips,
            " flips, ", f.bad_places, " EIO for good, ", f.vanished, " ENODEV, ", f.einval,
            " EINVAL), ", f.late, " late, ", f.overtaken, " overtaken; ", t.experts_compared,
            " experts (", t.bytes_compared, " bytes) compared, 0 wrong; ", t.errors,
            " errors told (", t.changed, " of them changed bytes, after ", t.stats.checks_failed,
            " wrong checksums), ", t.dropped_early, " batches dropped early; ", t.stats.hits,
            " hits, ", t.stats.joins, " joins, ", t.stats.misses, " misses, ", t.stats.evictions,
            " evictions, ", t.stats.hint_reads, " hint reads, ", t.stats.hint_hits, " hint hits, ",
            t.stats.hints_refused, " hints refused, ", t.stats.guess_reads, " guesses");
}

TEST_CASE("a hundred thousand faults and no wrong byte") {
    Totals totals;
    const auto seeds = 600 * static_cast<uint64_t>(sim_scale());
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        Run run(seed, IoRunsOn::kCaller, totals);
        for (int step = 0; step < 60; ++step) run.step();
        if (seed % 2 == 0) {
            run.break_something();
            for (int step = 0; step < 30; ++step) run.step();
            run.heal();
        }
        run.count_faults();
        run.finish();
    }
    report("one thread", totals);
    CHECK(totals.faults.total() >= 100'000);
    CHECK(totals.faults.overtaken > 10'000);
    CHECK(totals.faults.bad_places > 100);
    CHECK(totals.faults.vanished > 100);
    CHECK(totals.errors > 100);
    CHECK(totals.changed > 100);
    CHECK(totals.stats.checks_failed > 2 * totals.changed);
    CHECK(totals.stats.hint_hits > 1'000);
    CHECK(totals.stats.joins > 100);
    CHECK(totals.stats.guess_reads > 500);
    CHECK(totals.stats.guess_bytes_used > 0);
    CHECK(totals.stats.guess_bytes_wasted > 0);
}

TEST_CASE("the same seed, the same order of events") {
    for (uint64_t seed = 1000; seed < 1010; ++seed) {
        CAPTURE(seed);
        uint64_t first = 0;
        for (int time = 0; time < 2; ++time) {
            Totals totals;
            Run run(seed, IoRunsOn::kCaller, totals);
            for (int step = 0; step < 60; ++step) run.step();
            if (time == 0) first = run.history();
            CHECK(run.history() == first);
            run.finish();
        }
    }
}

TEST_CASE("the same on an io thread of its own") {
    Totals totals;
    for (uint64_t seed = 2000; seed < 2060; ++seed) {
        CAPTURE(seed);
        Run run(seed, IoRunsOn::kOwnThread, totals);
        for (int step = 0; step < 60; ++step) run.step();
        run.finish();  // with reads in flight, often
    }
    const uint64_t mended = totals.stats.retries + totals.stats.short_reads;
    MESSAGE("own thread: ", mended, " faults mended, ", totals.experts_compared,
            " experts compared, ", totals.dropped_early, " batches dropped early");
    CHECK(mended > 1'000);
    CHECK(totals.experts_compared > 1'000);
}

}  // namespace
}  // namespace millrace::test
