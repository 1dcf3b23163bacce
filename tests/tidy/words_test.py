import unittest

from harness_test import complain
from rules_words import MACROS_MAX, rule_bans, rule_macros, rule_words

# (code, a path where it may not stand, a path where it may or None)
BANNED = [
    ('printf("x");', "core/base/a.cpp", "app/a.cpp"),
    ("std::cerr << 1;", "core/base/a.cpp", "tests/base/a_test.cpp"),
    ("std::exit(1);", "core/base/a.cpp", "app/a.cpp"),
    ("abort();", "offload/a.cpp", "core/base/check.cpp"),
    ("throw Error();", "app/a.cpp", "tests/base/a_test.cpp"),
    ("} catch (const X& x) {", "offload/a.cpp", "core/base/json.cpp"),
    ('getenv("X");', "app/main.cpp", "app/options.cpp"),
    ("std::regex r;", "app/a.cpp", None),
    ("out << std::endl;", "app/a.cpp", None),
    ("thread_local int x;", "core/base/a.cpp", None),
    ("worker.detach();", "app/a.cpp", None),
    ("std::this_thread::sleep_for(1ms);", "tests/base/a_test.cpp", None),
    ("#ifdef __AVX2__", "offload/a.cpp", None),
    ("using namespace std;", "offload/a.h", "offload/a.cpp"),
]


class BansTest(unittest.TestCase):
    def test_each_ban_fires_where_it_should(self):
        for code, forbidden, _ in BANNED:
            with self.subTest(code):
                self.assertEqual(complain(rule_bans, {forbidden: "\n" + code}), [forbidden + ":2"])

    def test_each_ban_has_its_places(self):
        for code, _, allowed in BANNED:
            if allowed:
                with self.subTest(code):
                    self.assertEqual(complain(rule_bans, {allowed: code}), [])

    def test_comments_strings_and_longer_names_are_free(self):
        text = '// printf(\nlog("std::endl exit(");\nsnprintf(a, 1, "");\nqueue.exit(1);\nexit_code();\n'
        self.assertEqual(complain(rule_bans, {"core/base/a.cpp": text}), [])


class WordsTest(unittest.TestCase):
    def fires(self, text):
        return bool(complain(rule_words, {"README.md": text}))

    def test_open_tasks_name_their_issue(self):
        self.assertTrue(self.fires("TO" + "DO: later"))
        self.assertFalse(self.fires("TO" + "DO(#12): later"))
        self.assertTrue(self.fires("FIX" + "ME"))

    def test_paths_of_one_machine(self):
        self.assertTrue(self.fires("see /ho" + "me/me/notes"))
        self.assertTrue(self.fires("in `/wo" + "rk/main`"))
        self.assertFalse(self.fires("~/.local/share/millrace, build/tmp/x, https://x.org/home/y"))

    def test_text_speaks_of_the_project(self):
        self.assertTrue(self.fires("by a sub" + "-agent"))
        self.assertTrue(self.fires("Co-authored-" + "by: x"))


class MacrosTest(unittest.TestCase):
    def test_six_are_enough(self):
        lines = [f"#define M{i} 1\n" for i in range(MACROS_MAX + 1)]
        self.assertEqual(complain(rule_macros, {"app/a.h": "".join(lines[:-1])}), [])
        self.assertEqual(complain(rule_macros, {"app/a.h": "".join(lines)}), [f"app/a.h:{MACROS_MAX + 1}"])
        self.assertEqual(complain(rule_macros, {"tests/a.h": "".join(lines)}), [])


if __name__ == "__main__":
    unittest.main()
