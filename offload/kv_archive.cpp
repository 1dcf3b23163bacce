#include "offload/kv_archive.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr uint64_t kUsedPerSecond =
    1'000'000;  // `used` is the date in these, and later than any before
constexpr uint64_t kWritesPerSave = 256;
constexpr uint64_t kLabelBytesMax = 4096;
constexpr uint64_t kIndexBytesMax = uint64_t{1} << 30;

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

// Another process may have a part of the budget in files that this one has not seen: it looks when it has written so much.
uint64_t look_after(uint64_t budget) { return budget / 16; }

std::string make_salt(Entropy& entropy) {
    KvKey salt;
    entropy.fill(std::span(salt.bytes).first(8));
    return kv_file_name(salt, KvPart::kRows).substr(0, 16);
}

}  // namespace

KvArchive::KvArchive(const KvArchiveWorld& world, const ArchiveKey& key, const Path& directory)
    : world_(world), key_(key), files_(world.disk, directory, key_, make_salt(world.entropy)) {}

Result<std::unique_ptr<KvArchive>> KvArchive::open(const KvArchiveWorld& world,
                                                   const ArchiveKey& key,
                                                   const KvArchiveOptions& options) {
    std::unique_ptr<KvArchive> archive(new KvArchive(world, key, options.directory));
    TRY(world.disk.make_directory(options.directory));
    const Lock lock(archive->mutex_);
    TRY(archive->refresh(KvFiles::Unfinished::kRemove, lock));
    archive->budget_ = options.budget_bytes.value_or(archive->default_budget(lock));
    archive->make_room(0, archive->budget_, lock);
    return archive;
}

uint64_t KvArchive::default_budget(const Lock& lock) const {
    constexpr uint64_t kMost = uint64_t{20} << 30;
    const Result<uint64_t> free = world_.disk.free_bytes(files_.directory());
    return std::min(kMost, ((free.ok() ? *free : 0) + total_bytes(lock)) / 10);
}

KvArchive::~KvArchive() {
    const Lock lock(mutex_);
    if (changed_) save(lock);
}

uint64_t KvArchive::now(const Lock&) {
    const auto date = static_cast<uint64_t>(std::max<int64_t>(0, world_.calendar.now_s()));
    last_used_ = std::max(last_used_ + 1, date * kUsedPerSecond);
    return last_used_;
}

uint64_t KvArchive::total_bytes(const Lock&) const { return table_.bytes() + foreign_bytes_; }

KvKey KvArchive::index_key() const { return {key_.digest(bytes_of("index"), {})}; }

void KvArchive::turn_off(const Error& error, const Lock&) {
    if (std::exchange(off_, true)) return;
    const bool full = error.code == ErrorCode::kNoSpace;
    notices_.push_back(cat("the KV archive stores nothing more until the next start: ",
                           error.message, full ? "; make room, or lower --kv-budget" : ""));
}

KvKey KvArchive::add_model(std::string_view identity, std::string_view label) {
    const KvKey model{key_.digest(bytes_of("model"), bytes_of(identity))};
    const Lock lock(mutex_);
    if (off_ || std::ranges::find(labelled_, model) != labelled_.end()) return model;
    KvRecord record{
        .key = model, .parent = {}, .model = model, .part = KvPart::kModel, .used = now(lock)};
    ArchiveKey::Nonce nonce;
    world_.entropy.fill(nonce);
    KvScratch scratch;
    const auto file =
        files_.seal(record, bytes_of(label.substr(0, kLabelBytesMax)), nonce, scratch);
    if (!file.ok()) return model;
    const Status done = files_.put(model, KvPart::kModel, *file);
    if (done.ok()) {
        labelled_.push_back(model);
    } else {
        turn_off(done.error(), lock);
    }
    return model;
}

KvKey KvArchive::next(const KvKey& parent, std::span<const TokenId> page) const {
    ENSURE(page.size() == kPageTokens);
    return {key_.digest(parent.bytes, std::as_bytes(page))};
}

std::vector<KvKey> KvArchive::find(const KvKey& model, std::span<const TokenId> tokens) {
    const Lock lock(mutex_);
    std::vector<KvKey> pages;
    size_t usable = 0;
    KvPage page{.key = model, .parent = model, .model = model, .number = 0};
    for (; tokens.size() >= kPageTokens; tokens = tokens.subspan(kPageTokens)) {
        page.parent = page.key;
        page.key = next(page.parent, tokens.first(kPageTokens));
        page.number = static_cast<uint32_t>(pages.size());
        bool edge = table_.has(page.key, KvPart::kEdge);
        if (!table_.has(page.key, KvPart::kRows)) {
            if (!adopt(page, KvPart::kRows, lock)) break;
            edge = adopt(page, KvPart::kEdge, lock);
        }
        pages.push_back(page.key);
        if (edge) usable = pages.size();
    }
    // The last page is where another process may have stopped in the meantime.
    if (usable < pages.size()) {
        const auto last = static_cast<uint32_t>(pages.size() - 1);
        const KvKey parent = last == 0 ? model : pages[last - 1];
        if (adopt({.key = pages[last], .parent = parent, .model = model, .number = last},
                  KvPart::kEdge, lock)) {
            usable = pages.size();
        }
    }
    pages.resize(usable);
    if (pages.empty()) return pages;
    const uint64_t used = now(lock);
    for (const KvKey& key : pages) table_.touch(key, KvPart::kRows, used);
    table_.touch(pages.back(), KvPart::kEdge, used);
    changed_ = true;
    return pages;
}

// A file that another process wrote.
bool KvArchive::adopt(const KvPage& page, KvPart part, const Lock&) {
    if (stuck_.contains({page.key, part})) return false;
    const auto seen = files_.look(page.key, part);
    if (!seen || seen->sight != KvSight::kOurs) return false;
    const KvPlace place{.key = page.key,
                        .parent = page.parent,
                        .model = page.model,
                        .part = part,
                        .page = page.number,
                        .used = seen->record.used,
                        .bytes = seen->bytes};
    if (!table_.fits(place)) return false;
    table_.add(place);
    changed_ = true;
    return true;
}

size_t KvArchive::count_known(const KvKey& model, std::span<const TokenId> tokens) const {
    size_t pages = 0, usable = 0;
    // The lock is taken page by page: hashing a long prompt takes milliseconds, and nobody shall wait for a question.
    for (KvKey key = model; tokens.size() >= kPageTokens; tokens = tokens.subspan(kPageTokens)) {
        key = next(key, tokens.first(kPageTokens));
        const Lock lock(mutex_);
        if (!table_.has(key, KvPart::kRows)) break;
        ++pages;
        if (table_.has(key, KvPart::kEdge)) usable = pages;
    }
    return usable;
}

bool KvArchive::has(const KvKey& key, KvPart part) const {
    const Lock lock(mutex_);
    return table_.has(key, part);
}

bool KvArchive::read(const KvKey& key, KvPart part, std::span<std::byte> out, KvScratch& scratch) {
    const Result<uint64_t> bytes = files_.read(key, part, out, scratch);
    const Lock lock(mutex_);
    if (bytes.ok()) {
        ++stats_.read;
        stats_.read_bytes += *bytes;
        return true;
    }
    ++stats_.lost;
    remove_files(table_.remove(key, part), lock);
    // Also when the table did not know it. What stays must not be found again and again.
    if (!files_.remove(key, part).ok()) stuck_.insert({key, part});
    return false;
}

void KvArchive::remove_files(std::span<const KvPlace> places, const Lock&) {
    // One that stays is met again at the next start.
    for (const KvPlace& place : places) (void)files_.remove(place.key, place.part);
    changed_ = changed_ || !places.empty();
}

// Files of another secret go first: nobody with this one will ever read them.
void KvArchive::make_room(uint64_t bytes, uint64_t budget, const Lock& lock) {
    const auto too_much = [&] { return total_bytes(lock) + bytes > budget; };
    while (too_much() && !foreign_.empty()) {
        (void)files_.remove(foreign_.back().name.key, foreign_.back().name.part);
        foreign_bytes_ -= foreign_.back().bytes;
        foreign_.pop_back();
        ++stats_.evicted;
        changed_ = true;
    }
    while (too_much()) {
        const auto leaf = table_.oldest_leaf();
        if (!leaf) return;
        const std::vector<KvPlace> gone = table_.remove(leaf->key, leaf->part);
        stats_.evicted += gone.size();
        remove_files(gone, lock);
    }
}

KvWrite KvArchive::write(const KvPage& page, KvPart part, std::span<const std::byte> bytes,
                         KvScratch& scratch) {
    KvPlace place{.key = page.key,
                  .parent = page.parent,
                  .model = page.model,
                  .part = part,
                  .page = page.number};
    ArchiveKey::Nonce nonce;
    {
        const Lock lock(mutex_);
        if (off_) return KvWrite::kOff;
        if (table_.has(page.key, part)) return KvWrite::kKnown;
        if (!table_.fits(place)) return KvWrite::kNoPlace;
        place.used = now(lock);
        world_.entropy.fill(nonce);
    }
    KvRecord record{.key = page.key,
                    .parent = page.parent,
                    .model = page.model,
                    .part = part,
                    .page = page.number,
                    .used = place.used};
    const auto file = files_.seal(record, bytes, nonce, scratch);
    if (!file.ok()) return KvWrite::kNoPlace;
    place.bytes = file->size();
    {
        const Lock lock(mutex_);
        written_since_look_ += place.bytes;
        if (written_since_look_ > look_after(budget_)) {
            (void)refresh(KvFiles::Unfinished::kLeave, lock);  // what it misses is seen later
        }
        // What it hangs on is the last that should make room for it.
        table_.touch(part == KvPart::kEdge ? page.key : page.parent, KvPart::kRows, place.used);
        make_room(place.bytes, budget_, lock);
        if (!table_.fits(place) || total_bytes(lock) + place.bytes > budget_) {
            return KvWrite::kNoPlace;
        }
    }
    const Status done = files_.put(page.key, part, *file);
    const Lock lock(mutex_);
    if (!done.ok()) {
        turn_off(done.error(), lock);
        return KvWrite::kOff;
    }
    changed_ = true;
    if (!table_.fits(place)) {  // what it hangs on was found broken in the meantime
        (void)files_.remove(page.key, part);
        return KvWrite::kNoPlace;
    }
    table_.add(place);
    stuck_.erase({page.key, part});
    ++stats_.stored;
    stats_.stored_bytes += place.bytes;
    stats_.stored_raw_bytes += bytes.size();
    if (++writes_since_save_ >= kWritesPerSave) save(lock);
    return KvWrite::kStored;
}

std::vector<std::string> KvArchive::take_notices() {
    const Lock lock(mutex_);
    return std::exchange(notices_, {});
}

KvArchiveStats KvArchive::stats() const {
    const Lock lock(mutex_);
    KvArchiveStats stats = stats_;
    stats.budget_bytes = budget_;
    stats.files = table_.count();
    stats.bytes = table_.bytes();
    stats.foreign_files = foreign_.size();
    stats.foreign_bytes = foreign_bytes_;
    return stats;
}

std::vector<KvModelUse> KvArchive::models() {
    const Lock lock(mutex_);
    std::map<KvKey, KvModelUse> uses;
    for (const KvPlace& place : table_.places()) {
        KvModelUse& use = uses[place.model];
        ++(place.part == KvPart::kEdge ? use.edges : use.pages);
        use.bytes += place.bytes;
        use.used_s = std::max(use.used_s, static_cast<int64_t>(place.used / kUsedPerSecond));
    }
    KvScratch scratch;
    std::vector<KvModelUse> out;
    for (auto& [model, use] : uses) {
        const auto label = files_.read_all(model, KvPart::kModel, kLabelBytesMax, scratch);
        if (label.ok())
            use.label.assign(reinterpret_cast<const char*>(label->data()), label->size());
        out.push_back(std::move(use));
    }
    return out;
}

std::vector<KvIndexEntry> KvArchive::read_index(const Lock&) {
    KvScratch scratch;
    const auto bytes = files_.read_all(index_key(), KvPart::kIndex, kIndexBytesMax, scratch);
    if (!bytes.ok()) return {};
    return unpack_index(*bytes).value_or(std::vector<KvIndexEntry>());
}

Status KvArchive::refresh(KvFiles::Unfinished unfinished, const Lock& lock) {
    written_since_look_ = 0;
    const std::vector<KvFileName> names = TRY(files_.list(unfinished));
    using Name = std::pair<KvKey, KvPart>;
    std::map<Name, KvIndexEntry> listed;
    for (const KvIndexEntry& entry : read_index(lock)) {
        listed[{entry.place.key, entry.place.part}] = entry;
        last_used_ = std::max(last_used_, entry.place.used);
    }
    std::set<Name> there;
    std::vector<KvPlace> places;
    Orphans orphans = Orphans::kRemove;
    foreign_.clear();
    foreign_bytes_ = 0;
    labelled_.clear();
    for (const KvFileName& name : names) {
        there.insert({name.key, name.part});
        const auto entry = listed.find({name.key, name.part});
        if (entry != listed.end() && entry->second.owner == KvOwner::kForeign) {
            foreign_.push_back({name, entry->second.place.bytes});
            foreign_bytes_ += entry->second.place.bytes;
        } else if (entry != listed.end()) {
            // Another process may have read it since this one did.
            table_.touch(name.key, name.part, entry->second.place.used);
            if (!table_.has(name.key, name.part)) places.push_back(entry->second.place);
        } else if (!table_.has(name.key, name.part) && !take_in(name, places, lock)) {
            orphans = Orphans::kLeave;
        }
    }
    for (const KvPlace& place : table_.places()) {
        if (!there.contains({place.key, place.part})) {
            remove_files(table_.remove(place.key, place.part), lock);
        }
    }
    place_all(std::move(places), orphans, lock);
    if (!foreign_.empty() && !std::exchange(foreign_told_, true)) {
        notices_.push_back(cat(foreign_.size(), " files (", human_bytes(foreign_bytes_), ") in ",
                               files_.directory().string(),
                               " were sealed with another key than that of the state directory; "
                               "they count as missing, and millrace cache prune removes them"));
    }
    return {};
}

// A file that the index does not know. False: it cannot be read now; perhaps another time.
bool KvArchive::take_in(const KvFileName& name, std::vector<KvPlace>& places, const Lock&) {
    const auto seen = files_.look(name.key, name.part);
    if (!seen) return false;
    switch (seen->sight) {
        case KvSight::kForeign:
            foreign_.push_back({name, seen->bytes});
            foreign_bytes_ += seen->bytes;
            break;
        case KvSight::kBroken: (void)files_.remove(name.key, name.part); break;
        case KvSight::kOurs:
            if (name.part == KvPart::kModel) labelled_.push_back(name.key);
            if (name.part == KvPart::kModel || name.part == KvPart::kIndex) break;
            places.push_back({.key = name.key,
                              .parent = seen->record.parent,
                              .model = seen->record.model,
                              .part = name.part,
                              .page = seen->record.page,
                              .used = seen->record.used,
                              .bytes = seen->bytes});
    }
    changed_ = true;
    return true;
}

// Parents first; what has none is out of reach.
void KvArchive::place_all(std::vector<KvPlace> places, Orphans orphans, const Lock&) {
    std::ranges::sort(places, {}, [](const KvPlace& place) {
        return std::tuple(place.part, place.page, place.key);
    });
    for (const KvPlace& place : places) {
        last_used_ = std::max(last_used_, place.used);
        if (table_.fits(place)) {
            table_.add(place);
        } else if (orphans == Orphans::kRemove) {
            (void)files_.remove(place.key, place.part);
            changed_ = true;
        }
    }
}

void KvArchive::save() {
    const Lock lock(mutex_);
    save(lock);
}

void KvArchive::save(const Lock& lock) {
    writes_since_save_ = 0;
    // Others write the same file: what they know is taken in first.
    if (!refresh(KvFiles::Unfinished::kLeave, lock).ok()) return;
    std::vector<KvIndexEntry> entries;
    for (const KvPlace& place : table_.places()) entries.push_back({place, KvOwner::kOurs});
    for (const Foreign& file : foreign_) {
        if (file.name.part > KvPart::kEdge) continue;
        KvPlace place;
        place.key = file.name.key;
        place.part = file.name.part;
        place.bytes = file.bytes;
        entries.push_back({place, KvOwner::kForeign});
    }
    KvRecord record{
        .key = index_key(), .parent = {}, .model = {}, .part = KvPart::kIndex, .used = now(lock)};
    ArchiveKey::Nonce nonce;
    world_.entropy.fill(nonce);
    KvScratch scratch;
    const auto file = files_.seal(record, pack_index(entries), nonce, scratch);
    // Without it the next start looks into the files themselves.
    if (file.ok() && files_.put(record.key, KvPart::kIndex, *file).ok()) changed_ = false;
}

void KvArchive::prune(uint64_t budget_bytes) {
    const Lock lock(mutex_);
    (void)refresh(KvFiles::Unfinished::kRemove, lock);
    for (const Foreign& file : std::exchange(foreign_, {})) {
        (void)files_.remove(file.name.key, file.name.part);
    }
    foreign_bytes_ = 0;
    make_room(0, budget_bytes, lock);
    std::set<KvKey> used;
    for (const KvPlace& place : table_.places()) used.insert(place.model);
    for (const KvKey& model : std::exchange(labelled_, {})) {
        if (used.contains(model)) {
            labelled_.push_back(model);
        } else {
            (void)files_.remove(model, KvPart::kModel);
        }
    }
    save(lock);
}

Status KvArchive::erase() {
    const Lock lock(mutex_);
    const std::vector<KvFileName> names = TRY(files_.list(KvFiles::Unfinished::kRemove));
    for (const KvFileName& name : names) TRY(files_.wipe(name));
    table_ = {};
    foreign_.clear();
    labelled_.clear();
    foreign_bytes_ = 0;
    changed_ = false;
    return files_.sync();
}

}  // namespace millrace
