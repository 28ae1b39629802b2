"""`clwm eval --suite`: a policy under every condition of a suite, beside its controls; a table, a file, a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from clwm_common.files.policy_document import read_policy_document
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.episodes.choices import GoalChoice, parse_choices
from clwm_evaluation.report import Rows, percent, provenance, write_json
from clwm_evaluation.success_rates.evaluation import EvaluationSettings, check_settings
from clwm_evaluation.suites.conditions import SUITES, asks_for
from clwm_evaluation.suites.episodes import Job, Ledger, Outcome, Pictures, SuiteError, jobs_of, running
from clwm_evaluation.suites.page import Section, write_page
from clwm_evaluation.suites.sentences import taught_goals
from clwm_evaluation.suites.summary import failures, page_tables, summary
from clwm_sim.registry import RegistryError

LATENCY = "30"  # ms
SAI = "sequential"


def run_suite(
    console: PlainConsole, suite: str, goals: str | None, settings: EvaluationSettings, out: Path | None
) -> None:
    """Run what is missing of a suite, then write the report `out` (.json) and the page beside it.

    goals: as `clwm train-policy` takes them; by default those that the policy was trained for. Episodes that are done
    are kept beside the report, with pictures of the failures: an interrupted suite goes on where it was.
    Raises EvaluationError or SuiteError.
    """
    out = out or Path("out/suites") / f"{suite}.json"
    asked = _asked(suite, goals, settings)
    scene, _, kind = str(asked[0]).partition("/")
    hashes = check_settings(replace(settings, task=kind if scene == "table" else scene))
    made_with = {
        **hashes,
        "sai": settings.sai,
        "latency": settings.latency,
        "steps": f"{settings.video_steps} + {settings.action_steps}",
    }
    jobs = jobs_of(suite, asked, settings.seeds)
    ledger, pictures = Ledger(out.with_suffix(".jsonl"), made_with), out.with_suffix("")
    outcomes = ledger.read()
    missing = [job for job in jobs if job not in outcomes]
    if len(missing) < len(jobs):
        console.print(f"{len(jobs) - len(missing)} of {len(jobs)} episodes are done already", highlight=False)
    is_stopped = False
    try:
        with progress(console, suite, len(missing)) as advance, running(suite, settings) as results:
            for job, (outcome, seen) in results(missing):
                _keep(pictures, job, outcome, seen)
                ledger.append(job, outcome)
                outcomes[job] = outcome
                advance(1, f"{job.goal} seed {job.seed} {job.condition} {job.mover}: {outcome.reason or 'done'}")
    except KeyboardInterrupt:
        is_stopped = True
        console.print("stopped; the same command goes on from here")
    done = {job: outcomes[job] for job in jobs if job in outcomes}
    if done:
        _report(console, suite, settings, done, made_with, out, pictures)
    if is_stopped:
        raise typer.Exit(130)


def _asked(suite: str, goals: str | None, settings: EvaluationSettings) -> tuple[GoalChoice, ...]:
    if suite not in SUITES:
        raise SuiteError(f"suite '{suite}' does not exist; expected one of {', '.join(SUITES)}")
    if settings.latency == "measured":
        raise SuiteError("a suite compares the same seeds, so that its latency is fixed; give --latency in ms")
    inputs = read_policy_document(settings.policy.with_suffix(".json")).inputs
    try:
        wanted = taught_goals(inputs) if goals is None else parse_choices(goals)
    except RegistryError as error:
        raise SuiteError(str(error)) from None
    found = tuple(choice for choice in wanted if asks_for(suite, choice.kind))
    if not found:
        known = ", ".join(inputs.sentences)
        raise SuiteError(
            f"suite '{suite}' asks for nothing that {settings.policy} was trained for ({known}); "
            "give another --policy, or name --goals of the suite, such as cue/recall_side"
        )
    return found


def _keep(folder: Path, job: Job, outcome: Outcome, seen: Pictures) -> None:
    strip = None if outcome.succeeded else seen.strip
    for picture, path in ((seen.first, _first(folder, job)), (strip, _strip(folder, job))):
        if picture is not None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture)


def _first(folder: Path, job: Job) -> Path:
    return folder / f"{job.condition}_{job.goal.replace('/', '_')}_first.jpg"


def _strip(folder: Path, job: Job) -> Path:
    return folder / f"{job.condition}_{job.goal.replace('/', '_')}_{job.mover}_{job.seed}.jpg"


def _report(
    console: PlainConsole,
    suite: str,
    settings: EvaluationSettings,
    outcomes: Mapping[Job, Outcome],
    made_with: dict[str, Any],
    out: Path,
    pictures: Path,
) -> None:
    conditions = summary(suite, outcomes)
    report = {
        "suite": suite,
        "policy": settings.policy.name,
        "goals": list(dict.fromkeys(job.goal for job in outcomes)),
        "seeds": len({job.seed for job in outcomes}),
        "made_with": made_with,
        "conditions": conditions,
    } | provenance(f"suite {suite}", settings.first_seed)
    (rows,) = page_tables(report)
    title = f"suite {suite}: {settings.policy.parent.name}/{settings.policy.name}"
    console.print(rows.table(title, left=2))
    write_json(console, report, out)
    page = out.with_suffix(".html")
    sections = [_section(name, entry, outcomes, pictures) for name, entry in conditions.items()]
    write_page(page, title, rows, sections, made_with)
    console.print(f"page: {page}", soft_wrap=True, highlight=False)


def _section(name: str, entry: Mapping[str, Any], outcomes: Mapping[Job, Outcome], pictures: Path) -> Section:
    rows = [
        [
            goal,
            mover,
            f"{found['successes']} / {found['episodes']}",
            percent(found["wilson95"], 0),
            ", ".join(f"{count} {reason}" for reason, count in found["reasons"].items()),
        ]
        for mover, row in entry["by_mover"].items()
        for goal, found in row["goals"].items()
    ]
    shown = {job.goal: job for job in outcomes if job.condition == name}
    files = [(f"{goal}: what the head camera sees first", _first(pictures, job)) for goal, job in shown.items()]
    for mover in entry["by_mover"]:
        for job, out in failures(outcomes, name, mover):
            caption = f"{mover}, {job.goal}, seed {job.seed}, told “{out.told}”: {out.reason} after {out.seconds:.1f} s"
            files.append((caption, _strip(pictures, job)))
    return Section(name, entry["meaning"], Rows(["goal", "mover", "done", "Wilson 95 %", "failed"], rows), files)
