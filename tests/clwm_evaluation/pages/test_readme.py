"""What the README says of the shipped policy follows the figures, whichever way they come out."""

import pytest

from clwm_evaluation.pages import readme

CONDITIONS = (
    "none",
    "other-task",
    "keep-still",
    "training-looks",
    "strong-looks",
    "random-colours",
    "cameras-off",
    "heavy",
    "no-memory",
)


@pytest.fixture
def sentences():
    """Of a report in which the visible task was done so often by condition, of 50."""
    return lambda **counts: " ".join("\n".join(readme.sentences(report(counts))).split())


def report(counts):
    def row(name):
        done = counts.get(name.replace("-", "_"), 49)
        return {
            "successes": done,
            "episodes": 50,
            "meaning": f"<{name}>",
            "wilson95": [done / 50 - 0.1, done / 50 + 0.02],
        }

    return {"by_condition": {name: row(name) for name in CONDITIONS}}


def test_a_policy_that_does_the_visible_task_whatever_it_is_told_is_said_not_to_listen(sentences):
    text = sentences(other_task=49, keep_still=48)
    assert "**not yet listen" in text
    assert "<other-task>, it does the visible task in 49 of 50; <keep-still>, in 48 of 50" in text


def test_one_that_only_obeys_one_of_two_orders_does_not_listen_either(sentences):
    assert "**not yet listen" in sentences(other_task=2, keep_still=48)


def test_a_policy_that_leaves_the_visible_task_alone_is_said_to_listen(sentences):
    assert "It listens to its instruction" in sentences(other_task=2, keep_still=0)


def test_a_memory_is_needed_only_where_its_loss_costs(sentences):
    assert "memory changes nothing" in sentences() and "needs its memory" in sentences(no_memory=20)


def test_every_condition_is_in_the_text(sentences):
    counts = {name.replace("-", "_"): 20 + place for place, name in enumerate(CONDITIONS)}
    text = sentences(**counts)
    assert all(f"{count} of 50" in text for count in counts.values())


def test_a_readme_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="lacks the lines"):
        readme.inserted("# A readme\n", ["| a |"], readme.HEADLINE)


def test_inserting_the_table_twice_changes_nothing_more():
    begin, end = readme.HEADLINE
    once = readme.inserted(f"before\n{begin}\n{end}\nafter\n", ["| a |"], readme.HEADLINE)
    assert readme.inserted(once, ["| a |"], readme.HEADLINE) == once
    assert once.startswith("before\n") and once.endswith("\nafter\n") and "| a |" in once
