"""time_model.py [--write] [--position N] [--release FILE]: what a token of a decode step asks of each kernel, and the time
that this should take on an H200, as the table of docs/cuda.md. A prediction from shapes and stated rates, no measurement.

    µs of a launch = LAUNCH + max(bytes / BANDWIDTH, fused products / PRODUCTS, instructions of a warp / INSTRUCTIONS)

A layer is two graphs (core/engine/step_recordings.h), up to the router's choice and its experts: their kernels begin NODE
behind each other, and a graph takes GRAPH to begin. LAUNCH, NODE and GRAPH are assumed, from what is commonly reported of such
GPUs, and wait for a measurement; so do the times that the host spends on its calls.

Bytes: everything that must cross the memory's wires once, weights and rows and what kernels hand to each other. Instructions
are counted only where the kernels' sources state them; all else is taken to be bound by bytes or products.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import doc_table

ROOT = Path(__file__).resolve().parent.parent.parent

# An H200: 4.8 TB/s; 132 processors at 1.755 GHz of 128 fp32 lanes and four warps' instructions a cycle. All per µs.
BANDWIDTH = 4.8e6
PRODUCTS = 132 * 128 * 1755
INSTRUCTIONS = 132 * 4 * 1755
LAUNCH = 2.0  # µs from the end of a kernel to work of the next one, launched by itself,
NODE = 1.3  # or in a graph
GRAPH = 2.5  # µs before the first of a graph
HOST_LAUNCH, HOST_GRAPH = 2.0, 4.0  # µs of the host; a copy is a launch
HOST_EVENT, HOST_WAIT = 0.5, 1.0  # an event recorded, awaited by a stream or asked for; the end of a wait
CODE_INSTRUCTIONS = 4.8  # of a lane for a weight of FP8 or FP4 on sm_90 (tile_product.cu)
CHAIN_CYCLES = 8  # from an addition of doubles to one that needs its sum, assumed
SCORE_INSTRUCTIONS = 36  # of a warp for an entry and 64 heads (indexer.cu)

BYTES = {"FP8": 1 + 1 / (128 * 128), "FP4": 1 / 2 + 1 / 32, "BF16": 2.0}


@dataclasses.dataclass
class Line:
    kernel: str
    what: str
    launches: float = 0  # of a token
    nodes: float = 0  # of them, in graphs
    bytes: float = 0
    products: float = 0
    time: float = 0


class Model:
    """Lines by kernel and purpose, in the order of a step."""

    def __init__(self):
        self.lines = {}
        self.recorded = False  # what is added from now on lies in a graph

    def add(self, kernel, what, *, count=1.0, moved=0.0, products=0.0, instructions=0.0):
        line = self.lines.setdefault((kernel, what), Line(kernel, what))
        line.launches += count
        line.bytes += count * moved
        line.products += count * products
        line.nodes += count if self.recorded else 0
        begin = NODE if self.recorded else LAUNCH
        line.time += count * (begin + max(moved / BANDWIDTH, products / PRODUCTS, instructions / INSTRUCTIONS))

    def product(self, what, form, outputs, cols, *, count=1.0, groups=1, out_bytes=2):
        """One row: outputs of all groups, columns of one."""
        weights = outputs * cols
        rows = groups * cols * 2 + outputs * out_bytes
        instructions = weights * CODE_INSTRUCTIONS / 32 if form != "BF16" else 0
        self.add(f"product, {form}", what, count=count, moved=weights * BYTES[form] + rows, products=weights,
                 instructions=instructions)


def graph(m, what):
    line = m.lines.setdefault(("graph", what), Line("graph", what))
    line.launches += 1
    line.time += GRAPH
    m.recorded = True


def enter(m, d):
    """Into half a block."""
    m.add("mix<24>", "hc_reduce", moved=24 * 4 * d * 4 + 8 * d, products=25 * 4 * d)
    m.add("reduce", "hc_reduce", moved=8 * d + 2 * d, products=4 * d)
    m.add("rms_norm", "into a block", moved=6 * d)


def leave(m, d):
    m.add("expand", "hc_expand", moved=8 * d + 2 * d + 8 * d, products=20 * d)


def store(m, what, size, count=1.0):
    m.add("store", what, count=count, moved=2 * size)


def compressor(m, what, width, overlap, ratio, d, pack):
    for part in ("wkv", "wgate"):
        m.product(f"{what}: {part}", "BF16", overlap * width, d, out_bytes=4)
    store(m, f"{what}: its rows", 8 * overlap * width)
    share = 1 / ratio  # one entry in so many tokens
    m.add("contributors", what, count=share, moved=8 * overlap * ratio)
    m.add("pool", what, count=share, moved=8 * width * overlap * ratio + 2 * width)
    m.add("rms_norm", what, count=share, moved=6 * width)
    m.add("rope", what, count=share, moved=256)
    m.add(pack, what, count=share, moved=3 * width)
    store(m, what, width, count=share)


def indexer(m, c, entries):
    d, heads, width = c["hidden_size"], c["index_n_heads"], c["index_head_dim"]
    compressor(m, "indexer's compressor", width, 2, 4, d, "pack_index")
    m.product("indexer: wq_b", "FP8", heads * width, c["q_lora_rank"])
    m.add("rope", "indexer's queries", moved=heads * 256)
    m.add("pack_index", "indexer's queries", moved=heads * (256 + 68))
    m.product("indexer: weights_proj", "BF16", heads, d)
    m.add("scale", "index_weights", moved=4 * heads)
    m.add("index_score", "index_topk", moved=68 * entries + 2 * entries, instructions=SCORE_INSTRUCTIONS * entries)
    positions = entries
    while positions > 8192:  # kSelectEntries: what one block takes
        m.add("index_select<false>", "index_topk", moved=2 * positions)
        positions = -(-positions // 8192) * c["index_topk"]
    m.add("index_select<true>", "index_topk", moved=2 * positions + 4 * c["index_topk"])


def attention(m, c, ratio, position):
    d, heads, dim, rank = c["hidden_size"], c["num_attention_heads"], c["head_dim"], c["q_lora_rank"]
    q = heads * dim
    m.add("quantise", "attention's input", moved=3 * d)
    m.product("wq_a", "FP8", rank, d)
    m.add("rms_norm", "latent queries, quantised", moved=7 * rank)
    m.product("wq_b", "FP8", q, rank)
    m.add("head_norm", "queries", moved=4 * q)
    m.add("rope", "queries", moved=heads * 256)
    m.product("wkv", "FP8", dim, d)
    m.add("rms_norm", "keys", moved=6 * dim)
    m.add("rope", "keys", moved=256)
    m.add("pack_kv", "keys", moved=2 * dim + 584)
    keys = min(c["sliding_window"], position)
    if ratio > 0:
        compressor(m, f"compressor, ratio {ratio}", dim, 2 if ratio == 4 else 1, ratio, d, "pack_kv")
    if ratio == 4:
        indexer(m, c, position // 4)
        keys += min(c["index_topk"], position // 4)
    elif ratio > 0:
        keys += position // ratio
    m.add("keys", "keys", moved=16 * keys)
    what = f"attend, ratio {ratio}: {keys} keys"
    splits = -(-keys // 64)
    sums = splits * heads * dim * 4
    m.add("attend_scores", what, moved=2 * q + 584 * keys + 4 * heads * keys, products=q * keys)
    m.add("attend_values", what, moved=584 * keys + 4 * heads * keys + sums, products=q * keys)
    m.add("attend_merge", what, moved=sums + 2 * q)
    m.add("rope", "back", moved=heads * 256)
    low = c["o_groups"] * c["o_lora_rank"]
    m.product("wo_a", "FP8", low, q // c["o_groups"], groups=c["o_groups"])
    m.add("quantise", "grouped outputs", moved=3 * low)
    m.product("wo_b", "FP8", d, low)
    store(m, "keys", 584)


def mixture(m, c):
    d, inner, experts = c["hidden_size"], c["moe_intermediate_size"], c["num_experts_per_tok"]
    m.product("router", "BF16", c["n_routed_experts"], d, out_bytes=4)
    m.add("route", "router", moved=8 * c["n_routed_experts"])
    m.add("quantise", "experts' input", moved=3 * d)
    m.add("copy", "router's choice to the host", moved=4 * c["n_routed_experts"] + 8 * experts)
    graph(m, "a layer's experts")
    for what, form, pairs in (("shared expert", "FP8", 1), (f"{experts} experts", "FP4", experts)):
        if form == "FP8":
            m.add("calls", what, moved=2 * 144)
        for kernel, weights, out in (("gate_up", 2 * inner * d * pairs, inner), ("down", inner * d * pairs, 2 * d)):
            m.add(f"{kernel}, {form}", what, moved=weights * BYTES[form] + pairs * out, products=weights,
                  instructions=weights * CODE_INSTRUCTIONS / 32)


def end(m, c):
    """Of a layer: in the next one's graph."""
    m.add("combine", "mixture", moved=2 * c["hidden_size"] * (c["num_experts_per_tok"] + 2))
    leave(m, c["hidden_size"])


def host_layer(misses):
    """µs of the host's calls in a layer: graphs, the place to wait for, the wait; with experts that the CPU computes their rows'
    way back (two copies, a kernel), and of one of them a promotion: copy, kernel, three calls of events; asked for once, two
    entries of tables (its own, that of who left)."""
    resident = 2 * HOST_GRAPH + HOST_EVENT + HOST_WAIT
    return resident + (3 * HOST_LAUNCH + (4 * HOST_LAUNCH + 4 * HOST_EVENT) if misses else 0)


def choice(m, vocabulary):
    """Of a token, with top-p; its kernels' reads stay in L2, but are counted."""
    blocks = -(-vocabulary // 256)
    m.add("score", "choice", moved=12 * vocabulary)
    m.add("weigh", "choice", moved=16 * vocabulary)
    m.add("gather", "choice", moved=8 * vocabulary)
    # One thread of the GPU adds up what the blocks have.
    m.add("draw", "choice", moved=20 * blocks, instructions=blocks * CHAIN_CYCLES * INSTRUCTIONS / 1755)


def step(c, position):
    m, d = Model(), c["hidden_size"]
    m.add("count", "positions, visible entries", count=2, moved=4)
    m.add("embed", "token", moved=2 * d + 8 * d)
    for layer in range(c["num_hidden_layers"]):
        graph(m, "a layer up to the router's choice")
        if layer > 0:
            end(m, c)
        enter(m, d)
        attention(m, c, c["compress_ratios"][layer], position)
        leave(m, d)
        enter(m, d)
        mixture(m, c)
    m.recorded = False
    end(m, c)
    m.add("mix<4>", "hc_head", moved=4 * 4 * d * 4 + 8 * d, products=5 * 4 * d)
    m.add("head", "hc_head", moved=10 * d)
    m.add("rms_norm", "head", moved=6 * d)
    m.product("head", "BF16", c["vocab_size"], d, out_bytes=4)
    choice(m, c["vocab_size"])
    return m


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="puts the table into docs/cuda.md")
    parser.add_argument("--position", type=int, default=32768, help="tokens before this one")
    parser.add_argument("--release", type=Path, default=ROOT / "assets/releases/flash.json")
    arguments = parser.parse_args()
    lines = list(step(json.loads(arguments.release.read_text()), arguments.position).lines.values())
    out = ["| kernel | for | launches | of them in graphs | MB | fused products, M | µs a launch | µs a token |",
           "|---|---|---|---|---|---|---|---|"]
    for line in lines:
        out.append(f"| {line.kernel} | {line.what} | {line.launches:.4g} | {line.nodes:.4g} | {line.bytes / 1e6:.4g} | "
                   f"{line.products / 1e6:.4g} | {line.time / line.launches:.2f} | {line.time:.1f} |")
    launches, nodes, moved, time = (sum(getattr(line, field) for line in lines)
                                    for field in ("launches", "nodes", "bytes", "time"))
    graphs = sum(line.launches for line in lines if line.kernel == "graph")
    alone = launches - nodes - graphs
    out.append(f"| all | | {launches:.0f} | {nodes:.0f} | {moved / 1e6:.0f} | {sum(line.products for line in lines) / 1e6:.0f} | | "
               f"{time:.0f} |")
    text = "\n".join(out)
    print(text)
    begins = alone * LAUNCH + nodes * NODE + graphs * GRAPH
    host = alone * HOST_LAUNCH + graphs / 2 * host_layer(False)
    print(f"{alone:.0f} launched alone, {nodes:.0f} in {graphs:.0f} graphs: {begins:.0f} µs until they begin, {host:.0f} µs of "
          f"the host, {host_layer(False):.1f} a layer, {host_layer(True):.1f} with misses; memory's own time "
          f"{moved / BANDWIDTH:.0f} µs")
    if arguments.write:
        doc_table.write("time", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
