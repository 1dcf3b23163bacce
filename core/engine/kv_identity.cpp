#include "core/engine/kv_identity.h"

#include "core/base/strings.h"
#include "core/model/identity.h"
#include "kernels/gpu.h"

namespace millrace {

Result<std::string> kv_identity(const Path& checkpoint, const RuntimeOptions& options) {
    std::string text = TRY(checkpoint_identity(checkpoint));
    // The reference calls the mathematics of the library, which picks its own instructions.
    text += cat("ops ", options.ops, " isa ", isa_name(options.cpu.isa), " activations ",
                options.cpu.activations == Activations::kInt8 ? "int8" : "fp8", " processor ",
                isa_name(best_isa()), "\n");
    if (options.ops == "cuda") {
        // Tensor cores of one generation sum alike.
        const std::vector<Gpu> gpus = TRY(list_gpus());
        if (options.gpu >= 0 && static_cast<size_t>(options.gpu) < gpus.size()) {
            const Gpu& gpu = gpus[static_cast<size_t>(options.gpu)];
            text += cat("gpu ", gpu.major, ".", gpu.minor, "\n");
        }
    }
    text += TRY(program_identity());
    return text;
}

}  // namespace millrace
