#include "tests/support/cuda_sim/simulator.h"

#include <utility>

#include "tests/support/cuda_sim/machine.h"
#include "tests/support/cuda_sim/streams.h"

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
        case Fault::kHostMemory: return "the host's memory";
        case Fault::kForeignGpu: return "another GPU's memory";
    }
    return "";
}

std::string Violation::text() const {
    return kernel + ": block " + text_of(block) + " thread " + text_of(thread) + ": " +
           fault_name(fault) + ": " + what;
}

void set_options(const Options& options) {
    streams().finish();
    machine().options = options;
    streams().reseed(options.seed);
}

std::vector<Violation> take_violations() {
    streams().finish();
    return std::exchange(machine().violations, {});
}

std::vector<KernelReport> kernels() {
    streams().finish();
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

}  // namespace millrace::cuda_sim
