"""docs/results.md has a table of every kept measurement, with the figures of its file."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def summarise(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("summarise", BENCHMARKS / "summarise.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in ("measurement_tables", "executor_tables"):
        sys.modules.pop(name, None)


def test_a_measurement_becomes_a_table_with_a_link_to_its_file(summarise):
    rate = {"successes": 49, "episodes": 50, "wilson95": [0.895, 0.996]}
    apart = {"difference": -0.02, "difference95": [-0.1, 0.05], "mcnemar_exact_p": 3.6e-05}
    group = {"modes": {"sequential": rate, "adaptive": rate}, "differences": {"adaptive": apart}}
    machine = {"processor": "one", "cores": 2}
    report = {"measurement": "success", "by_task": {"all": group}, "machine": machine, "commit": "abc"}
    text = summarise.page({"success.json": report})
    assert "| all | adaptive | 49 / 50 | 89.5 to 99.6 % | -2.0 (-10.0 to +5.0) | 3.6e-05 |" in text
    assert "[success.json](../benchmarks/results/success.json)" in text


RESULTS = {path.name: json.loads(path.read_text()) for path in sorted((BENCHMARKS / "results").glob("*.json"))}


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


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_file_is_on_the_page_and_its_figures_are_too(summarise, name):
    assert f"[{name}](../benchmarks/results/{name})" in summarise.PAGE.read_text()
    changed = summarise.page({**RESULTS, name: other(RESULTS[name])})
    assert changed != summarise.page(RESULTS), "the page would say the same of other figures"


def test_a_result_file_of_an_unknown_kind_is_refused(summarise):
    with pytest.raises(ValueError, match="odd.json: no table for such a report"):
        summarise.page({"odd.json": {"measurement": "horoscope", "machine": {}, "commit": "abc"}})
