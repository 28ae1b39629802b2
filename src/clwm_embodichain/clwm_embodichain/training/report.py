"""The report of a training: one page that needs nothing beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Template

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE = Template(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; max-width: 68em; margin: 2em auto; padding: 0 1em; color: #222; }
  table { border-collapse: collapse; margin: .6em 0 1.6em; }
  td { padding: .25em 1.5em .25em 0; border-bottom: 1px solid #ddd; vertical-align: top; }
  figure { display: inline-block; margin: 0 1em 1em 0; }
  figcaption { font-size: 13px; color: #555; }
  svg { max-width: 100%; height: auto; }
</style>
<h1>{{ title }}</h1>
<p>{{ summary }}</p>
{{ curves|safe }}
{% for heading, values in tables.items() %}
<h2>{{ heading }}</h2>
<table>
{% for name, value in values %}
  <tr><td>{{ name }}</td><td>{{ value }}</td></tr>
{% endfor %}
</table>
{% endfor %}
<h2>Failures</h2>
{% for name, picture in pictures %}
<figure><img src="data:image/png;base64,{{ picture }}" alt=""><figcaption>{{ name }}</figcaption></figure>
{% else %}
<p>No attempt has failed.</p>
{% endfor %}
</html>
""",
    autoescape=True,
)


def write_report(
    path: Path,
    title: str,
    summary: str,
    curves: Figure,
    tables: Mapping[str, Mapping[str, Any]],
    pictures: Sequence[Path],
) -> None:
    """Write the page to `path`, which appears only when complete.

    tables: by heading; a mapping within one gets a row for each of its values. pictures: PNG files of attempts that
    failed, shown under their names.
    """
    svg = io.StringIO()
    curves.savefig(svg, format="svg")
    text = _PAGE.render(
        title=title,
        summary=summary,
        curves=svg.getvalue()[svg.getvalue().index("<svg") :],
        tables={heading: _rows(values) for heading, values in tables.items()},
        pictures=[(it.stem, base64.b64encode(it.read_bytes()).decode()) for it in pictures],
    )
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


def _rows(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _rows(value, f"{before}{name} ")
        else:
            rows.append((f"{before}{name}", f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows
