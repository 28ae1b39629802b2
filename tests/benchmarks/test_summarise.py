"""The documents say what the result files say."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmarks(monkeypatch):
    """Imports a module of benchmarks/, which is a folder of scripts and no package."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module
    for name in ("summarise", "headline", "measurement_tables", "executor_tables"):
        sys.modules.pop(name, None)


def test_documents_are_as_the_result_files_make_them(benchmarks):
    for path, text in benchmarks("summarise").documents().items():
        assert path.read_text() == text, f"{path.name} is out of date; run: python benchmarks/summarise.py"


def test_a_readme_without_its_marks_is_refused(benchmarks):
    with pytest.raises(ValueError, match="lacks the lines"):
        benchmarks("headline").inserted("# A readme\n", ["| a |"])


def test_inserting_the_table_twice_changes_nothing_more(benchmarks):
    headline = benchmarks("headline")
    once = headline.inserted(f"before\n{headline.BEGIN}\n{headline.END}\nafter\n", ["| a |"])
    assert headline.inserted(once, ["| a |"]) == once
    assert once.startswith("before\n") and once.endswith("\nafter\n") and "| a |" in once
