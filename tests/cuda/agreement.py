"""agreement.py --build DIR [--write]: how far the CUDA ops' results lie from the reference's, as the table of docs/cuda.md.

Runs agreement_test.cpp of the build's test_cuda, which prints the rows of the table and fails where ops lie too far apart.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "kernels/cuda"))
import doc_table  # noqa: E402

HEADER = ["| op | shape | results | values | equal, % | units apart | of the row's largest |", "|---|---|---|---|---|---|---|"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="puts the table into docs/cuda.md")
    arguments = parser.parse_args()
    program = arguments.build / "tests/cuda/test_cuda"
    done = subprocess.run([program, "--source-file=*/agreement_test.cpp"], check=False, text=True, stdout=subprocess.PIPE)
    rows = re.findall(r"MESSAGE: (\|.*\|)$", done.stdout, re.MULTILINE)
    text = "\n".join(HEADER + rows)
    print(text)
    if done.returncode != 0 or not rows:
        print("the test fails")
        return 1
    if arguments.write:
        doc_table.write("agreement", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
