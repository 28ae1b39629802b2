"""docs/troubleshooting.md quotes what is printed: every text in its first column is in the sources."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SYMPTOMS = [line.split(" | ")[0].strip("| ") for line in PAGE.splitlines() if re.match(r"\| (?!---|symptom)", line)]
LONG_ENOUGH = 5  # characters of a quoted piece that say something


def texts_of(tree):
    """Constant texts of a Python file; of an f-string its constant parts with an ellipsis for each value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def printed():
    files = [path for folder in ("src", "scripts") for path in (ROOT / folder).rglob("*.py")]
    texts = [text for file in files for text in texts_of(ast.parse(file.read_text()))]
    return "\n".join([*texts, (ROOT / "clwm").read_text(), (ROOT / "Makefile").read_text()])


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_a_quoted_text_is_printed_by_the_project(symptom, printed):
    pieces = [piece for quote in re.findall(r"`([^`]+)`", symptom) for piece in quote.split("...")]
    missing = [piece for piece in pieces if len(piece.strip()) >= LONG_ENOUGH and piece.strip() not in printed]
    assert not missing, "say it as it is printed now"


def test_every_row_has_a_cause_and_a_remedy():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    assert len(SYMPTOMS) == len(set(SYMPTOMS)) > 50
    assert all(line.count(" | ") == 2 and "|  |" not in line for line in rows)
