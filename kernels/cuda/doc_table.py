"""Tables of docs/cuda.md that scripts write, each between <!-- name --> and <!-- end of name -->."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def write(name, text):
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    page = ROOT / "docs/cuda.md"
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")
