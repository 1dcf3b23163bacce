import unittest

from harness_test import LAYERS, complain
from rules_layers import Layers, rule_include_order, rule_layers

BASE = {"core/base/a.h": "#pragma once\n", "offload/cache.h": "", "offload/slots.h": "", "core/engine/engine.h": "",
        "app/main.cpp": "", "tests/support/t.h": ""}


def one(path, text):
    return complain(rule_layers, BASE | {path: text})


class LayersTest(unittest.TestCase):
    def test_arrows_point_downward_only(self):
        self.assertEqual(one("offload/x.cpp", '#include "core/base/a.h"\n'), [])
        self.assertEqual(one("core/base/x.cpp", '\n#include "offload/cache.h"\n'), ["core/base/x.cpp:2"])
        self.assertEqual(one("offload/x.cpp", '#include "core/engine/engine.h"\n'), ["offload/x.cpp:1"])

    def test_front_doors(self):
        self.assertEqual(one("core/engine/x.cpp", '#include "offload/cache.h"\n'), [])
        self.assertEqual(one("core/engine/x.cpp", '#include "offload/slots.h"\n'), ["core/engine/x.cpp:1"])
        self.assertEqual(one("app/x.cpp", '#include "offload/slots.h"\n'), ["app/x.cpp:1"])
        self.assertEqual(one("offload/x.cpp", '#include "offload/slots.h"\n'), [])
        self.assertEqual(one("tests/offload/x_test.cpp", '#include "offload/slots.h"\n'), [])

    def test_nobody_includes_tests(self):
        self.assertEqual(one("app/x.cpp", '#include "tests/support/t.h"\n'), ["app/x.cpp:1"])
        self.assertEqual(one("tests/x_test.cpp", '#include "tests/support/t.h"\n'), [])

    def test_paths_start_at_the_top(self):
        self.assertEqual(one("core/base/x.cpp", '#include "a.h"\n'), ["core/base/x.cpp:1"])
        self.assertEqual(one("core/base/x.cpp", '#include "../base/a.h"\n'), ["core/base/x.cpp:1"])

    def test_every_file_lies_in_a_room(self):
        self.assertEqual(one("core/x.cpp", ""), ["core/x.cpp:1"])
        self.assertEqual(one("core/other/x.cpp", ""), ["core/other/x.cpp:1"])

    def test_libraries_belong_to_rooms(self):
        self.assertEqual(one("offload/x.cpp", "#include <zstd.h>\n"), [])
        self.assertEqual(one("core/base/x.cpp", "#include <zstd.h>\n"), ["core/base/x.cpp:1"])

    def test_unknown_rows_are_refused(self):
        with self.assertRaises(ValueError):
            Layers(LAYERS + "rom core/other includes - doors *")


class IncludeOrderTest(unittest.TestCase):
    def order(self, text):
        return complain(rule_include_order, {"core/base/a.h": "", "core/base/b.h": "", "core/base/a.cpp": text})

    def test_own_system_ours(self):
        self.assertEqual(self.order('#include "core/base/a.h"\n\n#include <vector>\n\n#include "core/base/b.h"\n'), [])

    def test_own_comes_first(self):
        self.assertEqual(self.order('#include <vector>\n#include "core/base/a.h"\n'), ["core/base/a.cpp:1"])

    def test_system_above_ours(self):
        text = '#include "core/base/a.h"\n\n#include "core/base/b.h"\n#include <vector>\n'
        self.assertEqual(self.order(text), ["core/base/a.cpp:4"])


if __name__ == "__main__":
    unittest.main()
