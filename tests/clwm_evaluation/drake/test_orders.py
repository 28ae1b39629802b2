"""Which trials are made in both simulators, what is kept of them, and how they are summed up."""

import json

import pytest

from clwm_evaluation.drake.orders import CONTROLS, EXPERT, POLICY, STILL, DrakeTrial, Ledger, Plan, TrialOrder
from clwm_evaluation.drake.summary import MOVING, page_tables, summary
from clwm_sim.registry import RegistryError

MADE_WITH = dict.fromkeys((EXPERT, POLICY, *CONTROLS), "Drake 1")


def trial(mover=EXPERT, kind="place", seed=0, drake="achieved", mujoco="achieved"):
    return DrakeTrial(TrialOrder(mover, "blocks", kind, seed), kind, mujoco, drake, 4.0, 4.1)


def test_a_plan_asks_for_every_goal_and_for_stillness_on_its_first_seeds_only():
    orders = Plan("blocks", 100, experts=STILL + 3, policy=4, controls=2).orders()
    assert len(set(orders)) == len(orders)
    counts = {(it.mover, it.kind): 0 for it in orders}
    for it in orders:
        counts[it.mover, it.kind] += 1
    assert counts[EXPERT, "place"] == STILL + 3 and counts[EXPERT, "keep_still"] == STILL
    assert counts[POLICY, "lift_tray"] == 4 and counts[POLICY, "place_block"] == 4
    assert all(counts[control, "lift_tray"] == 2 for control in CONTROLS)
    assert {it.seed for it in orders} == set(range(100, 103 + STILL))


def test_a_plan_that_is_interrupted_has_made_equal_shares_of_all():
    orders = Plan("blocks", 0, experts=10, policy=40, controls=20).orders()
    half = orders[: len(orders) // 2]
    moving = [it for it in half if it.mover == EXPERT and it.kind != "keep_still"]
    assert 9 <= len(moving) <= 11, "of 20"
    assert 38 <= sum(it.mover == POLICY for it in half) <= 42, "of 80"
    assert 18 <= sum(it.mover == "hold" for it in half) <= 22, "of 40"


def test_a_plan_for_a_scene_that_does_not_exist_is_refused():
    with pytest.raises(RegistryError, match="attic"):
        Plan("attic", 0, 1, 0, 0).orders()


def test_trials_that_are_kept_are_known_again_unless_they_were_made_with_something_else(tmp_path):
    ledger = Ledger(tmp_path / "out" / "drake.jsonl")
    assert ledger.read(MADE_WITH) == {}
    expert, policy = trial(), trial(POLICY, "lift_tray", 3, drake="lost")
    ledger.append(expert, MADE_WITH)
    ledger.append(policy, MADE_WITH)
    assert ledger.read(MADE_WITH) == {expert.order: expert, policy.order: policy}
    assert ledger.read(MADE_WITH | {POLICY: "another policy"}) == {expert.order: expert}
    assert ledger.read({EXPERT: "Drake 1"}) == {expert.order: expert}


def test_a_line_that_was_cut_short_is_made_again_and_spoils_no_other(tmp_path):
    path = tmp_path / "drake.jsonl"
    ledger = Ledger(path)
    ledger.append(trial(seed=1), MADE_WITH)
    with path.open("a") as file:
        file.write('{"order": {"mover": "exp')
    assert len(ledger.read(MADE_WITH)) == 1
    ledger.append(trial(seed=2), MADE_WITH)
    assert [order.seed for order in ledger.read(MADE_WITH)] == [1, 2]


def test_goals_that_keep_still_are_counted_apart_and_policies_by_what_moves_the_arms():
    experts = [trial(), trial(seed=1, drake="open"), trial(kind="keep_still")]
    policy = [trial(POLICY, "lift_tray"), trial("hold", "lift_tray", drake="open", mujoco="open")]
    report = summary(experts + policy)
    json.dumps(report, allow_nan=False)
    goals = {row["goal"]: row for row in report["goals"]}
    assert goals[MOVING]["trials"] == 2 and goals[MOVING]["drake"]["success_rate"] == 0.5
    assert goals["blocks place"]["pairs"]["only_other"] == 1
    assert [(row["mover"], row["goal"], row["drake"]["success_rate"]) for row in report["policy"]] == [
        (POLICY, "lift_tray", 1.0),
        (POLICY, "both", 1.0),
        ("hold", "lift_tray", 0.0),
        ("hold", "both", 0.0),
    ]
    assert report["trials"][1]["seed"] == 1 and report["trials"][1]["drake"] == "open"


def test_a_report_is_shown_goal_by_goal():
    pictures = {camera: {"share_far": 0.031} for camera in ("head", "left_wrist", "right_wrist")}
    alike = {"scene": "blocks", "mass_kg": 0.0, "axes": 8e-7, "pictures": pictures}
    made = [trial(seed=seed, drake="open" if seed == 9 else "achieved") for seed in range(10)]
    experts, policy, likeness = page_tables(summary([*made, trial(POLICY, "lift_tray")]) | {"likeness": [alike]})
    assert experts.rows[0] == ["blocks place", "10", "90 %", "60 to 98 %", "100 %", "72 to 100 %", "1 and 0"]
    assert policy.rows[0][:4] == ["by the policy", "lift_tray", "1", "100 %"]
    assert likeness.rows[0] == ["blocks", "0", "8e-07", "3.1 %", "3.1 %", "3.1 %"]
