"""coverage.py --build DIR [--write]: which lines of the CUDA kernels the tests run in the simulator, as the table of
docs/cuda.md.

The .cu files are compiled as the build (of GCC) compiles them and with --coverage, and linked with everything else of
test_cuda; all of its tests run. A line of a template counts as run when any of its instantiations runs it, one of a header
when any .cu does; a template that nothing instantiates has no lines. Ends with status 1 when a line did not run.
"""

import argparse
import collections
import json
import subprocess
import sys
from pathlib import Path

from simulated_build import KERNELS, ROOT, Build

sys.path.insert(0, str(ROOT / KERNELS))
import doc_table  # noqa: E402

NEVER = "ENSURE(false)"  # a line that no program reaches
# Counters that are counted up by calls of their own (callbacks.cpp), not by loads and stores like a kernel's.
COUNTERS = ["--coverage", "-fprofile-update=atomic"]


def run(build, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.gcda"):
        left.unlink()
    objects = {}
    for unit in build.commands:
        objects[unit] = folder / f"{Path(unit).stem}.o"
        if not build.compile(unit, objects[unit], options=COUNTERS):
            raise ValueError(f"{unit} does not compile")
    build.link(folder / "test_cuda", objects, "--coverage")
    subprocess.run([folder / "test_cuda", "--test-case-exclude=arranging*,int8*"], check=True, stdout=subprocess.DEVNULL)


def lines_of(folder):
    """{source below kernels/cuda: {line: how often it ran}}"""
    found = collections.defaultdict(collections.Counter)
    for data in sorted(folder.glob("*.gcda")):
        text = subprocess.run(["gcov", "--json-format", "--stdout", data.name], cwd=folder, check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        for file in json.loads(text)["files"]:
            path = (ROOT / file["file"]).resolve()
            if not path.is_relative_to(ROOT / KERNELS) or path.suffix not in (".cu", ".cuh"):
                continue
            source = path.read_text().splitlines()
            for line in file["lines"]:
                if NEVER in source[line["line_number"] - 1]:
                    continue
                found[str(path.relative_to(ROOT / KERNELS))][line["line_number"]] += line["count"]
    return found


def ranges(lines):
    """[3, 4, 5, 9] → “3–5, 9”"""
    out = []
    for line in lines:
        if out and out[-1][1] == line - 1:
            out[-1][1] = line
        else:
            out.append([line, line])
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="puts the table into docs/cuda.md")
    arguments = parser.parse_args()
    build = Build(arguments.build.resolve())
    folder = build.directory / "coverage"
    run(build, folder)
    found = lines_of(folder)
    table = ["| source | lines with code | that ran | not run |", "|---|---|---|---|"]
    total = ran = 0
    for source, lines in sorted(found.items()):
        missed = sorted(line for line, count in lines.items() if count == 0)
        total += len(lines)
        ran += len(lines) - len(missed)
        table.append(f"| {source} | {len(lines)} | {len(lines) - len(missed)} | {ranges(missed)} |")
    table.append(f"| all | {total} | {ran} | |")
    text = "\n".join(table)
    print(text)
    if arguments.write:
        doc_table.write("coverage", text)
    return 0 if total > 0 and ran == total else 1


if __name__ == "__main__":
    sys.exit(main())
