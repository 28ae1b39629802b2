"""An interrupted `clwm chaos --all` goes on where it was, and never mixes two runs."""

import json
from collections import Counter

import pytest

from clwm_chaos.faults.faults import FAULTS
from clwm_chaos.faults.plan import Journal, JournalError, plan, saved_seed
from clwm_chaos.faults.verdict import Injection

RUN = {"seed": 5, "repeat": 2, "commit": "abc"}


def injection(fault="camera late", number=0, violations=()):
    return Injection(
        fault, number, "lift_tray", 1, "rests", "when it began", 0.1, 0.01, 0.3, 0.5, 0.6, 0.01, 4.2, 0, violations
    )


def test_every_fault_is_planned_as_often_as_asked_in_an_order_of_the_seed():
    planned = plan(list(FAULTS), 3, 7)
    assert Counter(item.fault for item in planned) == dict.fromkeys(FAULTS, 3)
    assert len({item.seed for item in planned}) == len(planned)
    assert planned == plan(list(FAULTS), 3, 7)
    assert planned != plan(list(FAULTS), 3, 8)


def test_a_journal_is_read_back_and_what_is_done_is_not_planned_again(tmp_path):
    path, planned = tmp_path / "chaos.jsonl", plan(["camera late", "chunk late"], 2, 5)
    Journal(path, RUN, Injection.from_dict).append(injection(violations=("a reason",)))
    journal = Journal(path, RUN, Injection.from_dict)
    assert journal.done == [injection(violations=("a reason",))]
    left = journal.left(planned)
    assert len(left) == 3 and ("camera late", 0) not in {(item.fault, item.number) for item in left}
    assert saved_seed(path) == 5


def test_a_line_that_was_cut_short_is_done_again(tmp_path):
    path = tmp_path / "chaos.jsonl"
    Journal(path, RUN, Injection.from_dict).append(injection())
    with path.open("a") as file:
        file.write(json.dumps(injection(number=1).as_dict())[:40])
    journal = Journal(path, RUN, Injection.from_dict)
    journal.append(injection(number=2))
    assert [item.number for item in Journal(path, RUN, Injection.from_dict).done] == [0, 2]


def test_a_journal_of_another_run_is_refused_with_what_differs(tmp_path):
    Journal(tmp_path / "chaos.jsonl", RUN, Injection.from_dict)
    with pytest.raises(JournalError, match="begun with commit abc, not def; repeat that, or move the file away"):
        Journal(tmp_path / "chaos.jsonl", {**RUN, "commit": "def"}, Injection.from_dict)


def test_a_file_that_is_no_journal_is_left_alone(tmp_path):
    path = tmp_path / "chaos.jsonl"
    path.write_text("something else\n")
    with pytest.raises(JournalError, match="is not a journal"):
        Journal(path, RUN, Injection.from_dict)
    assert path.read_text() == "something else\n"
    assert saved_seed(path) is None and saved_seed(tmp_path / "missing") is None
