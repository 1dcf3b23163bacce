#include "tests/support/simulated_drive.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/check.h"
#include "core/base/memory.h"

namespace millrace::test {
namespace {

constexpr int kRubbish = 0xDB;

bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes) {
    return a < b + b_bytes && b < a + a_bytes;
}

}  // namespace

void DriveFaultCounts::add(const DriveFaultCounts& other) {
    eintr += other.eintr;
    eagain += other.eagain;
    eio += other.eio;
    short_reads += other.short_reads;
    empty_reads += other.empty_reads;
    late += other.late;
    flips += other.flips;
    einval += other.einval;
    bad_places += other.bad_places;
    vanished += other.vanished;
    overtaken += other.overtaken;
}

SimulatedDrive::SimulatedDrive(uint64_t seed, std::vector<uint64_t> file_bytes, int32_t depth,
                               const DriveFaults& faults, int32_t setbacks_max,
                               SimulatedClock& clock)
    : clock_(clock),
      random_(seed),
      sizes_(std::move(file_bytes)),
      direct_(sizes_.size(), true),
      vanished_(sizes_.size(), false),
      own_drive_(sizes_.size(), 0),
      slowness_(1, 1),
      depth_(depth),
      faults_(faults),
      setbacks_max_(setbacks_max),
      setbacks_(static_cast<size_t>(depth)) {}

SimulatedDrive::~SimulatedDrive() { ENSURE(flights_.empty()); }

void SimulatedDrive::truth(int32_t file, uint64_t offset, std::span<std::byte> out) {
    for (size_t i = 0; i < out.size();) {
        const uint64_t at = offset + i;
        const uint64_t word = mix64((static_cast<uint64_t>(file) << 48) + at / 8 + kGoldenGamma);
        const uint64_t skip = at % 8;
        const size_t count = std::min<size_t>(8 - skip, out.size() - i);
        const uint64_t shifted = word >> (8 * skip);
        std::memcpy(out.data() + i, &shifted, count);
        i += count;
    }
}

void SimulatedDrive::set_bad(int32_t file, uint64_t begin, uint64_t end) {
    bad_.push_back({file, begin, end});
}

void SimulatedDrive::set_vanished(int32_t file) { vanished_[static_cast<size_t>(file)] = true; }

void SimulatedDrive::set_rotten(int32_t file, uint64_t byte, Rot where) {
    rotten_.push_back({file, byte, where});
}

void SimulatedDrive::set_own_drive(int32_t file, int64_t times) {
    own_drive_[static_cast<size_t>(file)] = static_cast<int32_t>(slowness_.size());
    slowness_.push_back(times);
}

void SimulatedDrive::drop_cached(int32_t file, uint64_t offset, uint64_t bytes) {
    std::erase_if(rotten_, [&](const Rotten& r) {
        return r.where == Rot::kPageCache && r.file == file && r.byte >= offset &&
               r.byte < offset + bytes;
    });
}

void SimulatedDrive::heal() {
    bad_.clear();
    rotten_.clear();
    std::fill(vanished_.begin(), vanished_.end(), false);
}

bool SimulatedDrive::is_direct(int32_t file) const { return direct_[static_cast<size_t>(file)]; }

Status SimulatedDrive::use_page_cache(int32_t file) {
    direct_[static_cast<size_t>(file)] = false;
    return {};
}

void SimulatedDrive::check_op(const ReadOp& op) const {
    ENSURE(flights_.size() < static_cast<size_t>(depth_));
    ENSURE(op.tag < setbacks_.size());
    ENSURE(op.file >= 0 && static_cast<size_t>(op.file) < sizes_.size());
    ENSURE(op.bytes > 0 && op.bytes % kPageBytes == 0 && op.offset % kPageBytes == 0);
    const auto into = reinterpret_cast<uintptr_t>(op.into);
    ENSURE(into % kPageBytes == 0);
    for (const Flight& other : flights_) {
        ENSURE(other.op.tag != op.tag);
        ENSURE(
            !overlap(into, op.bytes, reinterpret_cast<uintptr_t>(other.op.into), other.op.bytes));
    }
}

void SimulatedDrive::submit(const ReadOp& op) {
    check_op(op);
    std::memset(op.into, kRubbish, op.bytes);
    int64_t delay_ns = 50'000 + static_cast<int64_t>(random_.below(2'000'000));
    if (chance(faults_.late)) {
        ++counts_.late;
        delay_ns *= 100;
    }
    delay_ns *= slowness_[static_cast<size_t>(drive(op.file))];
    flights_.push_back({op, outcome(op), clock_.now_ns() + delay_ns, ++submitted_});
}

// The bytes that will be read, or −errno.
int32_t SimulatedDrive::outcome(const ReadOp& op) {
    if (const auto fault = lasting_fault(op)) return *fault;
    const uint64_t size = sizes_[static_cast<size_t>(op.file)];
    const uint64_t available =
        size > op.offset ? std::min<uint64_t>(size - op.offset, op.bytes) : 0;
    if (available == 0) return 0;
    if (const auto fault = passing_fault(op, static_cast<int32_t>(available))) return *fault;
    return static_cast<int32_t>(available);
}

std::optional<int32_t> SimulatedDrive::lasting_fault(const ReadOp& op) {
    if (vanished_[static_cast<size_t>(op.file)]) {
        ++counts_.vanished;
        return -ENODEV;
    }
    if (faults_.refuse_direct && is_direct(op.file)) {
        ++counts_.einval;
        return -EINVAL;
    }
    for (const BadPlace& bad : bad_) {
        if (bad.file == op.file && overlap(bad.begin, bad.end - bad.begin, op.offset, op.bytes)) {
            ++counts_.bad_places;
            return -EIO;
        }
    }
    return std::nullopt;
}

std::optional<int32_t> SimulatedDrive::passing_fault(const ReadOp& op, int32_t available) {
    if (chance(faults_.eintr)) {
        ++counts_.eintr;
        return -EINTR;
    }
    if (chance(faults_.eagain)) {
        ++counts_.eagain;
        return -EAGAIN;
    }
    Setbacks& setbacks = setbacks_[op.tag];
    if (setbacks.file != op.file || setbacks.offset != op.offset) {
        setbacks = {op.file, op.offset, 0};
    }
    if (chance(faults_.short_read) && available > 1) {
        const auto bytes =
            1 + static_cast<int32_t>(random_.below(static_cast<uint64_t>(available) - 1));
        const bool gets_on = static_cast<size_t>(bytes) >= kPageBytes;
        if (gets_on || setbacks.count < setbacks_max_) {
            setbacks.count += gets_on ? 0 : 1;
            ++counts_.short_reads;
            return bytes;
        }
    }
    if (setbacks.count >= setbacks_max_) return std::nullopt;
    if (chance(faults_.eio)) {
        ++setbacks.count;
        ++counts_.eio;
        return -EIO;
    }
    if (chance(faults_.empty_read)) {
        ++setbacks.count;
        ++counts_.empty_reads;
        return 0;
    }
    return std::nullopt;
}

void SimulatedDrive::land(const Flight& flight) {
    if (flight.result > 0) {
        truth(flight.op.file, flight.op.offset,
              {flight.op.into, static_cast<size_t>(flight.result)});
        flip_bits(flight);
    }
    if (flight.number < last_landed_) ++counts_.overtaken;
    last_landed_ = std::max(last_landed_, flight.number);
    history_ = mix64(history_ + flight.op.tag + kGoldenGamma);
}

void SimulatedDrive::flip_bits(const Flight& flight) {
    const auto bytes = static_cast<uint64_t>(flight.result);
    for (const Rotten& r : rotten_) {
        if (r.file != flight.op.file || r.byte < flight.op.offset) continue;
        const uint64_t at = r.byte - flight.op.offset;
        if (at >= bytes || (r.where == Rot::kPageCache && is_direct(r.file))) continue;
        flight.op.into[at] ^= std::byte{1};
        ++counts_.flips;
    }
    if (faults_.flip > 0 && chance(faults_.flip)) {
        flight.op.into[random_.below(bytes)] ^= static_cast<std::byte>(1 << random_.below(8));
        ++counts_.flips;
    }
}

size_t SimulatedDrive::reap(std::span<ReadDone> done, Wait wait) {
    const auto earlier = [](const Flight& a, const Flight& b) {
        return a.due_ns != b.due_ns ? a.due_ns < b.due_ns : a.number < b.number;
    };
    while (flights_.empty() && wait == Wait::kYes) {
        const uint32_t wakes = wakes_.load();
        if (wakes != wakes_seen_) {
            wakes_seen_ = wakes;
            return 0;
        }
        wakes_.wait(wakes);
    }
    size_t count = 0;
    while (count < done.size() && !flights_.empty()) {
        const auto first = std::min_element(flights_.begin(), flights_.end(), earlier);
        if (first->due_ns > clock_.now_ns()) {
            if (count > 0 || wait == Wait::kNo) break;
            clock_.advance_to(first->due_ns);
        }
        land(*first);
        done[count++] = {first->op.tag, first->result};
        flights_.erase(first);
    }
    return count;
}

void SimulatedDrive::wake() {
    wakes_.fetch_add(1);
    wakes_.notify_one();
}

}  // namespace millrace::test
