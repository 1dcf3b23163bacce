"""Includes point downward only, through front doors, to libraries of the room, in one order."""

from source import Complaint


class Layers:
    """The table of layers.txt."""

    def __init__(self, text):
        self.includes, self.doors, self.libraries = {}, {}, {}
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "room":
                doors = words.index("doors")
                self.includes[words[1]] = words[3:doors]
                self.doors[words[1]] = words[doors + 1:]
            elif words[0] == "library":
                self.libraries[words[1]] = words[3:]
            else:
                raise ValueError(f"layers.txt: unknown row: {line}")

    def room_of(self, path):
        rooms = [room for room in self.includes if path.startswith(room + "/")]
        return max(rooms, key=len, default=None)


def check_arrow(layers, tree, source, include):
    room, target = layers.room_of(source.path), layers.room_of(include.name)
    if include.name not in tree.paths:
        return f'"{include.name}" is no file below the top of the tree'
    if target is None:
        return f'"{include.name}" lies in no room of layers.txt'
    if room == target or room == "tests":
        return None
    if target == "tests":
        return f'"{include.name}": nobody includes tests'
    if layers.includes[room] != ["*"] and target not in layers.includes[room]:
        return f'"{include.name}": {room} may not include {target}'
    if layers.doors[target] != ["*"] and include.name not in layers.doors[target]:
        return f'"{include.name}" is no front door of {target}: {" ".join(layers.doors[target])}'
    return None


def check_library(layers, source, include):
    for begin, rooms in layers.libraries.items():
        if include.name.startswith(begin) and layers.room_of(source.path) not in rooms:
            return f"<{include.name}> is used from {' and '.join(rooms)} only"
    return None


def rule_layers(tree, layers):
    for source in tree.cpp:
        if layers.room_of(source.path) is None:
            yield Complaint("layers", source.path, 1, "lies in no room of layers.txt")
            continue
        for include in source.includes:
            if include.ours:
                problem = check_arrow(layers, tree, source, include)
            else:
                problem = check_library(layers, source, include)
            if problem:
                yield Complaint("layers", source.path, include.line, problem)


def rule_include_order(tree, _):
    """x.cpp includes x.h first; then the system's and the libraries' headers, then ours. Tests begin with what
    they test and are free below it."""
    for source in tree.cpp:
        includes = list(source.includes)
        own = source.path.rsplit(".", 1)[0] + ".h"
        if not source.is_header and own in tree.paths and includes:
            first = includes.pop(0)
            if first.name != own:
                yield Complaint("include-order", source.path, first.line, f'the first include should be "{own}"')
                continue
        if source.path.startswith("tests/"):
            continue
        begun = False
        for include in includes:
            begun = begun or include.ours
            if begun and not include.ours:
                yield Complaint("include-order", source.path, include.line,
                                f"<{include.name}> should stand above our own headers")
                break
