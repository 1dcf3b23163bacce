"""Files, functions and lines stay small enough to read."""

import re

from source import Complaint

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
KERNEL_LINES_MAX = 150
CODE_COLUMNS_MAX = 100
COMMENT_COLUMNS_MAX = 125

NOT_A_FUNCTION = re.compile(r"^(if|for|while|switch|else|do|catch|namespace|class|struct|enum|union|extern|return)\b")
ACCESS = re.compile(r"\s*((public|private|protected)\s*:\s*)*")
TEMPLATE = re.compile(r"^template\s*<[^{}]*?>\s*(?=\w)")


def is_function(header):
    header = TEMPLATE.sub("", header[ACCESS.match(header).end():].strip())
    return "(" in header and not NOT_A_FUNCTION.match(header)


def functions_of(source):
    """(first line, last line) of every outermost function body with its head. Relies on clang-format's layout: a brace
    right behind a word opens an initialiser, a body's brace has a space before it."""
    code = re.sub(r"(?m)^[ \t]*#.*(?:\\\n.*)*", lambda m: re.sub(r"[^\n]", " ", m[0]), source.code)
    stack, begin, inside = [], 0, 0
    for match in re.finditer(r"[{};]", code):
        at = match.start()
        if match[0] == "{":
            initialiser = at > 0 and (code[at - 1].isalnum() or code[at - 1] in "_>])")
            function = not initialiser and not inside and is_function(code[begin:at])
            stack.append((initialiser, function, begin))
            inside += function
            if not initialiser:
                begin = at + 1
        elif match[0] == "}" and stack:
            initialiser, function, start = stack.pop()
            if function:
                inside -= 1
                yield source.line_at(ACCESS.match(code, start).end()), source.line_at(at)
            if not initialiser:
                begin = at + 1
        elif match[0] == ";":
            begin = at + 1


def rule_file_length(tree, _):
    for source in tree.sources:
        counted = source.is_cpp or source.path.endswith((".py", ".sh", ".cmake", "CMakeLists.txt"))
        if counted and len(source.lines) > FILE_LINES_MAX:
            yield Complaint("file-length", source.path, 1, f"{len(source.lines)} lines, at most {FILE_LINES_MAX}")


def rule_function_length(tree, _):
    for source in tree.cpp:
        limit = KERNEL_LINES_MAX if source.path.endswith((".cu", ".cuh")) else FUNCTION_LINES_MAX
        for first, last in functions_of(source):
            if last - first + 1 > limit:
                yield Complaint("function-length", source.path, first, f"{last - first + 1} lines, at most {limit}")


def rule_line_length(tree, _):
    for source in tree.cpp:
        code_lines = source.without_comments.splitlines()
        for number, (line, code) in enumerate(zip(source.lines, code_lines), 1):
            if len(code.rstrip()) > CODE_COLUMNS_MAX:
                yield Complaint("line-length", source.path, number,
                                f"{len(code.rstrip())} columns of code, at most {CODE_COLUMNS_MAX}")
            elif len(line) > COMMENT_COLUMNS_MAX:
                yield Complaint("line-length", source.path, number,
                                f"{len(line)} columns with the comment, at most {COMMENT_COLUMNS_MAX}")
