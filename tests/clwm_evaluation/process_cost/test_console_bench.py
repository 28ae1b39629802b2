"""What the console costs is held against its goals, with a page and without."""

from clwm_evaluation.process_cost.console import GOALS, page_tables, summarise


def test_each_way_to_be_looked_at_is_judged_by_its_own_goal():
    found = {who: {"processor_share": 0.1, "memory_mb": 120.0} for who in GOALS}
    report = summarise(found)
    assert {who: row["meets_goal"] for who, row in report["watched_by"].items()} == {"nobody": False, "one page": True}
    assert page_tables(report)[0].rows[1] == ["one page", "10.0%", "25%", "120 MB"]
