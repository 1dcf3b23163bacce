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
        // Tensor cores of one generation sum alike. Where the CPU computes some experts and the GPU others, pages are as
        // good as those of another run, not the same bits.
        text += "gpu ";
        for (const int number : options.gpu.numbers) {
            const Gpu gpu = TRY(find_gpu(number));
            text += cat(gpu.major, ".", gpu.minor, " ");
        }
        text += cat("misses ", options.gpu.misses == GpuMisses::kCopy ? "copied" : "mixed", "\n");
    }
    text += TRY(program_identity());
    return text;
}

}  // namespace millrace
