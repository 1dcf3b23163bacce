// The CPU ops of every ISA that this machine has.

#include "tests/kernels/cpu_fixture.h"

namespace millrace {

std::vector<FastOps> fast_ops(Activations activations) {
    std::vector<FastOps> out;
    for (const Isa isa : available_isas()) {
        out.push_back({std::string(isa_name(isa)), [isa, activations](Pool& pool) {
                           return make_cpu_ops(pool, {.isa = isa, .activations = activations});
                       }});
    }
    return out;
}

}  // namespace millrace
