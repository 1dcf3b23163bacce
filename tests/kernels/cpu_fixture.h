#pragma once
// The CPU ops of every ISA that this machine has, beside the reference.

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace millrace {

inline std::vector<Isa> available_isas() {
    std::vector<Isa> out;
    for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
        if (isa_available(isa)) out.push_back(isa);
    }
    return out;
}

// Calls test(ops) for the CPU ops of each ISA; a failure names it.
template <class Test>
void for_every_isa(Pool& pool, const Test& test, Activations activations = Activations::kFp8) {
    for (const Isa isa : available_isas()) {
        const std::string name(isa_name(isa));
        CAPTURE(name);
        const auto ops = make_cpu_ops(pool, {.isa = isa, .activations = activations});
        test(*ops);
    }
}

}  // namespace millrace
