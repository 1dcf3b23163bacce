"""Counts tests from what they printed: a test program that ran ten cases counts ten, any other entry counts one."""

import dataclasses
import re
import xml.etree.ElementTree as ET

DOCTEST = re.compile(r"\[doctest\] test cases:\s*(\d+)\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed")
UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.M)
UNITTEST_BAD = re.compile(r"^FAILED \((.*)\)$", re.M)
# A case that cannot run here prints this line and returns.
SKIPPED = re.compile(r"^SKIPPED: (.*)$", re.M)


@dataclasses.dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def cases_in(output):
    """(passed, failed) that a test program reports in its output; None when it reports nothing."""
    found = None
    for match in DOCTEST.finditer(output):
        passed, failed = found or (0, 0)
        found = (passed + int(match[2]), failed + int(match[3]))
    if found is None and (ran := UNITTEST.search(output)):
        bad = UNITTEST_BAD.search(output)
        failed = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", bad[1])) if bad else 0
        found = (int(ran[1]) - failed, failed)
    return found


def count_entry(status, output):
    """The counts of one ctest entry: `status` is ctest's word (run, fail, notrun, disabled)."""
    if status in ("notrun", "disabled"):
        return Counts(skipped=1)
    passed, failed = cases_in(output) or (1, 0)
    skipped = min(len(SKIPPED.findall(output)), passed)
    counts = Counts(passed - skipped, failed, skipped)
    if status != "run" and counts.failed == 0:
        # It crashed, leaked, ran out of time or never printed a summary: one failure, whatever passed before it.
        counts.failed = 1
        if cases_in(output) is None:
            counts.passed = 0
    elif status == "run" and counts.passed + counts.failed + counts.skipped == 0:
        # A filter that matches nothing is a test that cannot fail.
        counts.failed = 1
    return counts


def read_junit(path):
    """ctest's JUnit file → (Counts, entries, [(name, reason)] of failures, [(name, reason)] of skips)."""
    total, failures, skips, entries = Counts(), [], [], 0
    for case in ET.parse(path).getroot().iter("testcase"):
        name, status = case.get("name"), case.get("status")
        output = case.findtext("system-out") or ""
        counts = count_entry(status, output)
        total.add(counts)
        entries += 1
        if counts.failed:
            problem = case.find("failure")
            why = problem.get("message") if problem is not None else ""
            failures.append((name, why or ("no case ran" if status == "run" else "failed")))
        if status in ("notrun", "disabled"):
            lines = [line for line in output.splitlines() if line.strip()]
            problem = case.find("skipped")
            reason = lines[-1] if lines else problem.get("message") if problem is not None else ""
            skips.append((name, reason or "no reason given"))
        skips += [(name, reason) for reason in SKIPPED.findall(output)] if counts.skipped else []
    return total, entries, failures, skips
