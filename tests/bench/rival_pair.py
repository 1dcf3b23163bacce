#!/usr/bin/env python3
"""Millrace and ik_llama.cpp on the same weights, in alternating pairs.

    rival_pair.py --millrace BINARY --model DIR --llama-bench BINARY --exact BF16.gguf [--fastest Q8-R.gguf]
                  [--threads 2] [--pairs 5] [--prompt 512] [--generate 64] [--nice N] [--out ROWS.json]

DIR is the checkpoint from which the GGUF files were converted. The exact file holds the same values as the checkpoint (BF16 for
its FP8); the fastest one is what people run (Q8_0, rows interleaved), and has fewer bytes a token than ours.

A round runs each program once; every second round runs them the other way round, so that neither has the cooler machine or
the warmer page cache. A ratio is the median of the ratios of the rounds: what slowed a round down slowed both. Both sides
decode behind the prompt, at the same context. Standard output is a table; --out gets one JSON row a line, {"row", "value",
"unit"}, as `millrace bench --json` writes them. The exit status is 1 if a program failed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

OURS = ("decode", "prefill.fp8", "prefill.int8")


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description="Millrace and ik_llama.cpp on the same weights, in alternating pairs.")
    parser.add_argument("--millrace", required=True, metavar="BINARY")
    parser.add_argument("--model", required=True, metavar="DIR", help="the checkpoint, as released")
    parser.add_argument("--llama-bench", required=True, metavar="BINARY")
    parser.add_argument("--exact", required=True, metavar="GGUF", help="the rival's file with the same values")
    parser.add_argument("--fastest", metavar="GGUF", help="the rival's file with the fewest bytes")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="rounds (5)")
    parser.add_argument("--prompt", type=int, default=512, metavar="TOKENS", help="tokens of the prompt (512)")
    parser.add_argument("--generate", type=int, default=64, metavar="TOKENS", help="tokens the rival decodes (64)")
    parser.add_argument("--nice", type=int, default=0, metavar="N", help="priority of both (0)")
    parser.add_argument("--ours", default="", metavar="FLAGS", help="further flags of millrace bench model")
    parser.add_argument("--rival", default="", metavar="FLAGS", help="further flags of llama-bench")
    parser.add_argument("--out", metavar="FILE", help="JSON rows; none by default")
    return parser.parse_args(arguments)


def output_of(command, nice):
    """Standard output of a command; None, and its last words on standard error, if it failed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", preexec_fn=lambda: os.nice(nice))
    if done.returncode == 0:
        return done.stdout
    print(f"{' '.join(command)}: status {done.returncode}\n{(done.stderr or done.stdout)[-2000:]}", file=sys.stderr)
    return None


def our_command(o):
    return [o.millrace, "bench", "model", "--model", o.model, "--json", "--threads", str(o.threads),
            "--contexts", str(o.prompt), "--prefill", str(o.prompt), *o.ours.split()]


def our_rates(text):
    """JSON rows of `millrace bench model` → {row: tokens a second}."""
    rates = {}
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        row = json.loads(line)
        if row.get("row") in OURS:
            if row["unit"] != "tok/s":
                raise ValueError(f"row {row['row']} is in {row['unit']}, wanted tok/s")
            rates[row["row"]] = row["value"]
    missing = [name for name in OURS if name not in rates]
    if missing:
        raise ValueError(f"millrace bench model printed no row {', '.join(missing)}")
    return rates


def rival_command(o, file):
    return [o.llama_bench, "-m", file, "-t", str(o.threads), "-p", str(o.prompt), "-n", "0",
            "-gp", f"{o.prompt},{o.generate}", "-r", "1", "-o", "json", *o.rival.split()]


def rival_rates(text, prompt, generate):
    """llama-bench's JSON, which other lines may surround → {"prefill", "decode"} in tokens a second."""
    lines = text.splitlines()
    if "[" not in lines or "]" not in lines:
        raise ValueError("llama-bench printed no JSON list")
    tests = json.loads("\n".join(lines[lines.index("["):lines.index("]") + 1]))
    by_name = {test["test"]: test["avg_ts"] for test in tests}
    wanted = {"prefill": f"pp{prompt}", "decode": f"tg{generate}@pp{prompt}"}
    missing = [name for name in wanted.values() if name not in by_name]
    if missing:
        raise ValueError(f"llama-bench printed no test {', '.join(missing)}")
    return {ours: by_name[theirs] for ours, theirs in wanted.items()}


def run_rounds(o, files):
    """One dictionary of rates a round, {"decode": …, "rival.exact.decode": …}; None if a program failed."""
    rounds = []
    for number in range(o.pairs):
        rates = {}
        steps = ["", *files]
        for step in steps if number % 2 == 0 else reversed(steps):
            text = output_of(rival_command(o, files[step]) if step else our_command(o), o.nice)
            if text is None:
                return None
            found = rival_rates(text, o.prompt, o.generate) if step else our_rates(text)
            rates.update({(f"rival.{step}.{name}" if step else name): rate for name, rate in found.items()})
        rounds.append(rates)
        print(f"round {number + 1} of {o.pairs}: " + ", ".join(f"{k} {v:.4g}" for k, v in rates.items()), file=sys.stderr)
    return rounds


def rows_of(rounds, files):
    """Medians of every rate, then of every ratio of ours to theirs."""
    rows = [{"row": name if name.startswith("rival.") else f"ours.{name}",
             "value": statistics.median(r[name] for r in rounds), "unit": "tok/s"} for name in sorted(rounds[0])]
    for step in files:
        for ours in OURS:
            theirs = f"rival.{step}.{ours.split('.')[0]}"
            rows.append({"row": f"pair.{step}.{ours}", "value": statistics.median(r[ours] / r[theirs] for r in rounds),
                         "unit": "x"})
    return rows


def print_table(rows, files):
    value = {row["row"]: row["value"] for row in rows}
    print(f"{'':14}{'millrace':>12}" + "".join(f"{step:>12}{'ratio':>8}" for step in files))
    for ours in OURS:
        cells = "".join(f"{value['rival.' + step + '.' + ours.split('.')[0]]:>12.4g}{value['pair.' + step + '.' + ours]:>7.2f}x"
                        for step in files)
        print(f"{ours:14}{value['ours.' + ours]:>12.4g}{cells}")
    print("tokens a second, medians; a ratio is the median of the rounds' ratios")


def main(arguments):
    o = parse_arguments(arguments)
    if o.pairs < 1:
        print(f"--pairs {o.pairs}: at least one round is needed", file=sys.stderr)
        return 1
    files = {"exact": o.exact, **({"fastest": o.fastest} if o.fastest else {})}
    try:
        rounds = run_rounds(o, files)
    except (OSError, ValueError, KeyError) as problem:
        print(f"rival_pair.py: {problem}", file=sys.stderr)
        return 1
    if rounds is None:
        return 1
    rows = rows_of(rounds, files)
    print_table(rows, files)
    if o.out:
        with open(o.out, "w", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
