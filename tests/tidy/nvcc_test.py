"""Which nvcc a build takes (kernels/cuda/find_nvcc.cmake), with programs that play one; when ./millrace configures anew."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MODULE = ROOT / "kernels/cuda/find_nvcc.cmake"
SYSTEM = "/usr/bin:/bin"


class Room(unittest.TestCase):
    """A machine with toolkits in a temporary directory."""

    def setUp(self):
        keeper = tempfile.TemporaryDirectory()
        self.addCleanup(keeper.cleanup)
        self.room = Path(keeper.name)

    def toolkit(self, name, version, compiles=True):
        """A toolkit's directory, with an nvcc that is of this version."""
        program = self.room / name / "bin/nvcc"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'Cuda compilation tools, release "
                           f"{version}, V{version}.1'; exit 0; fi\n" + ("exit 0\n" if compiles else "echo no headers >&2\nexit 1\n"))
        program.chmod(0o755)
        return self.room / name


class FindNvccTest(Room):
    def find(self, wanted="AUTO", cuda_path="", path="", usual=None):
        """(exit code, the nvcc that was chosen as a path below the room, all that was said)"""
        environment = {"PATH": f"{path}:{SYSTEM}" if path else SYSTEM, "CUDA_PATH": str(cuda_path)}
        done = subprocess.run(["cmake", f"-DMILLRACE_CUDA={wanted}", f"-DMILLRACE_CUDA_USUAL={usual or self.room / 'none'}",
                               "-P", MODULE], cwd=self.room, env=environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        chosen = next((line[8:].strip() for line in done.stdout.splitlines() if line.startswith("chosen:")), None)
        if chosen:
            chosen = str(Path(chosen).relative_to(self.room))
        return done.returncode, chosen, " ".join(done.stdout.split())

    def test_without_a_toolkit_auto_builds_none_and_on_fails_with_a_sentence(self):
        code, chosen, said = self.find()
        self.assertEqual((code, chosen), (0, ""))
        self.assertIn("CUDA kernels: none", said)
        code, chosen, said = self.find("ON")
        self.assertEqual((code, chosen), (1, None))
        self.assertIn("MILLRACE_CUDA is ON and there is no nvcc of CUDA 13 or newer: none is in CUDA_PATH, in the PATH or in "
                      "/usr/local/cuda", said)

    def test_cuda_path_goes_before_the_path_and_that_before_the_usual_place(self):
        named, found, usual = self.toolkit("named", "13.0"), self.toolkit("a path", "13.1"), self.toolkit("usual", "14.0")
        self.assertEqual(self.find("AUTO", named, found / "bin", usual)[1], "named/bin/nvcc")
        self.assertEqual(self.find("ON", "", found / "bin", usual)[1], "a path/bin/nvcc")
        self.assertEqual(self.find("auto", "", "", usual)[1], "usual/bin/nvcc")
        self.assertEqual(self.find("OFF", named, found / "bin", usual)[1], "")

    def test_an_older_one_is_told_and_passed_over(self):
        old, usual = self.toolkit("old", "12.9"), self.toolkit("usual", "13.0")
        _, chosen, said = self.find("AUTO", "", old / "bin", usual)
        self.assertEqual(chosen, "usual/bin/nvcc")
        self.assertIn("old/bin/nvcc is of CUDA 12.9, and 13 or newer is needed", said)
        self.assertEqual(self.find("AUTO", "", old / "bin")[:2], (0, ""))
        code, _, said = self.find("ON", "", old / "bin")
        self.assertEqual(code, 1)
        self.assertIn("is of CUDA 12.9", said)

    def test_half_a_toolkit_is_told_and_breaks_nothing(self):
        half = self.toolkit("half", "13.0", compiles=False)
        code, chosen, said = self.find("AUTO", half)
        self.assertEqual((code, chosen), (0, ""))
        self.assertIn("compiles no program here (no headers)", said)
        (half / "bin/nvcc").write_text("not a program")
        code, chosen, said = self.find("AUTO", half)
        self.assertEqual((code, chosen), (0, ""))
        self.assertIn("does not say its version", said)

    def test_another_word_is_refused(self):
        code, _, said = self.find("YES")
        self.assertEqual(code, 1)
        self.assertIn("it can be AUTO", said)


class ConfiguredAnewTest(Room):
    def nvccs(self, **environment):
        script = f"set -u; root={ROOT}; source {ROOT}/.ci/setup.sh; nvccs_here"
        return subprocess.run(["bash", "-c", script], env={"PATH": SYSTEM, **environment}, text=True, check=True,
                              stdout=subprocess.PIPE).stdout.splitlines()

    def test_toolkits_are_known_by_where_their_links_lead(self):
        before = self.nvccs()
        one, other = self.toolkit("cuda 1", "13.0"), self.toolkit("cuda 2", "13.1")
        link = self.room / "cuda"
        link.symlink_to(one)
        self.assertEqual(self.nvccs(CUDA_PATH=str(link)), [str(one / "bin/nvcc"), *before])
        link.unlink()
        link.symlink_to(other)
        self.assertEqual(self.nvccs(CUDA_PATH=str(link)), [str(other / "bin/nvcc"), *before])
        self.assertEqual(self.nvccs(PATH=f"{link}/bin:{SYSTEM}"), [str(other / "bin/nvcc"), *before])
        self.assertEqual(self.nvccs(CUDA_PATH=str(self.room)), before)


if __name__ == "__main__":
    unittest.main()
