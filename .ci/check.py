"""The stages of ./check: each builds one preset or reads the tree, and says how many tests passed."""

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import lint
from results import Counts, read_junit

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"


@dataclasses.dataclass
class Outcome:
    counts: Counts
    notes: list  # (name, reason) of what failed
    skips: list  # (name, reason) of what was skipped
    text: str = ""


def say(text=""):
    print(text, flush=True)


def failed(name, reason):
    return Outcome(Counts(failed=1), [(name, reason)], [])


def passed(text=""):
    return Outcome(Counts(passed=1), [], [], text)


def run(command, log, **options):
    """Runs a command with its output in a log; returns (ok, output)."""
    done = subprocess.run([str(c) for c in command], cwd=ROOT, stdin=subprocess.DEVNULL, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(done.stdout)
    return done.returncode == 0, done.stdout


def build(preset, targets, jobs):
    """Configures and builds; None, or the Outcome of a failure."""
    directory, log = BUILD / preset, BUILD / f"check-{preset}.log"
    cache = directory / "CMakeCache.txt"
    # A clone that was moved or copied has builds that point at the old place.
    if cache.exists() and f"CMAKE_HOME_DIRECTORY:INTERNAL={ROOT}\n" not in cache.read_text(errors="replace"):
        shutil.rmtree(directory)
    if not (directory / "build.ninja").exists():
        ok, output = run(["cmake", "--preset", preset], log)
        if not ok:
            say(output)
            return failed(f"{preset}: configure", f"see {log}")
    command = ["ninja", "-C", directory, "-j", jobs, "-k", "0", *targets]
    ok, output = run(command, log)
    if ok:
        return None
    lines = [line for line in output.splitlines() if not line.startswith("[")]
    say("\n".join(lines[:200]))
    return failed(f"{preset}: build", f"see {log}")


def test(preset, options, arguments):
    """Runs ctest and counts what its programs report."""
    directory = BUILD / preset
    report, log = directory / "results.xml", BUILD / f"check-{preset}-tests.log"
    report.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", directory, "-j", arguments.jobs, "--timeout", "900", "--output-on-failure",
               "--no-tests=error", "--output-junit", report, "--test-output-size-passed", "1000000",
               "--test-output-size-failed", "1000000", *options]
    ok, output = run(command, log)
    if not report.exists():
        say(output)
        return failed(f"{preset}: ctest", f"wrote no report, see {log}")
    counts, entries, failures, skips = read_junit(report)
    if failures or not ok:
        say(output[-20000:])
    if not ok and not failures:
        failures.append((f"{preset}: ctest", "failed"))
        counts.failed += 1
    return Outcome(counts, [(f"{preset}: {name}", why) for name, why in failures],
                   [(f"{preset}: {name}", why) for name, why in skips], f"{entries} entries")


def format_stage(_):
    files = lint.code_files(ROOT)
    ok, output = run(["clang-format-14", "--dry-run", "-Werror", *files], BUILD / "check-format.log")
    if ok:
        return passed(f"{len(files)} files")
    say(output[:8000])
    say("To mend it: clang-format-14 -i FILES")
    return failed("format", "clang-format-14 would change files")


def dev_stage(arguments):
    return build("dev", ["all", "lone_headers"], arguments.jobs) or test("dev", [], arguments)


def release_stage(_):
    """The command that people type: it builds, answers, and the second time says nothing of its own."""
    first = subprocess.run([ROOT / "millrace", "--version"], cwd="/", stdin=subprocess.DEVNULL, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if first.returncode != 0 or not first.stdout.strip():
        say(first.stderr + first.stdout)
        return failed("release", f"./millrace --version ended with status {first.returncode}")
    second = subprocess.run([ROOT / "millrace", "--version"], cwd="/", stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if second.stderr or second.stdout != first.stdout:
        say(second.stderr + second.stdout)
        return failed("release", "a second ./millrace --version should print the version and nothing else")
    return passed(first.stdout.strip())


def asan_stage(arguments):
    """All targets under the second compiler and its sanitizers, the fast tests, the fuzz corpora."""
    return build("asan", ["all"], arguments.jobs) or test("asan", ["-L", "fast", "-E", "^tidy/"], arguments)


def tsan_stage(arguments):
    rooms = ["base", "offload", "engine"]
    targets = [f"test_{room}" for room in rooms if any((ROOT / "tests" / room).glob("*_test.cpp"))]
    return build("tsan", targets, arguments.jobs) or test(
        "tsan", ["-L", "fast", "-R", f"^({'|'.join(rooms)})/"], arguments)


def fuzz_stage(arguments):
    """Fuzzes every target for a while from its corpus; new inputs stay in build/fuzz."""
    problem = build("asan", ["all"], arguments.jobs)
    if problem:
        return problem
    total = Outcome(Counts(), [], [])
    for program in sorted((BUILD / "asan/tests/fuzz").glob("fuzz_*")):
        if not os.access(program, os.X_OK) or program.is_dir():
            continue
        name = program.name.removeprefix("fuzz_")
        found = BUILD / "fuzz" / name
        found.mkdir(parents=True, exist_ok=True)
        seeds = [d for d in [ROOT / "tests/fuzz/corpus" / name] if d.is_dir()]
        ok, output = run([program, f"-max_total_time={arguments.fuzz}", "-max_len=65536", "-timeout=20",
                          "-rss_limit_mb=3072", "-print_final_stats=1", f"-artifact_prefix={found}/crash-in-", found,
                          *seeds], BUILD / f"check-fuzz-{name}.log")
        runs = next((line.split()[-1] for line in output.splitlines() if "number_of_executed_units" in line), "?")
        say(f"  {name}: {runs} inputs")
        if ok:
            total.counts.passed += 1
        else:
            say(output[-8000:])
            total.counts.failed += 1
            total.notes.append((f"fuzz: {name}", f"the input is in {found}"))
    return total


def lint_stage(arguments):
    database = next((BUILD / p for p in ("asan", "dev") if (BUILD / p / "compile_commands.json").exists()), None)
    if database is None:
        problem = build("dev", ["all"], arguments.jobs)
        if problem:
            return problem
        database = BUILD / "dev"
    read, known, complaints = lint.lint(ROOT, database, arguments.jobs)
    for text in complaints:
        say(text)
    if complaints:
        return failed("lint", f"clang-tidy-19 complains about {len(complaints)} file(s)")
    return passed(f"{read} files read, {known} unchanged")


STAGES = {
    "format": (format_stage, "the layout of the code, by clang-format-14"),
    "dev": (dev_stage, "GCC: every test, every header alone, the rules of the tree"),
    "release": (release_stage, "./millrace builds, answers and stays quiet"),
    "asan": (asan_stage, "clang 19 with address and undefined-behaviour sanitizers: the fast tests, the fuzz corpora"),
    "tsan": (tsan_stage, "clang 19 with the thread sanitizer: the tests of base, offload and engine"),
    "fuzz": (fuzz_stage, "fuzzing from the corpora, only with --fuzz"),
    "lint": (lint_stage, "clang-tidy-19, only with --only lint"),
}
FAST = ["format", "dev"]


def parse_arguments():
    lines = "\n".join(f"  {name:<10}{what}" for name, (_, what) in STAGES.items())
    parser = argparse.ArgumentParser(
        prog="check", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Installs what is missing, builds everything and runs every test.",
        epilog=f"Stages, in this order:\n{lines}\n\nThe last line counts cases; a case that runs in three builds "
               "counts three times.\nLogs are in build/check-*.log. The exit status is 0 if nothing failed.")
    parser.add_argument("--fast", action="store_true", help=f"only the stages {' and '.join(FAST)}")
    parser.add_argument("--only", action="append", choices=list(STAGES), metavar="STAGE",
                        help="only this stage; may be repeated")
    parser.add_argument("--fuzz", type=int, default=0, metavar="SECONDS", help="also fuzz each target this long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many things at once")
    arguments = parser.parse_args()
    arguments.stages = arguments.only or (FAST if arguments.fast else [s for s in STAGES if s != "lint"])
    if not arguments.fuzz and "fuzz" in arguments.stages:
        if arguments.only:
            arguments.fuzz = 60
        else:
            arguments.stages.remove("fuzz")
    return arguments


def main():
    arguments = parse_arguments()
    total, notes, skips, rows = Counts(), [], [], []
    for name, (stage, what) in STAGES.items():
        if name not in arguments.stages:
            continue
        say(f"== {name}: {what}")
        begin = time.monotonic()
        outcome = stage(arguments)
        seconds = time.monotonic() - begin
        total.add(outcome.counts)
        notes += outcome.notes
        skips += outcome.skips
        rows.append(f"{name:<10}{seconds:7.0f} s   {outcome.counts}" + (f"   ({outcome.text})" if outcome.text else ""))
        say(rows[-1])
    say("\n== summary")
    for row in rows:
        say(row)
    for name, reason in skips:
        say(f"skipped: {name}: {reason}")
    for name, reason in notes:
        say(f"FAILED: {name}: {reason}")
    say(total)
    return 1 if total.failed or total.passed == 0 else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
