#pragma once
// Fast ops layer by layer from golden input: not farther from the canonical result than an equally correct
// implementation. tests/golden/model/*/official-fp32-order.json says how far the official code gets from it by summing in
// another order: of each layer from golden input (`one_layer_on_official_input`, the streams behind the layer), and of each
// tensor in a run of the whole model, which carries the errors of the layers before. Layer 0 is the same in both.
//
// What makes a distance. A sum in another order moves its last bit; now and then that crosses a rounding to bf16 or to FP8
// and becomes a step of 0.4 % or 6 % of one value; rarely it changes which expert a row goes to or which entry it picks, and
// then this row is another row. So a layer's distance is a sum over few events, and two correct implementations differ in
// it by chance. The bounds:
//
//   quiet rows    (same experts and picks as the golden) are judged alone, tensor by tensor: a flipped row weighs more than
//                 all the others. Streams: twice the layer's official distance, or, where chance gave the official code
//                 few events, one and a half of the root mean square over the model's layers. attn and ffn: one and a half
//                 of the official distance in the whole run; compressor: the same, or one FP8 step (2⁻⁴) of one of an
//                 entry's 512 values, which is 0.3 % of the entry.
//   outliers      no quiet row's streams are farther than kQuietRowMost: larger changes need a flip.
//   flips         at most kFlippedMost of the rows of a model: a score must lie within about 1 % of the next one.
//   all rows      the root mean square of all layers of all models, flipped rows included, against the same of the official
//                 figures. These are 19 draws each; their mean square has a relative standard error of 0.37, a quotient of
//                 two of 0.53. Allowed are two of these: 1 + 2·0.53 for the mean square, its root 1.44 for the distance.
//   median        of all rows' streams: most sums change nothing, so it is near 0. A rounding left out, doubled or done the
//                 wrong way moves every row by 0.2 % or more.

#include <string>
#include <vector>

#include "core/engine/runtime.h"

namespace millrace::test {

// Checks all that, for models with golden traces.
void check_closeness(const std::vector<std::string>& models, const RuntimeOptions& options);

}  // namespace millrace::test
