"""Tables in docs/ that tests write: a table that shows anything but what was seen fails the test that saw it."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


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
