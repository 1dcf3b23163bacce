#pragma once
// The fast ops, beside the reference.

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "tests/kernels/fast_ops.h"

namespace millrace {

inline std::vector<Isa> available_isas() {
    std::vector<Isa> out;
    for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
        if (isa_available(isa)) out.push_back(isa);
    }
    return out;
}

// Calls test(ops) for each of the fast ops of this program: CPU ops of every ISA, or CUDA's; a failure names them.
template <class Test>
void for_every_isa(Pool& pool, const Test& test, Activations activations = Activations::kFp8) {
    for (const FastOps& fast : fast_ops(activations)) {
        CAPTURE(fast.name);
        const auto ops = fast.make(pool);
        test(*ops);
    }
}

}  // namespace millrace
