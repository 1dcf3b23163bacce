#include "tests/support/cuda_sim/simulator.h"

#include <utility>

#include "tests/support/cuda_sim/graph.h"
#include "tests/support/cuda_sim/machine.h"

namespace millrace::cuda_sim {
namespace {

std::string text_of(uint3 at) {
    return "(" + std::to_string(at.x) + "," + std::to_string(at.y) + "," + std::to_string(at.z) +
           ")";
}

}  // namespace

const char* fault_name(Fault fault) {
    switch (fault) {
        case Fault::kGlobalBounds: return "outside global memory";
        case Fault::kSharedBounds: return "outside shared memory";
        case Fault::kIndexBounds: return "outside an array";
        case Fault::kMisaligned: return "misaligned";
        case Fault::kRace: return "race";
        case Fault::kUninitialisedShared: return "uninitialised shared memory";
        case Fault::kUninitialisedGlobal: return "uninitialised global memory";
        case Fault::kDivergentBarrier: return "divergent barrier";
        case Fault::kAbsentLane: return "absent lane";
        case Fault::kDeadlock: return "deadlock";
        case Fault::kEndless: return "endless loop";
        case Fault::kForeignStack: return "stack of another thread";
        case Fault::kConstantWritten: return "constant written";
        case Fault::kShift: return "shift";
        case Fault::kLaunch: return "launch";
    }
    return "";
}

std::string Violation::text() const {
    return kernel + ": block " + text_of(block) + " thread " + text_of(thread) + ": " +
           fault_name(fault) + ": " + what;
}

void set_options(const Options& options) { machine().options = options; }

std::vector<Violation> take_violations() { return std::exchange(machine().violations, {}); }

std::vector<KernelReport> kernels() {
    std::vector<KernelReport> out;
    for (const auto& [name, report] : machine().kernels) out.push_back(report);
    return out;
}

bool register_kernel(const KernelEntry& entry) {
    // Clang leaves the arguments of templates out of a name: those that are left get a number.
    std::string name(entry.name);
    for (int number = 2; machine().kernels.contains(name); ++number)
        name = std::string(entry.name) + " #" + std::to_string(number);
    machine().kernels[name].name = name;
    machine().names[entry.call] = name;
    return true;
}

void launch_registered(const KernelEntry& entry, dim3 grid, dim3 block, size_t shared_bytes,
                       const void* task) {
    if (capturing()) {
        const auto* bytes = static_cast<const std::byte*>(task);
        capture([=, copy = std::vector<std::byte>(bytes, bytes + entry.task_bytes)] {
            launch_registered(entry, grid, block, shared_bytes, copy.data());
            return cudaSuccess;
        });
        return;
    }
    machine().launch(entry, grid, block, shared_bytes, task);
}

}  // namespace millrace::cuda_sim
