"""What SDF and URDF have in common as text: numbers, poses, trees."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Element = ElementTree.Element


def numbers(values: Iterable[float]) -> str:
    """Seven digits of each: what single precision holds, and what is computed anew reads the same."""
    return " ".join(f"{0.0 if abs(value) < 1e-12 else float(value):.7g}" for value in values)


def roll_pitch_yaw(rotation: NDArray) -> NDArray[np.float64]:
    """Turns (3,) rad about the fixed axes x, y, z, in this order, of a rotation (3, 3)."""
    return Rotation.from_matrix(rotation).as_euler("xyz")


def add(parent: Element, tag: str, text: str | float | None = None, **attributes: str | float) -> Element:
    """A new last child; numbers are written as `numbers` does."""
    child = ElementTree.SubElement(parent, tag, {name: _text(value) for name, value in attributes.items()})
    if text is not None:
        child.text = _text(text)
    return child


def document(root: Element) -> str:
    """The whole as an indented document."""
    ElementTree.indent(root)
    return f'<?xml version="1.0"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else numbers([value])
