// The memory of the simulated GPU, and the runtime calls for it.

#include <link.h>

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

Machine::Machine() {
    dl_iterate_phdr(find_thread_locals, &static_shared_);
    image_ = {reinterpret_cast<uintptr_t>(&__executable_start), reinterpret_cast<uintptr_t>(&_end)};
    static_shadow_ = std::make_unique<Shadow>(static_shared_.end - static_shared_.begin);
    dynamic_memory_ = std::make_unique<std::byte[]>(kDynamicSharedMax + kAlignment);
    const auto begin = reinterpret_cast<uintptr_t>(dynamic_memory_.get());
    dynamic_shared_.begin = (begin + kAlignment - 1) / kAlignment * kAlignment;
    dynamic_shared_.end = dynamic_shared_.begin;
    dynamic_shadow_ = std::make_unique<Shadow>(kDynamicSharedMax);
}

void* Machine::dynamic_shared() { return reinterpret_cast<void*>(dynamic_shared_.begin); }

// Before and behind every allocation lies memory that belongs to nobody.
void* Machine::allocate(size_t bytes) {
    const size_t whole = (bytes + kAlignment - 1) / kAlignment * kAlignment + 2 * kAlignment;
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, whole));
    if (memory == nullptr) return nullptr;
    const auto begin = reinterpret_cast<uintptr_t>(memory + kAlignment);
    allocations_.insert_or_assign(
        begin + bytes, Allocation{{begin, begin + bytes}, std::make_unique<Shadow>(bytes)});
    return memory + kAlignment;
}

bool Machine::release(void* at) {
    const auto begin = reinterpret_cast<uintptr_t>(at);
    for (auto i = allocations_.lower_bound(begin); i != allocations_.end(); ++i) {
        if (i->second.range.begin != begin) continue;
        allocations_.erase(i);
        std::free(static_cast<std::byte*>(at) - kAlignment);
        return true;
    }
    return false;
}

Machine::Allocation* Machine::find(uintptr_t at) {
    const auto i = allocations_.upper_bound(at);
    return i != allocations_.end() && i->second.range.begin <= at ? &i->second : nullptr;
}

bool Machine::host_access(const void* at, size_t bytes, bool define) {
    if (bytes == 0) return true;
    const auto begin = reinterpret_cast<uintptr_t>(at);
    Allocation* allocation = find(begin);
    if (allocation == nullptr || !allocation->range.holds(begin, bytes)) return false;
    if (define) allocation->shadow->define(begin - allocation->range.begin, bytes);
    return true;
}

void Machine::check_shadow(Shadow& shadow, size_t offset, size_t bytes, Access access,
                           bool shared) {
    const char* where = shared ? "shared memory, " : "global memory, ";
    if (access != Access::kWrite && !shadow.defined(offset, bytes)) {
        fail(shared ? Fault::kUninitialisedShared : Fault::kUninitialisedGlobal,
             where + std::to_string(bytes) + " bytes at byte " + std::to_string(offset) +
                 " are read, nobody wrote them");
    }
    // Shared memory is new with every block: what other blocks did there is as if in another launch.
    const Toucher who{shared ? blocks_begun_ : launch_, block_number_, current_index(), barriers_,
                      current().warp_barriers};
    if (const auto race = shadow.touch(offset, bytes, access, who)) {
        fail(Fault::kRace, where + *race);
    }
}

// An access to no memory of kernels: allowed are the parameters and the constants of the program.
void Machine::outside(uintptr_t at, size_t bytes) {
    if (task_.holds(at, bytes) || image_.holds(at, bytes)) return;
    if (fibers_.on_any_stack(at)) {
        fail(Fault::kForeignStack, "a local variable of another thread");
    }
    const auto dynamic =
        ByteRange{dynamic_shared_.begin, dynamic_shared_.begin + kDynamicSharedMax};
    if (dynamic.begins(at)) {
        fail(Fault::kSharedBounds, "byte " + std::to_string(at - dynamic.begin) +
                                       " of dynamic shared memory of " +
                                       std::to_string(dynamic_shared_.end - dynamic_shared_.begin));
    }
    std::string near = "no allocation is near";
    for (const auto& [end, allocation] : allocations_) {
        const ByteRange& range = allocation.range;
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
