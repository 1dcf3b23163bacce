"""What ./check counts (.ci/results.py)."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / ".ci"))

from results import Counts, count_entry, read_junit

DOCTEST = "[doctest] test cases:  {} |  {} passed | {} failed | 9 skipped\n"


class CountTest(unittest.TestCase):
    def test_doctest_cases_are_counted_and_its_filter_is_not(self):
        self.assertEqual(count_entry("run", DOCTEST.format(5, 5, 0)), Counts(5, 0, 0))
        self.assertEqual(count_entry("fail", DOCTEST.format(5, 3, 2)), Counts(3, 2, 0))

    def test_unittest(self):
        self.assertEqual(count_entry("run", "Ran 7 tests in 0.1s\n\nOK\n"), Counts(7, 0, 0))
        self.assertEqual(count_entry("fail", "Ran 7 tests in 0.1s\n\nFAILED (failures=1, errors=2)\n"), Counts(4, 3, 0))

    def test_an_entry_without_cases_counts_one(self):
        self.assertEqual(count_entry("run", "fine"), Counts(1, 0, 0))
        self.assertEqual(count_entry("fail", "crashed"), Counts(0, 1, 0))
        self.assertEqual(count_entry("notrun", "no drive here"), Counts(0, 0, 1))

    def test_a_leak_after_good_cases_is_a_failure(self):
        self.assertEqual(count_entry("fail", DOCTEST.format(5, 5, 0) + "LeakSanitizer"), Counts(5, 1, 0))

    def test_no_case_at_all_is_a_failure(self):
        self.assertEqual(count_entry("run", DOCTEST.format(0, 0, 0)), Counts(0, 1, 0))

    def test_a_case_may_skip(self):
        self.assertEqual(count_entry("run", "SKIPPED: no io_uring\n" + DOCTEST.format(5, 5, 0)), Counts(4, 0, 1))


class JunitTest(unittest.TestCase):
    def test_report(self):
        entry = '<testcase name="{}" status="{}">{}<system-out>{}</system-out></testcase>'
        text = "<testsuite>" + entry.format("a/x", "run", "", DOCTEST.format(2, 2, 0))
        text += entry.format("a/y", "fail", '<failure message="Timeout"/>', "")
        text += entry.format("a/z", "notrun", '<skipped message="SKIP_RETURN_CODE=77"/>', "first\nno GPU here\n")
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(text + "</testsuite>")
            file.flush()
            counts, entries, failures, skips = read_junit(file.name)
        self.assertEqual(counts, Counts(2, 1, 1))
        self.assertEqual(entries, 3)
        self.assertEqual(failures, [("a/y", "Timeout")])
        self.assertEqual(skips, [("a/z", "no GPU here")])


if __name__ == "__main__":
    unittest.main()
