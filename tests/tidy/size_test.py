import unittest

from harness_test import complain
from rules_size import functions_of, rule_file_length, rule_function_length, rule_line_length
from source import Source


def spans(text):
    return list(functions_of(Source("a.cpp", text)))


class FunctionsTest(unittest.TestCase):
    def test_plain_function(self):
        self.assertEqual(spans("int f(int x) {\n    if (x) {\n    }\n    return x;\n}\n"), [(1, 5)])

    def test_methods_are_found_inside_classes_and_namespaces(self):
        text = "namespace n {\nclass A : public B {\npublic:\n    int f() const {\n        return 1;\n    }\n    int y = 0;\n};\n}\n"
        self.assertEqual(spans(text), [(4, 6)])

    def test_initialiser_lists_are_no_bodies(self):
        self.assertEqual(spans("A::A(int x)\n    : a_{x}, b_{1} {\n    g();\n}\n"), [(1, 4)])

    def test_lambdas_count_to_their_function(self):
        self.assertEqual(spans("void f() {\n    auto g = [&](int x) {\n        h(x);\n    };\n}\n"), [(1, 5)])

    def test_templates_and_test_cases(self):
        self.assertEqual(spans('template <class T>\nvoid f(T x) {\n}\nTEST_CASE("a {") {\n}\n'), [(1, 3), (4, 5)])

    def test_tables_and_macros_are_no_functions(self):
        self.assertEqual(spans("#define F(x) \\\n    { x; }\nconst int kT[] = {1, 2};\nstruct S { int a; };\n"), [])


class SizeTest(unittest.TestCase):
    def body(self, lines):
        return "void f() {\n" + "    g();\n" * (lines - 2) + "}\n"

    def test_function_length(self):
        self.assertEqual(complain(rule_function_length, {"app/a.cpp": self.body(70)}), [])
        self.assertEqual(complain(rule_function_length, {"app/a.cpp": "\n" + self.body(71)}), ["app/a.cpp:2"])

    def test_kernels_may_be_longer(self):
        self.assertEqual(complain(rule_function_length, {"kernels/a.cu": self.body(150)}), [])
        self.assertEqual(complain(rule_function_length, {"kernels/a.cuh": self.body(151)}), ["kernels/a.cuh:1"])

    def test_file_length(self):
        self.assertEqual(complain(rule_file_length, {"app/a.cpp": "\n" * 600, "README.md": "\n" * 700}), [])
        self.assertEqual(complain(rule_file_length, {"app/a.cpp": "\n" * 601}), ["app/a.cpp:1"])

    def test_line_length_counts_characters(self):
        code = "int " + "x" * 95 + ";"
        self.assertEqual(complain(rule_line_length, {"app/a.cpp": code}), [])
        self.assertEqual(complain(rule_line_length, {"app/a.cpp": "\n" + code + ";"}), ["app/a.cpp:2"])
        self.assertEqual(complain(rule_line_length, {"app/a.cpp": "// " + "é" * 122}), [])
        self.assertEqual(complain(rule_line_length, {"app/a.cpp": "// " + "é" * 123}), ["app/a.cpp:1"])


if __name__ == "__main__":
    unittest.main()
