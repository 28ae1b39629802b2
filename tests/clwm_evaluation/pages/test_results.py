"""docs/results.md has a table of every kept measurement, with the figures of its file."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clwm_bringup import cli
from clwm_evaluation.pages.results import PAGE, RESULTS, ResultsError, documents, page

ROOT = Path(__file__).parents[3]
REPORTS = {path.name: json.loads(path.read_text()) for path in sorted((ROOT / RESULTS).glob("*.json"))}


def test_documents_are_as_the_result_files_make_them():
    for path, text in documents(ROOT).items():
        assert (ROOT / path).read_text() == text, f"{path} is out of date; run: clwm results"


def test_a_measurement_becomes_a_table_with_a_link_to_its_file():
    rate = {"successes": 49, "episodes": 50, "wilson95": [0.895, 0.996]}
    apart = {"difference": -0.02, "difference95": [-0.1, 0.05], "mcnemar_exact_p": 3.6e-05}
    group = {"modes": {"sequential": rate, "adaptive": rate}, "differences": {"adaptive": apart}}
    machine = {"processor": "one", "cores": 2}
    report = {"measurement": "success", "by_task": {"all": group}, "machine": machine, "commit": "abc"}
    text = page({"success.json": report})
    assert "| all | adaptive | 49 / 50 | 89.5 to 99.6 % | -2.0 (-10.0 to +5.0) | 3.6e-05 |" in text
    assert "[success.json](../benchmarks/results/success.json)" in text


def test_a_report_that_another_release_wrote_is_refused_by_its_name_and_what_it_lacks():
    rows = [{"scene": "pot", "goal": "lift_pot", "expansion": "none"}]
    report = {"measurement": "experts", "table": rows, "machine": {}, "commit": "abc"}
    with pytest.raises(ResultsError, match="experts.json has no 'achieved': another release wrote it"):
        page({"experts.json": report})


def other(value):
    """The same report with other figures."""
    match value:
        case dict():
            return {name: other(one) for name, one in value.items()}
        case list():
            return [other(one) for one in value]
        case bool() | str() | None:
            return value
        case int():
            return value + 1
    return value * 1.37


@pytest.mark.parametrize("name", REPORTS)
def test_every_result_file_is_on_the_page_and_its_figures_are_too(name):
    assert f"[{name}](../benchmarks/results/{name})" in (ROOT / PAGE).read_text()
    changed = page({**REPORTS, name: other(REPORTS[name])})
    assert changed != page(REPORTS), "the page would say the same of other figures"


def test_a_result_file_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="odd.json: no table for such a report"):
        page({"odd.json": {"measurement": "horoscope", "machine": {}, "commit": "abc"}})


def test_a_folder_without_results_is_refused_and_nothing_written(tmp_path, monkeypatch):
    monkeypatch.setenv("CLWM_ROOT", str(tmp_path))
    done = CliRunner().invoke(cli.app, ["results"])
    assert done.exit_code == 2 and f"{tmp_path / RESULTS} is no folder" in done.output.replace("\n", "")
    assert not list(tmp_path.iterdir())
