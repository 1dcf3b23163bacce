"""The tests' way of asking: a small tree of a few files, one rule, the lines it complains about."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import tidy
from rules_layers import Layers
from source import Source, Tree

LAYERS = """
room core/base includes - doors *
room offload includes core/base doors offload/cache.h
room core/engine includes core/base offload doors core/engine/engine.h
room app includes * doors -
room tests includes * doors -
library zstd.h rooms offload tests
"""


def complain(rule, files, paths=()):
    """["path:line", …] of a rule's complaints about a tree."""
    return [f"{c.path}:{c.line}" for c in rule(Tree(files, paths), Layers(LAYERS))]


class SourceTest(unittest.TestCase):
    def test_comments_and_strings_are_blank_in_code(self):
        source = Source("a.cpp", 'x = "// no { comment"; // } yes\n/* {\n */ char c = \'"\'; int n = 1\'000; f(");");\n')
        self.assertEqual(source.code.count("\n"), source.text.count("\n"))
        self.assertEqual(len(source.code), len(source.text))
        self.assertNotIn("{", source.code)
        self.assertNotIn("}", source.code)
        self.assertIn("int n = 1'000;", source.code)
        self.assertIn("// no { comment", source.without_comments)
        self.assertNotIn("yes", source.without_comments)

    def test_raw_strings_end_at_their_own_mark(self):
        source = Source("a.cpp", 'auto t = R"x(a ")" // { )x"; int after;')
        self.assertNotIn("{", source.code)
        self.assertIn("int after;", source.code)

    def test_includes_in_comments_do_not_count(self):
        source = Source("a.cpp", '// #include "no.h"\n#include "yes.h"\n#include <vector>\n')
        self.assertEqual([(i.name, i.ours, i.line) for i in source.includes], [("yes.h", True, 2), ("vector", False, 3)])


class ExceptionsTest(unittest.TestCase):
    def run_with(self, exceptions):
        tree = Tree({"core/base/a.cpp": "\n" * 601})
        return [str(c) for c in tidy.complaints_of(tree, Layers(LAYERS), tidy.read_exceptions(exceptions))]

    def test_an_exception_silences_one_rule_for_one_file(self):
        self.assertEqual(len(self.run_with("")), 1)
        self.assertEqual(self.run_with("file-length core/base/a.cpp: a table\n"), [])
        self.assertEqual(len(self.run_with("bans core/base/a.cpp: a table\n")), 2)

    def test_an_exception_that_nobody_needs_is_a_complaint(self):
        text = "file-length core/base/a.cpp: a table\nfile-length core/base/b.cpp: gone\n"
        self.assertEqual(len(self.run_with(text)), 1)

    def test_an_exception_needs_its_reason(self):
        with self.assertRaises(ValueError):
            tidy.read_exceptions("file-length core/base/a.cpp")


if __name__ == "__main__":
    unittest.main()
