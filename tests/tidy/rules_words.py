"""Words that may not stand in the code, or only in some rooms."""

import re

from source import Complaint

# (pattern, paths where it may stand, what to say). Searched in code without comments and strings.
BANS = [
    (r"\b(printf|fprintf|puts|putchar|perror)\s*\(|\bstd::(cout|cerr|clog)\b", ("app/", "core/base/check.cpp", "tests/"),
     "only the programs print: return an Error or a value"),
    (r"(?<![\w.>])(::|std::)?(exit|abort|_exit|quick_exit|terminate)\s*\(", ("app/", "core/base/check.cpp", "tests/"),
     "only the programs end the process: return an Error, or CHECK what only a bug can break"),
    (r"\bthrow\b", ("tests/",), "our code throws nothing: return an Error"),
    (r"\bcatch\s*\(", ("app/", "core/base/json.cpp", "tests/"),
     "exceptions are caught only where a library that throws is called"),
    (r"\bgetenv\s*\(", ("app/options.cpp", "tests/"), "the environment is read in app/options.cpp only"),
    (r"\bstd::w?regex\b", (), "std::regex is slow and overflows the stack: write the few lines of parsing"),
    (r"\bstd::endl\b", (), "std::endl flushes: write '\\n'"),
    (r"\bthread_local\b", (), "state belongs to an object, not to a thread"),
    (r"\bdetach\s*\(", (), "threads are joined by their owner"),
    (r"\b(sleep_for|sleep_until|usleep|nanosleep)\b", (), "wait for an event instead of sleeping"),
    (r"__(AVX|SSE|FMA)\w*__", (), "the instruction set is chosen at run time"),
]
HEADER_BANS = [(r"\busing\s+namespace\b", "a header may not open a namespace for those who include it")]
# Searched in everything that is text.
TEXT_BANS = [
    (r"\bTO" r"DO\b(?!\(#\d+\))", "an open task needs its issue: TO" "DO(#12)"),
    (r"\bFIX" r"ME\b", "mend it before it is merged"),
    (r"(?<![\w.~})\-])/(home|root|Users|mnt|tmp|work|shared)/\w", "a path of one machine"),
    (r"(?i)\b(sub-?agen[t]s?|work[p]lace|co-authored-b[y]|as you aske[d])\b", "text speaks of the project only"),
]
MACROS_MAX = 6


def rule_bans(tree, _):
    for source in tree.cpp:
        rows = [(p, what) for p, allowed, what in BANS if not source.path.startswith(allowed or ("\0",))]
        for pattern, what in rows + (HEADER_BANS if source.is_header else []):
            for match in re.finditer(pattern, source.code):
                yield Complaint("bans", source.path, source.line_at(match.start()), f"{match[0].strip()}: {what}")


def rule_words(tree, _):
    for source in tree.sources:
        for pattern, what in TEXT_BANS:
            for match in re.finditer(pattern, source.text):
                yield Complaint("words", source.path, source.line_at(match.start()), f"{match[0]}: {what}")


def rule_macros(tree, _):
    """The whole product has at most six macros."""
    found = {}
    for source in tree.cpp:
        if source.path.startswith("tests/"):
            continue
        for match in re.finditer(r"(?m)^[ \t]*#[ \t]*define[ \t]+(\w+)", source.code):
            found.setdefault(match[1], (source.path, source.line_at(match.start())))
    for name in list(found)[MACROS_MAX:]:
        yield Complaint("macros", *found[name], f"{name} is one macro more than the {MACROS_MAX} there may be")
