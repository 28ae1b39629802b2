"""The report of a training is one page, whole, that shows what was learned, from what, and what failed."""

import re
import xml.etree.ElementTree as ET

import cv2
import numpy as np

from clwm_embodichain.training.curves import Curves, draw_curves
from clwm_embodichain.training.report import write_report


def test_the_page_needs_nothing_beside_it_and_says_all(tmp_path):
    curves = Curves(tmp_path / "curves.jsonl")
    for step in (1, 2):
        curves.append({"minutes": step, "step": step, "action": 1.0 / step, "action/place": 2.0 / step})
    panels = [(("action",), "loss", "log"), (("action/place", "action/stack"), "loss by goal", "log")]
    figure = draw_curves(tmp_path / "curves.png", panels, {"": tmp_path / "curves.jsonl"})
    picture = tmp_path / "blocks-place_red_blue-7.png"
    cv2.imwrite(str(picture), np.zeros((4, 8, 3), np.uint8))
    tables = {"Experience": {"stream": {"state": "ready", "reuses": {1: 5}}, "age": 1.23456}}
    page = tmp_path / "report.html"
    write_report(page, "Training of <one>", "5 episodes", figure, tables, [picture])
    text = page.read_text()
    assert "<h1>Training of &lt;one&gt;</h1>" in text and "5 episodes" in text
    assert "<td>stream reuses 1</td><td>5</td>" in text and "<td>age</td><td>1.235</td>" in text
    assert text.count("data:image/png;base64,") == 1 and "blocks-place_red_blue-7" in text
    svg = re.search(r"<svg.*</svg>", text, re.DOTALL)
    assert ET.fromstring(svg[0]).tag.endswith("svg")
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text), "it would have to be loaded"
    assert not list(tmp_path.glob("*.partial"))


def test_a_training_without_failures_says_so(tmp_path):
    figure = draw_curves(tmp_path / "curves.png", [(("action",), "loss", "log")], {"": tmp_path / "curves.jsonl"})
    write_report(tmp_path / "report.html", "Training", "", figure, {}, [])
    assert "No attempt has failed." in (tmp_path / "report.html").read_text()
