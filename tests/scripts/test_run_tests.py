"""What the second try of failed tests does, and does not, let pass."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN_TESTS = Path(__file__).parents[2] / "scripts" / "run_tests.py"
FLAKY = """
from pathlib import Path

def test_fails_once():
    mark = Path(__file__).with_name("mark")
    is_second, _ = mark.exists(), mark.touch()
    assert is_second
"""


@pytest.fixture
def run(tmp_path):
    """Run the script, in a project of its own, on the text of a test file; returns exit status and output."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "run_tests.py").write_text(RUN_TESTS.read_text())

    def run(text):
        (tmp_path / "test_some.py").write_text(text)
        command = [sys.executable, str(tmp_path / "scripts" / "run_tests.py")]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
        return result.returncode, result.stdout

    return run


def test_what_fails_once_passes_and_is_named(run):
    status, said = run(FLAKY + "\ndef test_good():\n    pass\n")
    assert status == 0 and "Passed only when run again" in said and "test_some.py::test_fails_once" in said


def test_what_fails_twice_fails(run):
    status, said = run("def test_bad():\n    assert False\n")
    assert status == 1 and said.count("1 failed") == 3 and "Passed only" not in said


def test_four_failures_are_no_accident_and_are_not_run_again(run):
    status, said = run("".join(f"def test_{name}():\n    assert False\n" for name in "abcd"))
    assert status == 1 and "run once more" not in said


def test_a_file_that_cannot_be_read_is_an_error_at_once(run):
    status, said = run("import no_such_module_at_all\n")
    assert status == 2 and "run once more" not in said
