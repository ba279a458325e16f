"""What tests have to do with docs/: tables that they write, and commands that they read.

A table that shows anything but what was seen fails the test that saw it.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def show(document, section, heads, rows):
    """Hold a table of a document to what was seen; where it differs, write it anew and fail.

    Args:
        document: name of a file in docs/.
        section: what stands in the marks around the table, `<!-- section:begin -->` and `<!-- section:end -->`.
        heads: of the columns.
        rows: of texts.
    """
    path = DOCS / document
    begin, end = f"<!-- {section}:begin -->\n", f"<!-- {section}:end -->"
    lines = [heads, ["---"] * len(heads), *rows]
    table = "".join(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |\n" for line in lines)
    written = path.read_text(encoding="utf-8")
    shown = re.sub(f"{begin}.*{end}", lambda _: begin + table + end, written, flags=re.DOTALL)
    assert table in shown, f"{path} has lost the marks of {section}"
    if shown != written:
        path.write_text(shown, encoding="utf-8")
        pytest.fail(f"{path} did not show what was seen, so it was written anew: look at it and commit it.")


def show_seen(document, section, heads, seen, wanted):
    """Do so with the rows that were seen, in the order of those that are wanted; skip where some were not tried."""
    if missing := [what for what in wanted if what not in seen]:
        pytest.skip(f"{len(missing)} rows of {section} were not tried, or their cases failed")
    show(document, section, heads, [seen[what] for what in wanted])


def shell(path):
    """Yield (heading, text) of each block for the shell in a document, and of each whole `aws` command in its prose."""
    heading = ""
    for found in re.finditer(
        r"^#+ (?P<heading>[^\n]+)$|^```(?P<kind>\w*)\n(?P<block>.*?)^```$|`(?P<prose>aws [a-z0-9]+ [a-z-]+ --[^`]+)`",
        path.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    ):
        heading = found["heading"] or heading
        if found["kind"] == "sh" or found["prose"]:
            yield heading, found["block"] or f"{found['prose']}\n"
