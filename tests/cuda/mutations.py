"""mutations.py --build DIR [--all] [--only TEXT]: breaks the CUDA kernels one way after another; each time some test must fail.

Each mutation is a change of one place of a source. The kernels it reaches are compiled as the build compiles them, linked
with everything else of test_cuda, and the tests of those ops are run. A mutation that no test notices fails this script.

Nearly all of the time goes to the compiler. So a run takes EVERY_TIME alone, which has every .cu and every kind of mistake
(KINDS); --all takes the whole list.
"""

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path

from simulated_build import KERNELS, ROOT, Build


@dataclasses.dataclass(frozen=True)
class Mutation:
    what: str
    path: str  # below kernels/cuda
    old: str
    new: str
    unit: str  # the .cu that is compiled again
    tests: str  # --source-file
    cases: str  # --test-case


ROWS, GRIDS, MIXTURE = "*/cpu_rows_test.cpp", "*/cpu_grids_test.cpp", "*/cpu_mixture_test.cpp"
STREAMS, LINEAR = "*/cpu_hyper_connections_test.cpp", "*/cpu_linear_test.cpp"
OWN, PRODUCT = "*/kernels_test.cpp", "*/product_test.cpp"
EXPERTS, LISTS = "*/cuda/experts_test.cpp", "*/cuda/lists_test.cpp"
SLOTS = "*/cuda/gpu_experts_test.cpp,*/cuda/gpu_experts_simulated_test.cpp"
GRAPH = "*/cuda/graph_test.cpp"
CHOICE = "*/cuda/sampler_test.cpp"
ATTENTION, INDEXER, STAGES = "*/cpu_attention_test.cpp", "*/cpu_indexer_test.cpp", "*/cuda/indexer_test.cpp"

MUTATIONS = [
    Mutation("no barrier in the sum of a block", "device/warp.cuh",
             "    __syncthreads();\n    float total", "    float total", "norm_rope.cu", ROWS, "rms_norm*"),
    Mutation("the sum of half a warp", "device/warp.cuh",
             "distance = kWarp / 2; distance > 0; distance /= 2)\n        value +=",
             "distance = kWarp / 4; distance > 0; distance /= 2)\n        value +=", "norm_rope.cu", ROWS, "rms_norm*"),
    Mutation("the maximum of neighbours only", "device/warp.cuh",
             "distance = kLanes / 2; distance > 0;", "distance = 1; distance > 0;", "grids.cu", GRIDS, "aq128 of strided*"),
    Mutation("no tail check when loading", "device/loads.cuh",
             "first + i < cols ? to_float(row[first + i]) : 0", "first + i < cols + 8 ? to_float(row[first + i]) : 0", "rows.cu", ROWS, "stream_mean*"),
    Mutation("no tail check when storing", "device/loads.cuh",
             "if (first + i < cols) row[first + i] =", "if (first + i <= cols) row[first + i] =", "rows.cu", ROWS, "stream_mean*"),
    Mutation("squares of a head not rounded", "norm_rope.cu",
             "squares += rounded(value * value)", "squares += value * value", "norm_rope.cu", ROWS, "head_norm*"),
    Mutation("a head's factor not rounded", "norm_rope.cu",
             "rounded(1.0F / std::sqrt(rounded(mean + t.eps)))", "1.0F / std::sqrt(rounded(mean + t.eps))",
             "norm_rope.cu", ROWS, "head_norm*"),
    Mutation("angles without a barrier", "norm_rope.cu",
             "    __syncthreads();\n    // A lane keeps its pair", "    // A lane keeps its pair", "norm_rope.cu", ROWS, "rope*"),
    Mutation("rotation in one direction only", "norm_rope.cu",
             "angle.sine * t.direction", "angle.sine", "norm_rope.cu", ROWS, "rope*"),
    Mutation("the wrong half of a butterfly", "grids.cu",
             "(lane & distance) == 0 ?", "(lane & distance) != 0 ?", "grids.cu", GRIDS, "Hadamard*"),
    Mutation("a turned vector not rounded before fq4", "grids.cu",
             "value = to_float(to_bf16(value * kFactor))", "value = value * kFactor", "grids.cu", GRIDS, "Hadamard*"),
    Mutation("codes always written as words", "grids.cu",
             "if constexpr (kVectors) {\n        store_vector(codes, word);", "if constexpr (true) {\n        store_vector(codes, word);",
             "grids.cu", GRIDS, "aq128 of strided*"),
    Mutation("a signalling NaN made quiet", "grids.cu", "rope[i - kLatentDim] = x[i];",
             "rope[i - kLatentDim] = to_bf16(to_float(x[i]));", "grids.cu", OWN, "packed*"),
    Mutation("pieces of a row added without a barrier", "hyper_connections.cu",
             "        parts[warp_of_thread()][lane] = sum;\n    }\n    __syncthreads();",
             "        parts[warp_of_thread()][lane] = sum;\n    }", "hyper_connections.cu", STREAMS, "hc_reduce*"),
    Mutation("a row too many in the last block", "hyper_connections.cu",
             "row < begin + kMixRows && row < t.rows", "row < begin + kMixRows", "hyper_connections.cu", STREAMS, "hc_reduce*"),
    Mutation("Sinkhorn: columns are rows", "hyper_connections.cu",
             "__shfl_xor_sync(kAllLanes, c, 4)", "__shfl_xor_sync(kAllLanes, c, 1)", "hyper_connections.cu", STREAMS, "hc_reduce*"),
    Mutation("comb turned over", "hyper_connections.cu",
             "comb[j * kStreams + k]", "comb[k * kStreams + j]", "hyper_connections.cu", STREAMS, "hc_expand*"),
    Mutation("scores without a barrier", "router.cu",
             "    __syncthreads();\n    if (t.fixed == nullptr) {", "    if (t.fixed == nullptr) {", "router.cu", MIXTURE, "route*"),
    Mutation("ties go to the higher id", "router.cu",
             "(choice == own && other < e)", "(choice == own && other > e)", "router.cu", MIXTURE, "route*"),
    Mutation("experts summed in the order of choice", "rows.cu",
             "order[place] = j;", "order[j] = j;", "rows.cu", MIXTURE, "combine*"),
    Mutation("up not clamped from below", "device/formulas.cuh",
             "x < -limit ? -limit :", "x < -limit ? x :", "rows.cu", MIXTURE, "swiglu*"),
    Mutation("overlapped channels not shifted", "compressor.cu",
             "t.coff == 2 && row >= t.ratio", "t.coff == 3 && row >= t.ratio", "compressor.cu", MIXTURE, "compressor_pool*"),
    Mutation("warps added up without a barrier", "product.cu",
             "    __syncthreads();\n    if (threadIdx.x >= kOutputs", "    if (threadIdx.x >= kOutputs",
             "product.cu", LINEAR, "linear layers of all*"),
    Mutation("scales of FP4 by the wrong index", "product.cu",
             "index = (output * t.cols + col) / 32;", "index = (output * t.cols + col) / 64;",
             "product.cu", LINEAR, "linear layers of all*"),
    Mutation("vectors whatever the address", "product.cu",
             " && fits_vectors({task.codes}, {});", ";", "product.cu", LINEAR, "linear layers of all*"),
    Mutation("groups read the first group's columns", "product.cu",
             "t.x + row * t.x_stride + blockIdx.z * t.cols + col;", "t.x + row * t.x_stride + col;",
             "product.cu", LINEAR, "grouped*"),
    Mutation("a row alone is summed in another way", "device/tile_product.cuh",
             "std::fma(sum, scale[c / 2], to) : to + sum;",
             "kTiles == 1 ? to + sum * scale[c / 2] : std::fma(sum, scale[c / 2], to) : to + sum;",
             "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("the parts of a vector turned round", "device/loads.cuh",
             "out[i] = to_float(chunk.at[i]);", "out[i] = to_float(chunk.at[kCount - 1 - i]);",
             "rows.cu", OWN, "vectors*"),
    Mutation("NaN codes of FP8 taken for numbers", "device/codes.cuh",
             "if (nan != 0)", "if (nan == 1)", "product.cu", OWN, "NaN*"),
    Mutation("halves of the channels without a barrier", "attention.cu",
             "if (half != 0) __syncthreads();", "", "attention.cu", ATTENTION, "where keys lie*"),
    Mutation("weights of values not rounded", "attention.cu",
             "tile.weights[k][h] = to_float(to_bf16(p));", "tile.weights[k][h] = p;", "attention.cu", ATTENTION, "attention lies*"),
    Mutation("the largest score of half of the tiles", "attention.cu",
             "i < tiles && lane < t.lanes; i += 2", "i < tiles && lane < t.lanes; i += 4", "attention.cu", ATTENTION, "attention lies*"),
    Mutation("no sink", "attention.cu",
             "total += exponential(t.sink[head]", "total += 0 * exponential(t.sink[head]", "attention.cu", ATTENTION, "attention lies*"),
    Mutation("sums of other heads", "attention.cu",
             "__shfl_xor_sync(kAllLanes, given, 4)", "__shfl_xor_sync(kAllLanes, given, 8)", "attention.cu", ATTENTION, "attention lies*"),
    Mutation("entries behind the window", "attention.cu",
             "list.entries.data()[k - window]", "list.entries.data()[k]", "attention.cu", ATTENTION, "attention lies*"),
    Mutation("words of a row whatever the address", "attention.cu",
             "if (reinterpret_cast<uintptr_t>(at) % 4 == 0) return", "if (true) return", "attention.cu", ATTENTION, "where keys lie*"),
    Mutation("NaN among a key's codes", "attention.cu",
             "& 0x80808080u) != 0;", "& 0x80808000u) != 0;", "attention.cu", ATTENTION, "a head that meets*"),
    Mutation("the sum of half of a split's weights", "attention.cu",
             "tile.totals[0][h] + tile.totals[1][h]", "tile.totals[0][h]", "attention.cu", ATTENTION, "attention lies*"),
    Mutation("weights and values without a barrier", "attention.cu",
             "    tile.totals[part][h] = total;\n    __syncthreads();", "    tile.totals[part][h] = total;",
             "attention.cu", ATTENTION, "attention lies*"),
    Mutation("dot products not rounded", "indexer.cu",
             "const FloatPair dot = through_bf16(dots[i][0], dots[i][1]);", "const FloatPair dot{dots[i][0], dots[i][1]};",
             "indexer.cu", INDEXER, "index_topk picks what*"),
    Mutation("terms of a score not rounded", "indexer.cu",
             "through_bf16(relu(dot.low) * weights.x, relu(dot.high) * weights.y);",
             "FloatPair{relu(dot.low) * weights.x, relu(dot.high) * weights.y};", "indexer.cu", INDEXER, "index_topk picks what*"),
    Mutation("entries staged before all have been read", "indexer.cu",
             "* 4;\n    __syncwarp();\n#pragma", "* 4;\n#pragma", "indexer.cu", STAGES, "index_topk in several*"),
    Mutation("queries decoded without a barrier", "indexer.cu",
             "    __syncthreads();\n    for (int pair", "    for (int pair", "indexer.cu", INDEXER, "index_topk picks what*"),
    Mutation("selection from all entries", "indexer.cu",
             "t.visible == nullptr ? t.positions : t.visible[row]", "t.positions", "indexer.cu", INDEXER, "index_topk picks what*"),
    Mutation("one too many of the last score", "indexer.cu",
             "keys[i] == threshold.key && equal < at_threshold", "keys[i] == threshold.key && equal <= at_threshold",
             "indexer.cu", INDEXER, "index_topk takes*"),
    Mutation("candidates numbered by their places", "indexer.cu",
             "t.indices == nullptr ? static_cast<int32_t>(from)", "true ? static_cast<int32_t>(from)",
             "indexer.cu", STAGES, "index_topk in several*"),
    Mutation("candidates left over from other rows", "indexer.cu",
             "t.out_keys[out + i] = 0;", "t.out_keys[out + i] = t.out_keys[out];", "indexer.cu", STAGES, "index_topk in several*"),
    Mutation("warps meet through shuffles", "indexer.cu",
             "if (distance >= 2 * kWarp) {", "if (distance >= 4 * kWarp) {", "indexer.cu", INDEXER, "index_topk takes*"),
    Mutation("one round's counts for the next", "indexer.cu",
             "counts.of_warps[round % 2]", "counts.of_warps[0]", "indexer.cu", INDEXER, "index_topk picks what*"),
    Mutation("a stage multiplied before all lanes have it", "tile_product.cu",
             "        __syncwarp();\n        // The slot that all lanes have left before the barrier.\n        ask_for(",
             "        ask_for(", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("nobody waits for a stage", "tile_product.cu",
             "        wait_for_copies<kRing - 2>();\n        __syncwarp();\n"
             "        // The slot that all lanes have left before the barrier.\n        ask_ahead",
             "        __syncwarp();\n        ask_ahead", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("a stage copied to where another is read", "tile_product.cu",
             "ask_ahead(slot == 0 ? kRing - 1 : slot - 1);", "ask_ahead(slot);", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("rows multiplied before all are there", "tile_product.cu",
             "part.store(tiles[buffer]);\n            __syncthreads();", "part.store(tiles[buffer]);",
             "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("rows stored to where others are read", "tile_product.cu",
             "            buffer ^= 1;\n", "", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("warps of few rows added up without a barrier", "tile_product.cu",
             "    __syncthreads();\n    const auto* all", "    const auto* all", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("a lane's columns are its neighbour's", "device/tile_product.cuh",
             "threadIdx.x % 4 * kLane;", "(threadIdx.x + 1) % 4 * kLane;", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("scales of other columns", "device/tile_product.cuh",
             "+ col / kColumns;", "+ col / 2 / kColumns;", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("a stage goes on behind the last column", "device/tile_product.cuh",
             "if (at + piece(i) * 16 < row_bytes) {", "if (true) {", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("outputs behind the last are read", "device/tile_product.cuh",
             "first + row < last ? row : last - first;", "first + row < last + 9 ? row : last - first;", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("shares of the columns not summed apart", "tile_product.cu",
             "if (ends_split) merge", "if (ends_split && now.done()) merge", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("NaN among a unit's codes", "device/tile_codes.cuh",
             "(carried & 0x80808080u) != 0", "(carried & 0x80800080u) != 0", "tile_product.cu", PRODUCT, "NaN*"),
    Mutation("experts' sums where others still read codes", "experts.cu",
             "    __syncthreads();  // sums lie where the rings were\n", "", "experts.cu", EXPERTS, "a pair's*"),
    Mutation("experts' sums read before all are there", "experts.cu",
             "    __syncthreads();\n}\n\n// This lane's", "}\n\n// This lane's", "experts.cu", EXPERTS, "a pair's*"),
    Mutation("an expert's rows multiplied before all are there", "experts.cu",
             "store<Format::kPairs>(buffers[buffer]);\n            __syncthreads();", "store<Format::kPairs>(buffers[buffer]);",
             "experts.cu", EXPERTS, "a pair's*"),
    Mutation("an expert's rows stored to where others are read", "experts.cu",
             "            buffer ^= 1;\n", "", "experts.cu", EXPERTS, "a pair's*"),
    Mutation("an expert's gate not rounded", "experts.cu",
             "swiglu_of(to_float(to_bf16(gate[i])),", "swiglu_of(gate[i],", "experts.cu", EXPERTS, "an expert is*"),
    Mutation("experts that are not there are computed", "experts.cu",
             "expert.w1.codes == nullptr || expert.w2.format", "expert.w2.format", "experts.cu", EXPERTS, "experts of a*"),
    Mutation("a row's first weight for all of its experts", "experts.cu",
             "weights[pair / per_row * weights_stride + pair % per_row]", "weights[pair / per_row * weights_stride]",
             "experts.cu", EXPERTS, "experts of a*"),
    Mutation("jobs of other experts not counted", "expert_pairs.cu",
             "jobs_before += jobs_of(e);", "jobs_before += 1;", "expert_pairs.cu", EXPERTS, "a pair's*"),
    Mutation("pairs of a second round sorted over the first", "expert_pairs.cu",
             "placed += all;", "placed += all < count ? 0 : all;", "expert_pairs.cu", EXPERTS, "a pair's*"),
    Mutation("a third bit of kQ3s in another nibble", "device/low_bit.cuh",
             "(third & 0x0404u) << 4", "(third & 0x0404u) << 3", "experts.cu", EXPERTS, "experts of a*"),
    Mutation("kQ2v without its upper points", "device/low_bit.cuh",
             "codes >> 3 & 0x1111u", "codes >> 3 & 0x0111u", "experts.cu", EXPERTS, "experts of a*"),
    Mutation("steps of the neighbouring block", "device/tile_product.cuh",
             "? Format::mark(w, output, at) : 0", "? Format::mark(w, output, col) : 0", "tile_product.cu", PRODUCT, "sums on tensor*"),
    Mutation("bases of another row", "product.cu",
             "e8m0_value(t.scales[output])", "e8m0_value(t.scales[output / 2])", "product.cu", LINEAR, "bases of low-bit*"),
    Mutation("codes of numbers that the norm did not write", "norm_rope.cu",
             "rounded[i] = to_float(to_bf16(v[i]));", "rounded[i] = v[i];", "norm_rope.cu", OWN, "a norm that*"),
    Mutation("a ring that does not go round", "lists.cu",
             "from.ring + position % from.capacity\n", "from.ring + position\n", "lists.cu", LISTS, "keys: windows*"),
    Mutation("absent picks in the list", "lists.cu",
             "while (seen > 0 && own[seen - 1] < 0) --seen;",
             "while (seen > 0 && own[seen - 1] < -1) --seen;", "lists.cu", LISTS, "keys: the entries*"),
    Mutation("contributors before the first token", "lists.cu",
             "position < 0 ? nullptr", "position < -100 ? nullptr", "lists.cu", LISTS, "contributors*"),
    Mutation("records stored behind the end of a ring", "lists.cu",
             "t.divisor + record) % t.to.capacity", "t.divisor + record)", "lists.cu", LISTS, "records go*"),
    Mutation("entries that only the limit has", "lists.cu",
             "(last + 1) / from.ratio;", "from.limit / from.ratio;", "lists.cu", LISTS, "keys: windows*"),
    Mutation("a recording loses what failed before it", "graph.cu",
             "cudaPeekAtLastError() != cudaSuccess", "false", "graph.cu", GRAPH, "what cannot be recorded*"),
    Mutation("a slot filled while experts in it are computed", "gpu_experts.cu",
             "    computed_.hold(fills);\n", "", "gpu_experts.cu", SLOTS, "a slot that is filled again*"),
    Mutation("the place before what was computed last", "gpu_experts.cu",
             "    computed_.record(compute_);\n", "    if (slot > 1000) computed_.record(compute_);\n",
             "gpu_experts.cu", SLOTS, "a slot that is filled again*"),
    Mutation("experts computed before they are there", "gpu_experts.cu",
             "if (!of.landed) of.filled.hold(compute_);", "static_cast<void>(of);", "gpu_experts.cu", SLOTS, "a slot that is filled again*"),
    Mutation("a fill that has landed before it began", "gpu_experts.cu",
             "    to.landed = false;\n", "", "gpu_experts.cu", SLOTS, "when a slot has landed*"),
    Mutation("an entry not cleared", "gpu_experts.cu",
             "    write_entry(tables_", "    if (entry != kNowhere) write_entry(tables_", "gpu_experts.cu", SLOTS, "a slot that is filled again*"),
    Mutation("the formats of the first table for all", "gpu_experts.cu",
             "        sizes_.formats[static_cast<size_t>(table)]};", "        sizes_.formats[0]};",
             "gpu_experts.cu", SLOTS, "tables of other formats*"),
    Mutation("the next row of a strip", "expert_slots.cu",
             "first * kStripRows + row * part.unit;", "first * kStripRows + (row ^ 1) * part.unit;",
             "expert_slots.cu", SLOTS, "a slot has*"),
    Mutation("strips of a slot one after the first", "expert_slots.cu",
             "const int64_t begin = strip * kStripRows * part.row_bytes;", "const int64_t begin = strip / 2 * kStripRows * part.row_bytes;",
             "expert_slots.cu", SLOTS, "a slot has*"),
    Mutation("words of a room whatever the address", "expert_slots.cu",
             "reinterpret_cast<uintptr_t>(part.from) % 16 == 0;", "part.from != nullptr;", "expert_slots.cu", SLOTS, "a slot has*"),
    Mutation("rows at other places", "rows.cu",
             "Bf16* to = t.out + place * t.out_stride", "Bf16* to = t.out + row * t.out_stride", "rows.cu", MIXTURE, "place_rows*"),
    Mutation("not ready taken for a failure", "stream.cu",
             "        static_cast<void>(cudaGetLastError());\n", "", "stream.cu", SLOTS, "when a slot has landed*"),
    Mutation("an event recorded on no stream", "stream.cu",
             "cudaEventRecord(event_of(handle_), static_cast<cudaStream_t>(stream.handle))", "cudaEventRecord(event_of(handle_), nullptr)",
             "stream.cu", SLOTS, "a slot that is filled again*"),
    Mutation("scores adjusted without a barrier", "choice.cu",
             "    __syncthreads();\n    Scored own{-kInfinity, kNoToken};\n    if (token", "    Scored own{-kInfinity, kNoToken};\n    if (token",
             "choice.cu", CHOICE, "bias and penalties*"),
    Mutation("weights of a block added up without a barrier", "choice.cu",
             "    weights[thread] = weight;\n    __syncthreads();", "    weights[thread] = weight;", "choice.cu", CHOICE, "tokens chosen*"),
    Mutation("candidates sorted without a barrier", "choice.cu",
             "                c.tokens[high] = a.token;\n            }\n            __syncthreads();",
             "                c.tokens[high] = a.token;\n            }", "choice.cu", CHOICE, "tokens chosen*"),
    Mutation("equal tokens by the higher id", "choice.cu",
             "a.score > b.score : a.token < b.token;", "a.score > b.score : a.token > b.token;", "choice.cu", CHOICE, "tokens chosen*"),
    Mutation("the sum of half of a block", "choice.cu",
             "i < kChoiceBlock; i += kChoiceLanes) sum", "i < kChoiceBlock / 2; i += kChoiceLanes) sum", "choice.cu", CHOICE, "tokens chosen*"),
    Mutation("candidates without the last bin", "choice.cu",
             "bin_of(weight) > last_bin", "bin_of(weight) >= last_bin", "choice.cu", CHOICE, "tokens chosen*"),
    Mutation("banned tokens count for top-k", "choice.cu",
             "if (t.sorted && score > -kInfinity)", "if (t.sorted && score >= -kInfinity)", "choice.cu", CHOICE, "tokens chosen*"),
    Mutation("the lanes of a block added up in another order", "choice.cu",
             "for (const double lane : lanes) sum += lane;", "for (int i = kChoiceLanes; i > 0; --i) sum += lanes[i - 1];",
             "choice.cu", CHOICE, "a set that just*"),
    Mutation("a set that does not reach top-p", "choice.cu",
             "if (!cut && reached < t.top_p * mass) return -1;", "", "choice.cu", CHOICE, "what a GPU*"),
    Mutation("memory unpinned under a copy", "cuda_ops.cu",
             "        static_cast<void>(cudaDeviceSynchronize());\n", "", "cuda_ops.cu", SLOTS, "memory is unpinned*"),
]


# What a kernel can get wrong, and the mutations of each kind that every run takes.
KINDS = {
    "a barrier of the block missing": ["no barrier in the sum of a block", "pieces of a row added without a barrier",
                                       "scores without a barrier", "weights and values without a barrier"],
    "a barrier of the warp missing": ["entries staged before all have been read"],
    "the wrong lane": ["the sum of half a warp", "the wrong half of a butterfly", "sums of other heads"],
    "the end of a row or list": ["no tail check when storing", "one too many of the last score"],
    "an address that vectors do not fit": ["vectors whatever the address"],
    "the wrong index": ["jobs of other experts not counted", "scales of FP4 by the wrong index", "comb turned over", "overlapped channels not shifted"],
    "a rounding left out": ["a head's factor not rounded", "weights of values not rounded"],
    "the order of a sum": ["a row alone is summed in another way", "experts summed in the order of choice",
                           "the lanes of a block added up in another order"],
    "ties": ["ties go to the higher id", "equal tokens by the higher id"],
    "what is absent": ["experts that are not there are computed", "absent picks in the list"],
    "the order of streams": ["a slot filled while experts in it are computed", "experts computed before they are there",
                             "an event recorded on no stream", "memory unpinned under a copy"],
    "what lies where": ["the next row of a strip"],
    "NaN": ["a signalling NaN made quiet"],
    "what went wrong before": ["a recording loses what failed before it"],
}
EVERY_TIME = {what for mutations in KINDS.values() for what in mutations}


def make(build, mutation, folder):
    """The mutated program, or None when it does not compile."""
    source = (ROOT / KERNELS / mutation.path).read_text()
    if source.count(mutation.old) != 1:
        raise ValueError(f"{mutation.path}: “{mutation.old}” stands there {source.count(mutation.old)} times, not once")
    changed = folder / KERNELS / mutation.path
    changed.parent.mkdir(parents=True, exist_ok=True)
    changed.write_text(source.replace(mutation.old, mutation.new))
    unit = changed if mutation.path == mutation.unit else None
    if not build.compile(mutation.unit, folder / "unit.o", unit, folder):
        return None
    build.link(folder / "test_cuda", {mutation.unit: folder / "unit.o"})
    return folder / "test_cuda"


def check_choice():
    """What runs every time is in the list, and leaves out no .cu that the list changes."""
    unknown = EVERY_TIME - {m.what for m in MUTATIONS}
    left_out = {m.unit for m in MUTATIONS} - {m.unit for m in MUTATIONS if m.what in EVERY_TIME}
    untouched = {p.name for p in (ROOT / KERNELS).glob("*.cu") if "__global__" in p.read_text()} - {m.unit for m in MUTATIONS}
    if unknown or left_out or untouched:
        raise ValueError(f"no such mutation: {unknown}; no mutation every time: {left_out}; none at all: {untouched}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--all", action="store_true", help="the whole list")
    parser.add_argument("--only", help="of the whole list, those whose description holds this")
    arguments = parser.parse_args()
    check_choice()
    build = Build(arguments.build.resolve())
    missed = 0
    if arguments.only is not None:
        chosen = [m for m in MUTATIONS if arguments.only in m.what]
    else:
        chosen = [m for m in MUTATIONS if arguments.all or m.what in EVERY_TIME]
    for number, mutation in enumerate(chosen):
        folder = build.directory / "mutations" / str(number)
        program = make(build, mutation, folder)
        if program is None:
            print(f"does not compile: {mutation.what}")
            missed += 1
            continue
        done = subprocess.run([program, f"--source-file={mutation.tests}", f"--test-case={mutation.cases}",
                               "--abort-after=1"], check=False, text=True, errors="replace", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        program.unlink()
        caught = done.returncode != 0
        missed += not caught
        reason = next((line.strip() for line in done.stdout.splitlines() if "thread (" in line or "ERROR" in line), "")
        print(f"{'caught' if caught else 'MISSED'}: {mutation.what} [{reason[:110]}]", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} mutations caught, of {len(MUTATIONS)} in the list")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
