#pragma once
// Which instructions the CPU kernels may use. Chosen once at start from what the processor (and the system under it) has;
// results of one ISA never depend on the machine it runs on.

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

// Each includes the ones before it.
enum class Isa {
    kScalar,      // whatever the compiler makes of plain loops
    kAvx2,        // AVX2 + FMA + F16C
    kAvx512,      // AVX-512 F, BW, DQ, VL
    kAvx512Bf16,  // and VBMI, VNNI, BF16 (Zen 4, Sapphire Rapids and later)
};

[[nodiscard]] Isa best_isa();
[[nodiscard]] bool isa_available(Isa isa);
[[nodiscard]] std::string_view isa_name(Isa isa);
// By the name that isa_name gives; nothing for another word.
[[nodiscard]] std::optional<Isa> isa_of(std::string_view name);
// "scalar, avx2, …": all names.
[[nodiscard]] std::string isa_names();

}  // namespace millrace
