"""clang-tidy-19 over the product's sources, with a memory: a file whose text, headers and rules have not changed since it
was found clean is not read again."""

import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

TOP = ["app", "core", "offload", "kernels", "quant", "ui", "tests"]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def code_files(root):
    files = (path for top in TOP for end in ("h", "cpp") for path in sorted((root / top).rglob(f"*.{end}")))
    return [path for path in files if "golden" not in path.parts]


def with_headers(root, path, seen):
    """The file and all of ours that it includes, in a set of paths."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    for name in INCLUDE.findall(path.read_text(errors="replace")):
        with_headers(root, root / name, seen)


def key_of(root, path, command, tool):
    seen = set()
    with_headers(root, path, seen)
    digest = hashlib.sha256(tool)
    digest.update(command.replace(str(root), ".").encode())
    for part in [root / ".clang-tidy", *sorted(seen)]:
        digest.update(str(part.relative_to(root)).encode() + b"\0" + part.read_bytes() + b"\0")
    return digest.hexdigest()


def read_one(root, database, path):
    # A build of GCC's has flags that clang does not know.
    command = ["clang-tidy-19", "-p", database, "--quiet", "--extra-arg=-Wno-unknown-warning-option", path]
    done = subprocess.run(command, cwd=root, text=True, errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    return "" if done.returncode == 0 else done.stdout or done.stderr


def lint(root, database, jobs):
    """(files read, files known to be clean, complaints): tests are left out, their macros expand to much noise."""
    commands = json.loads((database / "compile_commands.json").read_text())
    memory = Path(os.environ.get("CCACHE_DIR", root / "build/ccache")) / "millrace-lint"
    memory.mkdir(parents=True, exist_ok=True)
    tool = subprocess.run(["clang-tidy-19", "--version"], stdout=subprocess.PIPE).stdout
    todo, known = [], 0
    for entry in commands:
        path = Path(entry["file"])
        if not path.is_relative_to(root) or path.name.endswith("_test.cpp") or path.is_relative_to(root / "build"):
            continue
        mark = memory / key_of(root, path, entry["command"], tool)
        if mark.exists():
            known += 1
        else:
            todo.append((path, mark))
    complaints = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        texts = pool.map(lambda item: read_one(root, database, item[0]), todo)
        for (_, mark), text in zip(todo, texts):
            if text:
                complaints.append(text)
            else:
                mark.touch()
    return len(todo), known, complaints
