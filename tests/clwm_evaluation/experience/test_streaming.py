"""What `clwm bench streaming` compares, and how it says so."""

import matplotlib.pyplot as plt
import pytest

from clwm_evaluation.experience.streaming import Contestant, against_first, draw_streaming, page_tables
from clwm_evaluation.statistics import wilson95


def contestant(name, outcomes, **others):
    low, high = wilson95(sum(outcomes), len(outcomes))
    return {
        "name": name,
        "episodes": 32,
        "reuse": 8.0,
        "observations": 900,
        "validation": {"eef_mm": 12.3},
        "trials": len(outcomes),
        "successes": {"lift_tray": sum(outcomes)},
        "success_rate": sum(outcomes) / len(outcomes),
        "wilson95": [low, high],
        "outcomes": outcomes,
        "curve": [{"step": 10, "eef_mm": 20.0}, {"step": 20, "eef_mm": 12.3}],
    } | others


@pytest.fixture
def report():
    found = [
        contestant("static", [True] * 4 + [False] * 6),
        contestant("reuse:3", [True] * 3 + [False] + [True] * 6, episodes=800, reuse=2.9),
    ]
    return {"steps": 20, "contestants": found, "against_first": against_first(found)}


def test_gains_are_paired_by_seed(report):
    gain = report["against_first"]["reuse:3"]
    assert (gain["both"], gain["only_this"], gain["only_other"], gain["neither"]) == (3, 6, 1, 0)
    assert gain["difference"] == pytest.approx(0.5)
    assert gain["mcnemar_exact_p"] == pytest.approx(2 * (1 + 7) / 2**7)
    assert "static" not in report["against_first"]


def test_the_table_and_the_plot_show_every_training(report):
    assert len(page_tables(report)[0].rows) == 2
    figure = draw_streaming(report)
    lines, bars = figure.axes[0].get_lines(), figure.axes[1].patches
    assert [line.get_label() for line in lines] == ["static", "reuse:3"]
    assert [bar.get_height() for bar in bars] == [40.0, 90.0]
    plt.close(figure)


@pytest.mark.parametrize(("text", "reuse"), [("static", None), ("reuse:1", 1), ("reuse:213", 213)])
def test_contestants_are_parsed(text, reuse):
    assert Contestant.parse(text) == Contestant(text, reuse)


@pytest.mark.parametrize("text", ["", "statics", "reuse", "reuse:", "reuse:0", "reuse:-3", "reuse:2.5"])
def test_other_contestants_are_refused_with_what_is_expected(text):
    with pytest.raises(ValueError, match="expected static or reuse:<walks>"):
        Contestant.parse(text)
