"""Write docs/results.md and the README's figures from benchmarks/results/*.json: no figure is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import executor_tables
import headline
import measurement_tables
import shipped_policy
from executor_tables import kind_of

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "results.md"
README = ROOT / "README.md"
TABLES = measurement_tables.TABLES | executor_tables.TABLES
TITLES = measurement_tables.TITLES | executor_tables.TITLES


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table."""
    header = list(header)
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *map(list, rows))]


def evaluation_rows(reports: Iterable[tuple[str, dict[str, Any]]]) -> list[list[str]]:
    """One row per `clwm eval` report, sorted by task, control and re-entry policy."""
    rows = []
    for name, report in sorted(reports, key=lambda item: (item[1]["task"], item[1]["control"], item[1]["sai"])):
        low, high = report["wilson95"]
        rows.append(
            [
                report["task"],
                report["control"],
                report["sai"] if report["control"] in ("policy", "noise") else "",
                str(report["latency"]),
                f"{report['successes']} / {report['episodes']}",
                f"{100 * low:.0f} to {100 * high:.0f} %",
                _milliseconds(report["blocking_ms"]),
                _share(report["idle_fraction"]),
                f"{report['stalls']} / {report['chunks']}",
                _pair(report["surrogate_error"], report["copy_error"]),
                _link(name),
            ]
        )
    return rows


def demo_rows(reports: dict[str, dict[str, Any]]) -> list[list[str]]:
    """One row per `report.json` of a demo, over all its episodes."""
    rows = []
    for name, report in reports.items():
        whole = report["all"]
        rows.append(
            [
                report["sai"],
                f"{whole['successes']} / {whole['episodes']}",
                " / ".join(f"{whole['blocking_ms'][key]:.0f}" for key in ("p50", "p95")),
                _share(whole["idle_fraction"]),
                f"{whole['stalls']} / {whole['chunks']}",
                _pair(whole["surrogate_error"], whole["copy_error"]),
                _link(name),
            ]
        )
    return rows


def _milliseconds(blocking: dict[str, float | None]) -> str:
    values = [blocking[name] for name in ("p50", "p95", "p99")]
    return "" if None in values else " / ".join(f"{value:.0f}" for value in values)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _pair(first: float | None, second: float | None) -> str:
    return "" if first is None or second is None else f"{first:.3f} / {second:.3f}"


def _provenance(report: dict[str, Any]) -> str:
    machine = report["machine"]
    return f"{machine['processor']}, {machine['cores']} cores, commit {report['commit'][:12]}"


def page(reports: dict[str, dict[str, Any]]) -> str:
    """The whole page from the reports by file name. Raises ValueError for a report that it would leave out."""
    lines = [
        "# Results",
        "",
        "Written by `python benchmarks/summarise.py` from the files in `benchmarks/results/`.",
        "",
    ]
    for name, report in reports.items():
        kind = kind_of(report)
        if kind in TABLES:
            backend = f", {report['backends'][0]}" if "backends" in report else ""
            lines += [f"## {TITLES[kind]}{backend}", ""]
            lines += table(*TABLES[kind](report))
            for further in measurement_tables.FURTHER.get(kind, ()):
                lines += ["", *table(*further(report))]
            lines += [
                "",
                f"File: {_link(name)}. Machine: {_provenance(report)}.",
                "",
            ]
    evaluations = [(name, report) for name, report in reports.items() if "wilson95" in report and "control" in report]
    if evaluations:
        lines += ["## Success under a virtual clock (`clwm eval`)", ""]
        header = ["task", "control", "SAI", "latency", "success", "Wilson 95 %", "blocking p50 / p95 / p99 ms"]
        header += ["idle", "stalls / chunks", "surrogate / copying error", "file"]
        lines += table(header, evaluation_rows(evaluations))
        lines += ["", "Machine and commit of each run are in its file.", ""]
    demos = {name: report for name, report in reports.items() if "seconds_to_come_up" in report}
    if demos:
        lines += ["## The demo: four processes over DDS, in real time (`clwm demo`)", ""]
        header = [
            "SAI",
            "success",
            "blocking p50 / p95 ms",
            "idle",
            "stalls / chunks",
            "surrogate / copying error",
            "file",
        ]
        lines += table(header, demo_rows(demos))
        lines += ["", f"Machine: {_provenance(next(iter(demos.values())))}.", ""]
    if probe := reports.get("encoder_probe.json"):
        lines += ["## Encoder probe gate", ""]
        rows = [
            [
                name,
                *(f"{probe[kind][name]:.1f}" for kind in ("randomised", "nominal", "mean_prediction")),
                _gate(probe, name),
            ]
            for name in probe["randomised"]
        ]
        lines += table(["median error", "randomised looks", "nominal looks", "predicting the mean", "gate"], rows)
        lines += ["", f"File: {_link('encoder_probe.json')}. Machine: {_provenance(probe)}.", ""]
    if speed := reports.get("sim_realtime.json"):
        lines += ["## Speed of the simulation", ""]
        lines.append(
            f"Physics, controllers and {speed['pictures_per_simulated_second']:.0f} pictures a second of "
            f"{speed['image_size']} x {speed['image_size']} on {speed['machine']['cores']} core: "
            f"{speed['real_time_factor_of_cpu']:.1f} times real time by processor time."
        )
        lines += ["", f"File: {_link('sim_realtime.json')}. Machine: {_provenance(speed)}.", ""]
    text = "\n".join(lines)
    if left_out := [name for name in reports if _link(name) not in text]:
        raise ValueError(f"{', '.join(left_out)}: no table for such a report; add one to measurement_tables.py")
    return text


def _link(name: str) -> str:
    return f"[{name}](../benchmarks/results/{name})"


def _gate(probe: dict[str, Any], name: str) -> str:
    limit = probe["gate"].get(name)
    return "" if limit is None else f"at most {limit:.0f}"


def documents() -> dict[Path, str]:
    """What the documents should hold, from the result files as they are."""
    reports = {path.name: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    readme = headline.inserted(README.read_text(), table(*headline.rows(reports)))
    about = shipped_policy.sentences(reports["controls.json"])
    return {PAGE: page(reports), README: headline.inserted(readme, about, shipped_policy.BEGIN, shipped_policy.END)}


def main() -> None:
    """Read every result and write the documents."""
    for path, text in documents().items():
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
