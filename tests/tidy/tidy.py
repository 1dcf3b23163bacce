"""tidy.py ROOT: says where the tree breaks its own rules; exit status 1 if anywhere."""

import sys
from pathlib import Path

import rules_layers
import rules_size
import rules_tree
import rules_words
from source import Complaint, read_tree

RULES = [
    rules_layers.rule_layers,
    rules_layers.rule_include_order,
    rules_size.rule_file_length,
    rules_size.rule_function_length,
    rules_size.rule_line_length,
    rules_words.rule_bans,
    rules_words.rule_words,
    rules_words.rule_macros,
    rules_tree.rule_names,
    rules_tree.rule_pragma_once,
    rules_tree.rule_dead_files,
    rules_tree.rule_links,
]


def read_exceptions(text):
    """{(rule, path)} of the lines "rule path: reason"."""
    found = set()
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            head, reason = line.split(": ", 1)
            rule, path = head.split()
            if not reason.strip():
                raise ValueError(f"exceptions.txt: no reason given: {line}")
            found.add((rule, path))
    return found


def complaints_of(tree, layers, exceptions):
    used = set()
    for rule in RULES:
        for complaint in rule(tree, layers):
            if (complaint.rule, complaint.path) in exceptions:
                used.add((complaint.rule, complaint.path))
            else:
                yield complaint
    for rule, path in sorted(exceptions - used):
        yield Complaint("exceptions", path, 1, f"needs its exception from {rule} no longer: strike it from the list")


def main():
    here = Path(__file__).parent
    tree = read_tree(sys.argv[1])
    layers = rules_layers.Layers((here / "layers.txt").read_text())
    exceptions = read_exceptions((here / "exceptions.txt").read_text())
    complaints = list(complaints_of(tree, layers, exceptions))
    for complaint in complaints:
        print(complaint)
    print(f"{len(tree.sources)} files read, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
