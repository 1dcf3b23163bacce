"""resources.py [--write] [--nvcc PATH] [ARCH …]: what each CUDA kernel takes, by ptxas, as the table of docs/cuda.md.

Compiles every kernels/cuda/*.cu for each architecture (sm_89 sm_90 sm_120) and reads registers, shared memory, stack and
spills. Ends with status 1 when a kernel spills or has a stack: loads and stores of a decode kernel belong to its data.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import doc_table

ROOT = Path(__file__).resolve().parent.parent.parent
OPTIONS = ["-std=c++20", "-O2", "--fmad=false", "--expt-relaxed-constexpr", "-Xptxas=-v", "-Xcompiler=-ffp-contract=off"]
ENTRY = re.compile(r"Compiling entry function '(\w+)'.*\n.*\n\s*(\d+) bytes stack frame, (\d+) bytes spill stores, "
                   r"(\d+) bytes spill loads\n.*?Used (\d+) registers(.*)")


def short(name):
    """millrace::cuda::(anonymous namespace)::product_kernel<…>(…) with words for its parameters."""
    name = name.replace("(anonymous namespace)::", "").split("millrace::cuda::", 1)[-1]
    for value, word in ((0, "bf16"), (1, "f32"), (2, "fp8"), (3, "fp4"), (4, "q3s"), (5, "q2s"), (6, "q2v")):
        name = name.replace(f"(millrace::WeightFormat){value}", word)
    for value, word in ((0, "fp8 rows"), (1, "bf16 rows")):
        name = name.replace(f"(millrace::cuda::InputFormat){value}", word)
    return re.sub(r"\(.*", "", re.sub(r"\((?:int|bool)\)", "", name))


def resources(nvcc, architecture):
    """{kernel: (registers, shared bytes, stack bytes, spilled bytes)}"""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted((ROOT / "kernels/cuda").glob("*.cu")):
            done = subprocess.run([nvcc, *OPTIONS, f"-arch={architecture}", f"-I{ROOT}", "-c", source, "-o", f"{folder}/o"],
                                  check=True, text=True, stderr=subprocess.PIPE)
            for entry in ENTRY.finditer(done.stderr):
                shared = re.search(r"(\d+) bytes smem", entry[6])
                found[entry[1]] = (int(entry[5]), int(shared[1]) if shared else 0, int(entry[2]), int(entry[3]) + int(entry[4]))
    names = subprocess.run(["c++filt"], input="\n".join(found), check=True, text=True, stdout=subprocess.PIPE).stdout
    named = {short(name): values for name, values in zip(names.splitlines(), found.values())}
    if len(named) != len(found):
        raise ValueError("two kernels of one name: short() drops too much")
    return named


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="puts the table into docs/cuda.md")
    parser.add_argument("--nvcc", default="/usr/local/cuda/bin/nvcc")
    parser.add_argument("architectures", nargs="*", default=["sm_89", "sm_90", "sm_120"])
    arguments = parser.parse_args()
    tables = {a: resources(arguments.nvcc, a) for a in arguments.architectures}
    lines = ["| kernel | " + " | ".join(tables) + " |", "|---" * (len(tables) + 1) + "|"]
    wrong = 0
    for kernel in sorted(next(iter(tables.values()))):
        cells = []
        for table in tables.values():
            registers, shared, stack, spilled = table[kernel]
            wrong += stack > 0 or spilled > 0
            cells.append(f"{registers}, {shared}" + (f", stack {stack}, spills {spilled}" if stack or spilled else ""))
        lines.append(f"| {kernel} | " + " | ".join(cells) + " |")
    text = "\n".join(lines)
    print(text)
    print(f"{len(lines) - 2} kernels, {wrong} with a stack or spills")
    if arguments.write:
        doc_table.write("resources", text)
    return 1 if wrong or len(lines) == 2 else 0


if __name__ == "__main__":
    sys.exit(main())
