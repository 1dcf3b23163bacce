#include "core/engine/gpu_tier.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace millrace {
namespace {

// So many pieces of memory: what is given back at a time.
constexpr int32_t kPieces = 16;

}  // namespace

// What is learned of experts is kept by their place in the whole model: others' layers say nothing.
GpuTier::GpuTier(std::unique_ptr<GpuExperts> experts, ExpertCache& cache,
                 const ExpertSource& source, const GpuTierOptions& options)
    : experts_(std::move(experts)),
      cache_(cache),
      options_(options),
      slots_(source.layers(), source.experts(), options.promotion) {
    offers_.reserve(kPromotionsMax);
    // Each holds a slot of the cache.
    landing_.reserve(static_cast<size_t>(cache.slots()));
}

// What is under way reads the cache's slots and writes the GPU's. What lay there is the cache's alone again.
GpuTier::~GpuTier() {
    for (const Copy& copy : landing_) static_cast<void>(experts_->finish(copy.slot));
    for (const Group& group : groups_) {
        for (size_t i = 0; i < group.count; ++i)
            static_cast<void>(experts_->finish(group.copies[i].slot));
    }
    slots_.for_there([this](ExpertKey key) { cache_.set_elsewhere(key, false); });
}

Result<std::unique_ptr<GpuTier>> GpuTier::create(std::unique_ptr<GpuExperts> experts,
                                                 ExpertCache& cache, const ExpertSource& source,
                                                 const GpuTierOptions& options) {
    ENSURE(options.layers > 0 && options.first_layer + options.layers <= source.layers());
    std::unique_ptr<GpuTier> tier(new GpuTier(std::move(experts), cache, source, options));
    TRY(tier->take_slots(options.slots));
    return tier;
}

Status GpuTier::take_slots(int32_t wanted) {
    if (options_.copied_rows != GpuTierOptions::kNever) {
        passing_slots_ = std::clamp(wanted / 4, 1, kGroup) * 2;
        TRY(experts_->grow(passing_slots_));
    }
    const int32_t all = std::max(wanted - passing_slots_, 0);
    const int32_t piece = std::max(all / kPieces, 1);
    for (int32_t left = all; left > 0;) {
        const int32_t count = std::min(piece, left);
        const Status grown = experts_->grow(count);
        if (!grown.ok()) {
            // Others use the card too: then there are fewer.
            if (grown.error().code != ErrorCode::kCapacity) return grown;
            break;
        }
        slots_.grow(count);
        pieces_.push_back(count);
        left -= count;
    }
    counts_->slots = slots_.size();
    return {};
}

Status GpuTier::landed(Copy& copy) {
    if (copy.stays) TRY(enter(copy));
    copy.lease = {};
    return {};
}

Status GpuTier::enter(Copy& copy) {
    const ExpertKey key = copy.lease.key();
    TRY(experts_->set(table_of(key.layer), key.expert, copy.slot));
    slots_.landed(SlotId{copy.slot - passing_slots_});
    cache_.set_elsewhere(key, true);
    counts_->there = slots_.there();
    copy.stays = false;
    return {};
}

Status GpuTier::forget(ExpertKey key) {
    cache_.set_elsewhere(key, false);
    count(counts_->dropped);
    counts_->there = slots_.there();
    return experts_->set(table_of(key.layer), key.expert, std::nullopt);
}

Status GpuTier::end_groups() {
    for (Group& group : groups_) {
        for (; group.count > 0; --group.count) {
            Copy& copy = group.copies[group.count - 1];
            TRY(experts_->finish(copy.slot));
            TRY(landed(copy));
        }
    }
    return {};
}

Status GpuTier::begin_layer() {
    TRY(end_groups());
    size_t ended = 0;
    for (; ended < landing_.size(); ++ended) {
        if (!TRY(experts_->landed(landing_[ended].slot))) break;
        TRY(landed(landing_[ended]));
    }
    landing_.erase(landing_.begin(), landing_.begin() + static_cast<std::ptrdiff_t>(ended));
    return {};
}

void GpuTier::compute(LayerId layer, const RoutedRows& rows) {
    experts_->compute(table_of(layer), rows.x, rows.ids, rows.weights, rows.limit, rows.out);
}

Result<std::optional<int32_t>> GpuTier::take_slot(ExpertKey key) {
    const std::optional<GpuSlots::Taken> taken = slots_.begin(key);
    if (!taken) return std::optional<int32_t>();
    if (taken->dropped) TRY(forget(*taken->dropped));
    count(counts_->promoted);
    return std::optional<int32_t>(gpu_slot(taken->slot));
}

Status GpuTier::copy(Lease lease, const ExpertWeights& weights, const RoutedRows& rows) {
    if (groups_[open_].count == group_size()) TRY(turn_groups(rows));
    Group& group = groups_[open_];
    const std::optional<int32_t> own = TRY(take_slot(lease.key()));
    const auto passing = static_cast<int32_t>(open_ * group_size() + group.count);
    const int32_t slot = own.value_or(passing);
    TRY(experts_->fill(slot, weights));
    group.copies[group.count++] = {std::move(lease), weights, slot, own.has_value()};
    count(counts_->copied);
    return {};
}

// The open group is on its way: the other one is computed meanwhile, and is the next to be filled.
Status GpuTier::turn_groups(const RoutedRows& rows) {
    open_ = 1 - open_;
    return compute_group(groups_[open_], rows);
}

Status GpuTier::compute_group(Group& group, const RoutedRows& rows) {
    if (group.count == 0) return {};
    const std::span<Copy> copies(group.copies.data(), group.count);
    for (const Copy& copy : copies) {
        experts_->wait_for(copy.slot);
        TRY(experts_->set(passing(), copy.lease.key().expert, copy.slot));
    }
    experts_->compute(passing(), rows.x, rows.ids, rows.weights, rows.limit, rows.out);
    for (Copy& copy : copies) {
        TRY(experts_->set(passing(), copy.lease.key().expert, std::nullopt));
        // The GPU has it from here on; its bytes in the cache are still being read.
        if (copy.stays) TRY(enter(copy));
        landing_.push_back(std::move(copy));
    }
    group.count = 0;
    return {};
}

Status GpuTier::end_copies(const RoutedRows& rows) {
    TRY(turn_groups(rows));
    return turn_groups(rows);
}

bool GpuTier::wants(ExpertKey key) {
    return offers_.size() + landing_.size() < kPromotionsMax && slots_.wants(key);
}

void GpuTier::offer(Lease lease, const ExpertWeights& weights) {
    offers_.push_back({std::move(lease), weights, 0, true});
}

Status GpuTier::begin_promotions() {
    for (Copy& copy : offers_) {
        const std::optional<int32_t> slot = TRY(take_slot(copy.lease.key()));
        if (!slot) continue;
        TRY(experts_->fill(*slot, copy.weights));
        copy.slot = *slot;
        landing_.push_back(std::move(copy));
    }
    offers_.clear();
    return {};
}

Status GpuTier::unlease(int32_t count) {
    while (cache_.unleased() < count) {
        if (!landing_.empty()) {
            TRY(experts_->finish(landing_.front().slot));
            TRY(landed(landing_.front()));
            landing_.erase(landing_.begin());
        } else if (!offers_.empty()) {
            offers_.pop_back();
        } else {
            break;
        }
    }
    return {};
}

Status GpuTier::stand_aside(int32_t count) {
    TRY(end_groups());
    return unlease(count);
}

Result<bool> GpuTier::shrink() {
    if (pieces_.empty()) return false;
    TRY(end_groups());
    for (Copy& copy : landing_) {
        TRY(experts_->finish(copy.slot));
        TRY(landed(copy));
    }
    landing_.clear();
    Status forgotten;
    slots_.shrink(pieces_.back(), [&](ExpertKey key) {
        if (forgotten.ok()) forgotten = forget(key);
    });
    TRY(std::move(forgotten));
    pieces_.pop_back();
    counts_->slots = slots_.size();
    counts_->there = slots_.there();
    return experts_->shrink();
}

}  // namespace millrace
