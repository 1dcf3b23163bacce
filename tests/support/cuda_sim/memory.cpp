// The memory of the simulated GPU, and the runtime calls for it.

#include <link.h>

#include <algorithm>
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

}  // namespace

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
    const size_t whole = (bytes + kAlignment - 1) / kAlignment * kAlignment + 2 * kAlignment;
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, whole));
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
        std::free(static_cast<std::byte*>(at) - kAlignment);
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
