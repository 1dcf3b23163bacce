// The memory of the simulated GPU, and the runtime calls for it.

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tests/support/cuda_sim/machine.h"

extern "C" {
extern const char __executable_start;
extern const char _end;
}

namespace millrace::cuda_sim {
namespace {

constexpr size_t kAlignment = 256;  // of cudaMalloc

// `__shared__` variables are thread-local ones of the program: the first object that is listed.
int find_thread_locals(dl_phdr_info* info, size_t, void* out) {
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
        const auto begin = reinterpret_cast<uintptr_t>(info->dlpi_tls_data);
        *static_cast<ByteRange*>(out) = {begin, begin + info->dlpi_phdr[i].p_memsz};
    }
    return 1;
}

constexpr size_t kPage = 4096;
constexpr size_t kArenaBytes = size_t{1} << 38;  // addresses, not memory

}  // namespace

GpuMemory::GpuMemory() {
    void* at =
        mmap(nullptr, kArenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        std::perror("addresses for a simulated GPU's memory");
        std::abort();
    }
    begin_ = top_ = static_cast<std::byte*>(at);
    free_[begin_] = kArenaBytes;
}

// The first place that is large enough.
std::byte* GpuMemory::take(size_t bytes) {
    const size_t whole = (bytes + kPage - 1) / kPage * kPage;
    const auto place =
        std::ranges::find_if(free_, [&](const auto& one) { return one.second >= whole; });
    if (place == free_.end()) return nullptr;
    const auto [at, room] = *place;
    free_.erase(place);
    if (room > whole) free_[at + whole] = room - whole;
    taken_[at] = whole;
    top_ = std::max(top_, at + whole);
    return at;
}

void GpuMemory::give_back(std::byte* at) {
    const auto taken = taken_.find(at);
    size_t bytes = taken->second;
    taken_.erase(taken);
    madvise(at, bytes, MADV_DONTNEED);
    const auto next = free_.lower_bound(at);
    if (next != free_.end() && next->first == at + bytes) {
        bytes += next->second;
        free_.erase(next);
    }
    const auto behind = free_.lower_bound(at);
    if (behind != free_.begin()) {
        auto& [before, room] = *std::prev(behind);
        if (before + room == at) {
            room += bytes;
            return;
        }
    }
    free_[at] = bytes;
}

void GpuMemory::open(bool open) const {
    if (top_ == begin_) return;
    const auto bytes = static_cast<size_t>(top_ - begin_);
    if (mprotect(begin_, bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE) == 0) return;
    std::perror("opening a simulated GPU's memory");
    std::abort();
}

Machine::Machine() : fibers_(&Machine::run_thread, this) {
    dl_iterate_phdr(find_thread_locals, &static_region_.range);
    image_ = {reinterpret_cast<uintptr_t>(&__executable_start), reinterpret_cast<uintptr_t>(&_end)};
    static_shadow_ =
        std::make_unique<Shadow>(static_region_.range.end - static_region_.range.begin);
    dynamic_memory_ = std::make_unique<std::byte[]>(kDynamicSharedMax + kAlignment);
    const auto begin = reinterpret_cast<uintptr_t>(dynamic_memory_.get());
    dynamic_region_.range.begin = (begin + kAlignment - 1) / kAlignment * kAlignment;
    dynamic_region_.range.end = dynamic_region_.range.begin;
    dynamic_shadow_ = std::make_unique<Shadow>(kDynamicSharedMax);
    static_region_.shadow = static_shadow_.get();
    dynamic_region_.shadow = dynamic_shadow_.get();
    static_region_.shared = dynamic_region_.shared = true;
    global_.written_first = kFirstEpoch;
    std::ranges::fill(recent_, &nowhere_);
}

void* Machine::dynamic_shared() { return reinterpret_cast<void*>(dynamic_region_.range.begin); }

// Before and behind every allocation lies memory that belongs to nobody.
void* Machine::allocate(size_t bytes, int device) {
    std::byte* memory = gpu_memory_.take(bytes + 2 * kAlignment);
    if (memory == nullptr) return nullptr;
    const auto begin = reinterpret_cast<uintptr_t>(memory + kAlignment);
    auto shadow = std::make_unique<Shadow>(bytes);
    const Region region{{begin, begin + bytes}, shadow.get(), false, device};
    allocations_.insert_or_assign(begin + bytes, Allocation{region, std::move(shadow)});
    std::ranges::fill(recent_, &nowhere_);
    return memory + kAlignment;
}

bool Machine::release(void* at) {
    const auto begin = reinterpret_cast<uintptr_t>(at);
    for (auto i = allocations_.lower_bound(begin); i != allocations_.end(); ++i) {
        if (i->second.region.range.begin != begin) continue;
        allocations_.erase(i);
        std::ranges::fill(recent_, &nowhere_);
        gpu_memory_.give_back(static_cast<std::byte*>(at) - kAlignment);
        return true;
    }
    return false;
}

Machine::Allocation* Machine::find(uintptr_t at) {
    const auto i = allocations_.upper_bound(at);
    return i != allocations_.end() && i->second.region.range.begin <= at ? &i->second : nullptr;
}

bool Machine::host_access(const void* at, size_t bytes, bool define) {
    if (bytes == 0) return true;
    const auto begin = reinterpret_cast<uintptr_t>(at);
    Allocation* allocation = find(begin);
    if (allocation == nullptr || !allocation->region.range.holds(begin, bytes)) return false;
    if (define) allocation->shadow->define(begin - allocation->region.range.begin, bytes);
    return true;
}

// Where an access goes, and that it may; null for what is read outside the memory of kernels.
Machine::Region* Machine::region_of(uintptr_t at, size_t bytes, Access access) {
    for (Region* region : {&static_region_, &dynamic_region_}) {
        if (!region->range.begins(at)) continue;
        const ByteRange& range = region->range;
        if (!range.holds(at, bytes)) {
            fail(Fault::kSharedBounds, std::to_string(bytes) + " bytes at byte " +
                                           std::to_string(at - range.begin) + " of " +
                                           std::to_string(range.end - range.begin));
        }
        return region;
    }
    Allocation* allocation = find(at);
    if (allocation != nullptr && allocation->region.range.holds(at, bytes)) {
        if (allocation->region.device != device_) {
            fail(Fault::kForeignGpu, "memory of GPU " + std::to_string(allocation->region.device) +
                                         " in a kernel of GPU " + std::to_string(device_));
        }
        return &allocation->region;
    }
    outside(at, bytes);
    if (access != Access::kRead) {
        fail(Fault::kConstantWritten, "parameters and constants are not written");
    }
    return nullptr;
}

// An access to no memory of kernels: allowed are the parameters and the constants of the program.
void Machine::outside(uintptr_t at, size_t bytes) {
    if (task_.holds(at, bytes) || image_.holds(at, bytes)) return;
    if (fibers_.on_any_stack(at)) {
        fail(Fault::kForeignStack, "a local variable of another thread");
    }
    const auto dynamic =
        ByteRange{dynamic_region_.range.begin, dynamic_region_.range.begin + kDynamicSharedMax};
    if (dynamic.begins(at)) {
        fail(Fault::kSharedBounds,
             "byte " + std::to_string(at - dynamic.begin) + " of dynamic shared memory of " +
                 std::to_string(dynamic_region_.range.end - dynamic_region_.range.begin));
    }
    std::string near = "no allocation is near";
    for (const auto& [end, allocation] : allocations_) {
        const ByteRange& range = allocation.region.range;
        const std::string size = std::to_string(range.end - range.begin) + " bytes";
        if (at < range.begin && range.begin - at <= kAlignment) {
            near = std::to_string(range.begin - at) + " bytes before an allocation of " + size;
        } else if (at + bytes > end && at >= range.begin && at < end + kAlignment) {
            near = "byte " + std::to_string(at - range.begin) + " of an allocation of " + size;
        }
    }
    fail(Fault::kGlobalBounds, std::to_string(bytes) + " bytes outside memory: " + near);
}

}  // namespace millrace::cuda_sim
