import tempfile
import unittest
from pathlib import Path

from harness_test import complain
from rules_tree import rule_dead_files, rule_links, rule_names, rule_pragma_once
from source import read_tree


class NamesTest(unittest.TestCase):
    def fires(self, path):
        return path + ":1" in complain(rule_names, {path: ""})

    def test_snake_case_in_known_rooms(self):
        self.assertFalse(self.fires("core/base/page_buffer.h"))
        self.assertFalse(self.fires("kernels/cpu/gemv-inl.h"))
        self.assertFalse(self.fires("tests/CMakeLists.txt"))
        self.assertFalse(self.fires(".ci/run"))
        self.assertFalse(self.fires("docs/performance.md"))
        self.assertTrue(self.fires("core/base/PageBuffer.h"))
        self.assertTrue(self.fires("src/a.cpp"))

    def test_vague_names_and_copies(self):
        for path in ("core/utils/a.h", "core/base/string_utils.h", "app/manager.cpp", "app/chat_v2.cpp", "app/chat_old.cpp"):
            with self.subTest(path):
                self.assertTrue(complain(rule_names, {path: ""}))


class FilesTest(unittest.TestCase):
    def test_pragma_once(self):
        self.assertEqual(complain(rule_pragma_once, {"app/a.h": "// Words.\n#pragma once\n", "app/a.cpp": ""}), [])
        self.assertEqual(complain(rule_pragma_once, {"app/a.h": "#include <x>\n#pragma once\n"}), ["app/a.h:1"])

    def test_dead_headers(self):
        files = {"app/a.h": "", "app/a.cpp": '#include "app/a.h"\n', "tests/a_test.cpp": '#include "app/a.h"\n'}
        self.assertEqual(complain(rule_dead_files, files), ["app/a.h:1"])
        self.assertEqual(complain(rule_dead_files, files | {"app/b.cpp": '#include "app/a.h"\n'}), [])

    def test_dead_test_headers(self):
        files = {"tests/t.h": "", "tests/t.cpp": '#include "tests/t.h"\n'}
        self.assertEqual(complain(rule_dead_files, files), ["tests/t.h:1"])
        self.assertEqual(complain(rule_dead_files, files | {"tests/a_test.cpp": '#include "tests/t.h"\n'}), [])


class LinksTest(unittest.TestCase):
    def links(self, text):
        return complain(rule_links, {"README.md": text, "app/a.cpp": ""}, ["assets/demo/config.json"])

    def test_links_lead_somewhere(self):
        self.assertEqual(self.links("[a](app/a.cpp) [b](https://x.org/y) [c](#part) [d](assets/demo)"), [])
        self.assertEqual(self.links("\n[a](app/b.cpp)"), ["README.md:2"])

    def test_documents_of_docs_too(self):
        self.assertEqual(complain(rule_links, {"docs/speed.md": "`app/b.cpp`"}), ["docs/speed.md:1"])

    def test_paths_exist(self):
        self.assertEqual(self.links("`app/a.cpp`, `assets/demo/`, `core/*.h`, `a/b`"), [])
        self.assertEqual(self.links("`app/b.cpp`"), ["README.md:1"])


class ReadTreeTest(unittest.TestCase):
    def test_reads_text_and_leaves_builds_out(self):
        with tempfile.TemporaryDirectory() as root:
            for path in ("app/a.cpp", "build/dev/b.cpp", "tests/golden/c.txt", "assets/x.bin", ".ci/run", "millrace"):
                Path(root, path).parent.mkdir(parents=True, exist_ok=True)
                Path(root, path).write_text("x")
            tree = read_tree(root)
            self.assertEqual([s.path for s in tree.sources], [".ci/run", "app/a.cpp", "millrace"])
            self.assertLessEqual({"assets/x.bin", "tests/golden/c.txt", "app"}, tree.paths)
            self.assertNotIn("build", tree.paths)


if __name__ == "__main__":
    unittest.main()
