"""The report page of a suite: one file that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Template

from clwm_evaluation.report import Rows

_PAGE = Template(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; max-width: 76em; margin: 2em auto; padding: 0 1em; color: #222; }
  table { border-collapse: collapse; margin: .6em 0 1.6em; }
  th, td { padding: .25em 1.2em .25em 0; border-bottom: 1px solid #ddd; vertical-align: top; text-align: left; }
  figure { margin: 0 0 1em; }
  figcaption { font-size: 13px; color: #555; }
  img { max-width: 100%; height: auto; image-rendering: pixelated; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1.2em; font-size: 13px; color: #555; }
  dd { margin: 0; }
</style>
<h1>{{ title }}</h1>
{% macro rows(table) %}
<table>
  <tr>{% for name in table.header %}<th>{{ name }}</th>{% endfor %}</tr>
  {% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
  {% endfor %}
</table>
{% endmacro %}
{{ rows(table) }}
{% for section in sections %}
<h2>{{ section.title }}</h2>
<p>{{ section.meaning }}</p>
{{ rows(section.goals) }}
{% for caption, picture in section.pictures %}
<figure><img src="data:image/jpeg;base64,{{ picture }}" alt=""><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}
{% endfor %}
<h2>Made with</h2>
<dl>{% for name, value in made_with.items() %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
</html>
""",
    autoescape=True,
)


@dataclass(frozen=True)
class Section:
    """A condition: a table of its goals, and pictures as JPEG files with what stands under them."""

    title: str
    meaning: str
    goals: Rows
    files: Sequence[tuple[str, Path]]

    @property
    def pictures(self) -> list[tuple[str, str]]:
        """Those that are there, in base64."""
        return [(caption, base64.b64encode(it.read_bytes()).decode()) for caption, it in self.files if it.exists()]


def write_page(path: Path, title: str, table: Rows, sections: Sequence[Section], made_with: Mapping[str, Any]) -> None:
    """Write the page to `path`, which appears only when complete."""
    text = _PAGE.render(title=title, table=table, sections=sections, made_with=made_with)
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
