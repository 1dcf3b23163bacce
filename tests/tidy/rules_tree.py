"""Names of files and rooms, headers that stand alone, files that nobody uses, and documents whose links lead somewhere."""

import re
from pathlib import PurePosixPath

from source import CODE_TOPS, TOPS, Complaint

SNAKE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*(-inl)?")
VAGUE = {"utils", "util", "common", "misc", "manager", "helper", "helpers", "stuff"}
COPIES = re.compile(r"_(v\d+|new|old|copy|backup|final)$")
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")  # and all of docs/


def rule_names(tree, _):
    for path in sorted(tree.paths):
        parts = PurePosixPath(path).parts
        if parts[0].startswith(".") or path.startswith(("tests/golden/", "tests/fuzz/corpus/", "assets/")):
            continue
        if len(parts) > 1 and parts[0] not in TOPS:
            yield Complaint("names", path, 1, f"{parts[0]}/ is none of the rooms {' '.join(TOPS)}")
            continue
        if parts[0] not in CODE_TOPS or len(parts) == 1:
            continue
        stem = PurePosixPath(path).name.split(".")[0]
        if not SNAKE.fullmatch(stem) and stem not in ("CMakeLists", "README", ""):
            yield Complaint("names", path, 1, "names are snake_case")
        if set(stem.split("_")) & VAGUE:
            yield Complaint("names", path, 1, f"{stem} says nothing: name the concept")
        if COPIES.search(stem):
            yield Complaint("names", path, 1, f"{stem} looks like a second copy: git remembers the first")


def rule_pragma_once(tree, _):
    for source in tree.cpp:
        if source.is_header and not source.without_comments.lstrip().startswith("#pragma once"):
            yield Complaint("pragma-once", source.path, 1, "a header begins with #pragma once")


def rule_dead_files(tree, _):
    """A header of the product serves the product: somebody besides its own .cpp and the tests includes it."""
    users = {}
    for source in tree.cpp:
        for include in source.includes:
            if include.ours:
                users.setdefault(include.name, set()).add(source.path)
    for source in tree.cpp:
        if not source.is_header:
            continue
        own = source.path.rsplit(".", 1)[0] + ".cpp"
        who = users.get(source.path, set()) - {own}
        if not source.path.startswith("tests/"):
            who = {path for path in who if not path.startswith("tests/")}
        if not who:
            yield Complaint("dead-files", source.path, 1, "nobody but its own .cpp and tests includes this header")


def rule_links(tree, _):
    for source in tree.sources:
        if source.path not in DOCUMENTS and not (source.path.startswith("docs/") and source.path.endswith(".md")):
            continue
        for match in re.finditer(r"\]\(([^)#\s]+)[^)]*\)", source.text):
            if "://" not in match[1] and match[1].rstrip("/") not in tree.paths:
                yield Complaint("links", source.path, source.line_at(match.start()), f"{match[1]} does not exist")
        for match in re.finditer(r"`([\w.\-]+(?:/[\w.\-]+)+/?)`", source.text):
            name = match[1].removeprefix("./").rstrip("/")
            if name.split("/")[0] in TOPS and name not in tree.paths:
                yield Complaint("links", source.path, source.line_at(match.start()), f"{match[1]} does not exist")
