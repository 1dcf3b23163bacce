"""The tree as the rules see it: files with their text, and C++ with comments and strings blanked out."""

import dataclasses
import functools
import os
import re
from pathlib import Path

CODE_TOPS = ("app", "core", "offload", "kernels", "quant", "ui", "tests")
TOPS = CODE_TOPS + ("assets", "docs")
CPP_ENDS = (".h", ".cpp", ".cu", ".cuh")
TEXT_ENDS = CPP_ENDS + (".py", ".txt", ".md", ".sh", ".cmake", ".json", ".yml")
LEFT_OUT = ("build", ".git", "assets", "tests/golden", "tests/fuzz/corpus")

TOKENS = re.compile(
    r'(?P<raw>R"(?P<mark>[^(\s"]*)\(.*?\)(?P=mark)")|(?P<text>"(?:\\.|[^"\\\n])*")'
    r"|(?P<char>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*')|(?P<comment>//[^\n]*|/\*.*?\*/)", re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"\n]+)"|<([^>\n]+)>)', re.M)


@dataclasses.dataclass(frozen=True)
class Complaint:
    rule: str
    path: str
    line: int
    what: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.what} [{self.rule}]"


@dataclasses.dataclass(frozen=True)
class Include:
    name: str
    ours: bool  # written with quotes
    line: int


def blank(match):
    """The matched text as spaces, its line ends kept, so that positions stay right."""
    return re.sub(r"[^\n]", " ", match[0])


class Source:
    def __init__(self, path, text):
        self.path = path
        self.text = text

    @property
    def is_cpp(self):
        return self.path.endswith(CPP_ENDS)

    @property
    def is_header(self):
        return self.path.endswith((".h", ".cuh"))

    @functools.cached_property
    def lines(self):
        return self.text.splitlines()

    @functools.cached_property
    def without_comments(self):
        return TOKENS.sub(lambda m: blank(m) if m["comment"] else m[0], self.text)

    @functools.cached_property
    def code(self):
        """Without comments and without what stands in quotes."""
        return TOKENS.sub(blank, self.text)

    @functools.cached_property
    def includes(self):
        return [Include(m[1] or m[2], m[1] is not None, self.line_at(m.start()))
                for m in INCLUDE.finditer(self.without_comments)]

    def line_at(self, position):
        return self.text.count("\n", 0, position) + 1


class Tree:
    """`files` maps a path below the root to its text; directories follow from it."""

    def __init__(self, files, paths=()):
        self.sources = [Source(path, text) for path, text in sorted(files.items())]
        self.paths = set(files) | set(paths)
        self.paths |= {str(parent) for path in self.paths for parent in Path(path).parents} - {"."}

    @property
    def cpp(self):
        return [source for source in self.sources if source.is_cpp]


def read_tree(root):
    files, others = {}, []
    for folder, names, found in os.walk(root):
        here = os.path.relpath(folder, root)
        names[:] = sorted(n for n in names if n != "__pycache__" and os.path.normpath(f"{here}/{n}") not in ("build", ".git"))
        for name in sorted(found):
            path = os.path.normpath(f"{here}/{name}")
            left_out = any(f"{path}/".startswith(f"{prefix}/") for prefix in LEFT_OUT)  # .git is a file in a worktree
            if left_out or not (path.endswith(TEXT_ENDS) or "." not in name or name.startswith(".")):
                others.append(path)
            else:
                files[path] = Path(root, path).read_text(errors="replace")
    return Tree(files, others)
