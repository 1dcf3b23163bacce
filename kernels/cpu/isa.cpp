#include "kernels/cpu/isa.h"

#include <array>

namespace millrace {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"scalar", "avx2", "avx512", "avx512bf16"};

}  // namespace

bool isa_available(Isa isa) {
    switch (isa) {
        case Isa::kScalar: return true;
        case Isa::kAvx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        case Isa::kAvx512:
            return isa_available(Isa::kAvx2) && __builtin_cpu_supports("avx512f") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl");
        case Isa::kAvx512Bf16:
            return isa_available(Isa::kAvx512) && __builtin_cpu_supports("avx512vbmi") &&
                   __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
    }
    return false;
}

Isa best_isa() {
    Isa best = Isa::kScalar;
    for (const Isa isa : {Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
        if (isa_available(isa)) best = isa;
    }
    return best;
}

std::string_view isa_name(Isa isa) { return kNames[static_cast<size_t>(isa)]; }

std::optional<Isa> isa_of(std::string_view name) {
    for (size_t i = 0; i < kNames.size(); ++i) {
        if (kNames[i] == name) return static_cast<Isa>(i);
    }
    return std::nullopt;
}

std::string isa_names() {
    std::string out;
    for (const std::string_view name : kNames) {
        if (!out.empty()) out += ", ";
        out += name;
    }
    return out;
}

}  // namespace millrace
