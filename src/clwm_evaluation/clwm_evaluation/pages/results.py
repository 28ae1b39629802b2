"""`clwm results`: docs/results.md and the README's figures, from benchmarks/results/*.json: none is typed by hand."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from clwm_common.files.model_files import project_root
from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.commands import MEASUREMENTS
from clwm_evaluation.pages import readme, stack_tables
from clwm_evaluation.pages.stack_tables import link
from clwm_evaluation.report import Rows, refuse

RESULTS = Path("benchmarks/results")
PAGE = Path("docs/results.md")
README = Path("README.md")
# A measurement has `page_tables` in its module.
TITLES = {
    "latency": "Blocking latency, modes side by side in real time (`clwm bench latency`)",
    "surprise": "An object moved by 3 cm while a chunk executes (`clwm bench surprise`)",
    "speculation": "Coverage of the stated deviation (`clwm bench speculation`)",
    "success": "Success on the same seeds (`clwm bench success`)",
    "controls": "The visible task done, with one thing changed at a time (`clwm bench controls`)",
    "sentences": "Unknown sentences told from known ones that are worded anew (`clwm bench sentences`)",
    "estimate": "The policy's own estimate that it is done (`clwm bench estimate`)",
    "suite goals": "Every goal that was taught (`clwm eval --suite goals`)",
    "suite instructions": "Told otherwise (`clwm eval --suite instructions`)",
    "suite looks": "Shown otherwise (`clwm eval --suite looks`)",
    "suite physics": "Other masses, friction and delay (`clwm eval --suite physics`)",
    "suite memory": "A cue some time ago (`clwm eval --suite memory`)",
    "delay": "Success against an injected delay (`clwm bench delay`)",
    "streaming": "Trainings of the same length, on recorded and on streamed episodes (`clwm bench streaming`)",
    "interventions": "A policy corrected where it fails (`clwm bench interventions`)",
    "export": "Episodes as a LeRobot data set, and back (`clwm bench export`)",
    "libfranka": "The policy through libfranka's protocol, and the same seeds without it (`clwm bench libfranka`)",
    "drake": "Experts and the policy in another simulator, from the same starts (`clwm bench drake`)",
    "two_arm_lift": "robosuite's TwoArmLift, zero-shot (`clwm bench two-arm-lift`)",
    "limits": "Commands to an arm by libfranka before franka-sim, which enforces limits (`clwm bench limits`)",
    "stream": "Fresh experience from two workers, and workers lost one by one (`clwm bench stream`)",
    "waiting": "How long a training waits for what is simulated meanwhile (`clwm bench waiting`)",
    "memory": "Right choices after a delay, chance 50 % (`clwm bench memory`)",
    "chaos": "Faults on the real stack (`clwm chaos --all`)",
    "libfranka_faults": "Faults of arms and hands by libfranka (`clwm chaos --all --robot dual_fr3_libfranka`)",
    "fuzzer": "The executor under a virtual clock (`clwm chaos --virtual`)",
    "experts": "Scripted experts, without and with domain expansion (`clwm data check`)",
    "reachability": "Ways in which hands come to what they take, in initial states (`clwm data coverage`)",
    "soak": "Continuous operation in real time (`clwm soak`)",
    "seam": "Velocity jumps where chunks follow one another (`clwm bench seam`)",
    "executor": "The executor's process (`clwm bench executor`)",
    "cameras": "Cameras (`clwm bench cameras`)",
    "recorder": "Recording (`clwm bench recorder`)",
    "console": "The operator's console (`clwm bench console`)",
    "console_hold": "HOLD on the operator's page, its live connection blocked (`scripts/console_hold.py`)",
    "foxglove": "The stack in Foxglove (`clwm bench foxglove`)",
    "overhead": "The engine around the model's calls (`clwm bench overhead`)",
}
# Reports of `clwm chaos` and `clwm soak` are told by what only they have.
KNOWN_BY = {
    "faults": "chaos",
    "libfranka_faults": "libfranka_faults",
    "stale_epoch_rows": "fuzzer",
    "misses_without_diagnostic": "soak",
}
STACK_TABLES = {
    "chaos": stack_tables.chaos,
    "libfranka_faults": stack_tables.libfranka_faults,
    "fuzzer": stack_tables.fuzzer,
    "soak": stack_tables.soak,
    "console_hold": stack_tables.console_hold,
    "experts": stack_tables.experts,
    "reachability": stack_tables.reachability,
}


class ResultsError(ValueError):
    """Results that cannot be written of; the message says which, or where they were expected."""


def results() -> None:
    """Write docs/results.md and the README's figures from the files in benchmarks/results."""
    console, root = PlainConsole(), project_root()
    if not (root / RESULTS).is_dir():
        refuse(
            console,
            ResultsError(f"{root / RESULTS} is no folder; call it in a checkout of the project, or set CLWM_ROOT"),
        )
    try:
        written = documents(root)
    except ResultsError as error:
        refuse(console, error)
    for path, text in written.items():
        (root / path).write_text(text)
        console.print(path, highlight=False)


def documents(root: Path) -> dict[Path, str]:
    """What the documents of the project in `root` should hold, from its result files as they are."""
    reports = {path.name: json.loads(path.read_text()) for path in sorted((root / RESULTS).glob("*.json"))}
    about = readme.sentences(reports["controls.json"])
    headed = readme.inserted((root / README).read_text(), readme.headline(reports).markdown(), readme.HEADLINE)
    return {PAGE: page(reports), README: readme.inserted(headed, about, readme.SHIPPED_POLICY)}


def page(reports: dict[str, dict[str, Any]]) -> str:
    """The whole page from the reports by file name.

    Raises ValueError for a report that it would leave out, ResultsError for one of another release.
    """
    lines = [
        "# Results",
        "",
        "Written by `clwm results` from the files in `benchmarks/results/`.",
        "",
    ]
    for name, report in reports.items():
        kind = kind_of(report)
        if kind in TITLES:
            lines += [f"## {TITLES[kind]}{', '.join(['', *_of(kind, report)])}", ""]
            try:
                found = tables(kind, report)
            except KeyError as error:
                raise ResultsError(f"{name} has no {error}: another release wrote it; measure it again") from error
            for rows in found:
                lines += [*rows.markdown(), ""]
            lines += [_source(name, report), ""]
    evaluations = [(name, report) for name, report in reports.items() if "wilson95" in report and "control" in report]
    if evaluations:
        lines += ["## Success under a virtual clock (`clwm eval`)", ""]
        lines += [*stack_tables.evaluations(evaluations).markdown(), ""]
        lines += ["Machine and commit of each run are in its file.", ""]
    demos = [(name, report) for name, report in reports.items() if "seconds_to_come_up" in report]
    if demos:
        lines += ["## The demo: four processes over DDS, in real time (`clwm demo`)", ""]
        lines += [*stack_tables.demos(demos).markdown(), "", f"Machine: {_provenance(demos[0][1])}.", ""]
    if probe := reports.get("encoder_probe.json"):
        lines += ["## Encoder probe gate", "", *stack_tables.encoder_probe(probe).markdown(), ""]
        lines += [_source("encoder_probe.json", probe), ""]
    if families := reports.get("encoder_families.json"):
        lines += ["## Members of the encoder's family", "", *stack_tables.encoder_families(families).markdown(), ""]
        lines += [_source("encoder_families.json", families), ""]
    if speed := reports.get("sim_realtime.json"):
        lines += ["## Speed of the simulation", ""]
        lines.append(
            f"Physics, controllers and {speed['pictures_per_simulated_second']:.0f} pictures a second of "
            f"{speed['image_size']} x {speed['image_size']} on {speed['machine']['cores']} core: "
            f"{speed['real_time_factor_of_cpu']:.1f} times real time by processor time."
        )
        lines += ["", _source("sim_realtime.json", speed), ""]
    text = "\n".join(lines)
    if left_out := [name for name in reports if link(name) not in text]:
        raise ValueError(f"{', '.join(left_out)}: no table for such a report; add one to clwm_evaluation/pages")
    return text


def _of(kind: str, report: dict[str, Any]) -> list[str]:
    """What a report's title names besides its kind, where one of a kind is not like another."""
    if kind.startswith("suite "):
        return [f"policy {report['made_with']['policy_hash'][:12]}"]
    if "backends" in report:
        return [report["backends"][0]]
    return [report["robot"]] if kind == "fuzzer" else []


def kind_of(report: dict[str, Any]) -> str | None:
    """What a report is of; None for one without a table."""
    return report.get("measurement") or next((kind for key, kind in KNOWN_BY.items() if key in report), None)


def tables(kind: str, report: dict[str, Any]) -> list[Rows]:
    """Those of the page about a report of this kind, a key of TITLES."""
    if kind in STACK_TABLES:
        return STACK_TABLES[kind](report)
    if kind.startswith("suite "):
        return importlib.import_module("clwm_evaluation.suites.summary").page_tables(report)
    # A measurement is imported only when there is a report of it.
    return importlib.import_module(MEASUREMENTS[kind.replace("_", "-")].module).page_tables(report)


def _source(name: str, report: dict[str, Any]) -> str:
    return f"File: {link(name)}. Machine: {_provenance(report)}."


def _provenance(report: dict[str, Any]) -> str:
    machine = report["machine"]
    return f"{machine['processor']}, {machine['cores']} cores, commit {report['commit'][:12]}"
