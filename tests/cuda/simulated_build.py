"""How the build compiles the CUDA kernels for the simulator and links test_cuda; to do the same with something changed."""

import json
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
KERNELS = "kernels/cuda"


class Build:
    def __init__(self, directory):
        self.directory = directory
        entries = json.loads((directory / "compile_commands.json").read_text())
        self.commands = {Path(e["file"]).name: e for e in entries
                         if e["file"].endswith(".cu") and "fsanitize=thread" in e["command"]}
        found = subprocess.run(["ninja", "-C", str(directory), "-t", "commands", "test_cuda"], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines()
        self.link_command = found[-1]

    def object_of(self, unit):
        words = shlex.split(self.commands[unit]["command"])
        return words[words.index("-o") + 1]

    def compile(self, unit, target, source=None, include=None, options=()):
        """Whether the .cu, or the source in its place, compiles; `include` goes before all other folders."""
        entry = self.commands[unit]
        replaced = {self.object_of(unit): str(target), entry["file"]: str(source or entry["file"])}
        command = [replaced.get(word, word) for word in shlex.split(entry["command"])]
        command[command.index("-c"):command.index("-c")] = options
        if include is not None:
            command.insert(next(i for i, word in enumerate(command) if word.startswith("-I")), f"-I{include}")
        return subprocess.run(command, cwd=entry["directory"], check=False).returncode == 0

    def link(self, program, objects, options=""):
        """The program with the objects of some units, {unit: path}, in the place of the build's."""
        link = self.link_command
        output = shlex.split(link)
        link = link.replace(f" -o {output[output.index('-o') + 1]} ", f" {options} -o {program} ")
        for unit, path in objects.items():
            link = link.replace(self.object_of(unit), str(path))
        subprocess.run(link, cwd=self.directory, shell=True, check=True)
