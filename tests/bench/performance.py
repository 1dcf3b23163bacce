#!/usr/bin/env python3
"""Measures with `millrace bench` and writes the figures into the tables of docs/performance.md.

    performance.py --millrace BINARY [--model DIR …] [--rival ROWS] [--sections NAMES]
                   [--repeat N] [--threads N] [--flags FLAGS] [--document FILE]
    performance.py --millrace BINARY --check

A table stands between two comments that name its section; what is between them is replaced, everything else stays. A section
that was not measured keeps its table. Each table says when, at which commit, on what and by which command it was made.
For figures that mean something the machine must be quiet: the median of --repeat runs leaves out a disturbance, not a neighbour.

--model may be given several times: tests/bench/bench_flash.json and bench_flash_deep.json become checkpoints with the tool
`synth` of the test build (tests/bench/synth_main.cpp). --rival takes the rows of another program, measured by whatever tool: a
file with one JSON object a line, {"row": "pair.exact.decode", "value": 1.9, "unit": "x"}.

--check measures nothing: it runs everything tiny and fails if the document's tables lack a row that exists, or have one that
does not.
"""

import argparse
import datetime
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ("machine", "ops", "model", "archive", "stream", "plan", "rival")


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description="Keeps docs/performance.md true.")
    parser.add_argument("--millrace", required=True, metavar="BINARY")
    parser.add_argument("--model", action="append", default=[], metavar="DIR", help="default: the demo model")
    parser.add_argument("--rival", metavar="ROWS", help="JSON rows of another program")
    parser.add_argument("--sections", default=",".join(SECTIONS), metavar="NAMES")
    parser.add_argument("--repeat", type=int, default=5, metavar="N")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="default: one for every core")
    parser.add_argument("--flags", default="", metavar="FLAGS", help="further flags of every millrace bench")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/performance.md", metavar="FILE")
    parser.add_argument("--check", action="store_true")
    o = parser.parse_args(arguments)
    o.sections = o.sections.split(",")
    wrong = [name for name in o.sections if name not in SECTIONS]
    if wrong:
        parser.error(f"there is no section {wrong[0]}; there are {', '.join(SECTIONS)}")
    return o


def rows_of(text):
    """Rows from lines of JSON; blank lines are nothing."""
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def bench(o, what, *flags):
    """The command as people would type it, and its rows."""
    command = [o.millrace, "bench", what, "--json", "--repeat", str(o.repeat), *flags, *o.flags.split()]
    if o.threads:
        command += ["--threads", str(o.threads)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    shown = ["millrace" if i == 0 else Path(word).name if word.startswith("/") else word for i, word in enumerate(command)]
    return " ".join(shown), rows_of(done.stdout)


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def table_of(rows):
    lines = ["| row | value | unit | limit | share |", "|---|---:|---|---:|---:|"]
    for row in rows:
        share = row.get("share")
        lines.append(f"| {row['row']} | {number(row['value'])} | {row['unit']} | {number(row.get('limit'))} | "
                     f"{'' if share is None else f'{share * 100:.1f} %'} |")
    return "\n".join(lines)


def processor():
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"model name\s*:\s*(.+)", text)
    return f"{text.count('processor')} × {name[1] if name else platform.machine()}"


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", str(ROOT), *words], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    name = git("rev-parse", "--short", "HEAD") or "of no repository"
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return name + (" with changes" if changed else "")


def origin(command):
    return f"Measured {datetime.date.today()} at commit {commit()} on {processor()}: `{command}`"


def planned(o, model, memory, rows):
    """What `millrace plan` says of the decoding that bench stream has just done, beside what it took."""
    for kind in ("cold", "warm"):
        name = f"stream.{kind}"
        hits, drive = rows[f"{name}.hits"]["value"] / 100, rows[name]["limit"]
        took = rows[f"{name}.wait"]["limit"]
        command = [o.millrace, "plan", model, "--json", "--ram", "1T", "--context", "64", "--macs", "1G", "--vram", "0",
                   "--hits", f"{hits:.4f}", "--drive", f"{drive:.3f}GB/s", "--memory", f"{memory:.3f}GB/s"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
        said = 1e3 * json.loads(done.stdout)["decode_seconds"]
        yield {"row": f"plan.{kind}", "value": said, "unit": "ms/tok", "limit": took, "share": said / took}


def memory_rate(o):
    """GB/s: on a machine that is shared it changes from one minute to the next."""
    return next(row["value"] for row in bench(o, "machine", "--only", "dram.read")[1] if row["row"] == "dram.read")


def stream_sections(o):
    """The tables of streaming, and of the plan against it: one run makes both."""
    streams, plans = [], []
    for model in o.model or [str(ROOT / "assets/demo")]:
        io_command, io_rows = bench(o, "io", "--model", model)
        before = memory_rate(o)
        command, rows = bench(o, "stream", "--model", model)
        memory = (before + memory_rate(o)) / 2
        head = f"### {Path(model).name}\n\n"
        streams.append(f"{head}{origin(io_command + '`, `' + command)}\n\n{table_of(io_rows + rows)}")
        table = table_of(planned(o, model, memory, {row["row"]: row for row in rows}))
        plans.append(f"{head}{origin('millrace plan')}\n\n{table}")
    return {"stream": "\n\n".join(streams), "plan": "\n\n".join(plans)}


def measure(o, section):
    """The text between a section's comments; None when there is nothing to measure."""
    if section == "rival":
        if not o.rival:
            return None
        return f"{origin('--rival ' + Path(o.rival).name)}\n\n{table_of(rows_of(Path(o.rival).read_text()))}"
    if section != "model":
        known = ("--prefill", "8192") if section == "archive" else ()
        command, rows = bench(o, section, *known)
        return f"{origin(command)}\n\n{table_of(rows)}"
    parts = []
    for model in o.model or [str(ROOT / "assets/demo")]:
        command, rows = bench(o, "model", "--model", model)
        parts.append(f"### {Path(model).name}\n\n{origin(command)}\n\n{table_of(rows)}")
    return "\n\n".join(parts)


def section_pattern(section):
    return re.compile(rf"(<!-- {section}: .*?-->\n).*?(\n<!-- end of {section} -->)", re.S)


def replace(text, section, table):
    if not section_pattern(section).search(text):
        raise ValueError(f"the document has no section {section}: <!-- {section}: … --> … <!-- end of {section} -->")
    return section_pattern(section).sub(lambda m: f"{m[1]}\n{table}\n{m[2]}", text)


def comparable(names):
    """Names that do not depend on the machine: not those of single thread counts, narrower ISAs, drives, GPUs."""
    return {name for name in names
            if not re.fullmatch(r"dram\.read\.\d+|peak\..*\.avx2|drive\..*|(vram|pcie)\..*|row|-+", name.strip()) and name.strip()}


def check(o):
    """Sentences on what the document's tables of machine, ops and archive say that is not so."""
    o.repeat = 1
    text = o.document.read_text()
    for section in ("machine", "ops", "archive"):
        found = section_pattern(section).search(text)
        if not found:
            yield f"{o.document.name} has no section {section}"
            continue
        there = comparable(re.findall(r"^\| ([\w.\-]+) \|", found[0], re.M))
        made = comparable(row["row"] for row in bench(o, section, "--tiny")[1])
        for name in sorted(made - there):
            yield f"{o.document.name}, {section}: {name} is missing; run performance.py"
        for name in sorted(there - made):
            yield f"{o.document.name}, {section}: {name} is no longer measured; run performance.py"


def main(arguments):
    o = parse_arguments(arguments)
    try:
        if o.check:
            complaints = list(check(o))
            print("\n".join(complaints) or f"{o.document.name} has the rows that there are")
            return 1 if complaints else 0
        text = o.document.read_text()
        both = stream_sections(o) if {"stream", "plan"} & set(o.sections) else {}
        for section in o.sections:
            table = both[section] if section in both else measure(o, section)
            if table is not None:
                text = replace(text, section, table)
                o.document.write_text(text)
                print(f"{section}: written", file=sys.stderr)
    except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as problem:
        print(f"performance.py: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
