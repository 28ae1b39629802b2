"""Node parameters declared from one table: name, default, range, unit, meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, get_args

from pydantic import BaseModel
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from clwm_common.files.config_files import nearest

_OF_ROS = {"use_sim_time", "start_type_description_service"}


class ParameterError(ValueError):
    """A parameter of the wrong type or outside its range; the message says which and what was expected."""


@dataclass(frozen=True)
class Parameter:
    """One row of a node's table. Its type is that of `default`: str, bool, int, float or a list of them.

    choices: of a text, or of every text in a list.
    reconfigurable: may be set while the node is unconfigured, and holds from the next configuration on.
    """

    name: str
    default: Any
    meaning: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    reconfigurable: bool = False


def parameters_of(model: type[BaseModel]) -> tuple[Parameter, ...]:
    """A row for every field of a model that has a description; range, choices and unit are the field's own."""
    rows = []
    for name, field in model.model_fields.items():
        if field.description:
            bounds = {key: getattr(it, key) for it in field.metadata for key in ("ge", "le") if hasattr(it, key)}
            unit = (field.json_schema_extra or {}).get("unit", "")
            choices = get_args(field.annotation)
            low, high = bounds.get("ge"), bounds.get("le")
            rows.append(Parameter(name, field.default, field.description, unit, low, high, choices))
    return tuple(rows)


def declare(node: Node, table: Sequence[Parameter]) -> SimpleNamespace:
    """Declare every row and return the values as attributes of one object.

    All but the reconfigurable ones are read-only, since the cores are built from them once; change the configuration
    and start the node again.
    Raises ParameterError for a wrong type, a value out of range, an unknown choice, or a name that no row has.
    """
    known = {row.name for row in table}
    for name in node._parameter_overrides:
        # What ROS's own parts declare by themselves.
        if name not in known | _OF_ROS and not name.startswith("qos_overrides."):
            raise ParameterError(f"node '{node.get_name()}' has no parameter '{name}'{nearest(name, known)}")
    values = {}
    for row in table:
        try:
            value = node.declare_parameter(row.name, row.default, _descriptor(row)).value
        except InvalidParameterTypeException as error:
            raise ParameterError(
                f"{_title(node, row)}: {error}; expected {_type_name(row)}, such as {row.default!r}"
            ) from None
        except InvalidParameterValueException:
            raise ParameterError(f"{_title(node, row)} is out of range; expected {_range_text(row)}") from None
        if problem := problem_with(row, value):
            raise ParameterError(f"{_title(node, row)} {problem}")
        values[row.name] = list(value) if isinstance(row.default, list) else value
    return SimpleNamespace(**values)


def problem_with(row: Parameter, value: Any) -> str:
    """Why `value` is none of the row's choices, which ROS does not check; empty when it may be."""
    chosen = value if isinstance(row.default, list) else [value]
    if row.choices and (unknown := [one for one in chosen if one not in row.choices]):
        return f"is {unknown[0]!r}; expected one of {', '.join(row.choices)}"
    return ""


def _descriptor(row: Parameter) -> ParameterDescriptor:
    unit = f" [{row.unit}]" if row.unit else ""
    descriptor = ParameterDescriptor(description=row.meaning + unit, read_only=not row.reconfigurable)
    if row.choices:
        descriptor.additional_constraints = "one of " + ", ".join(row.choices)
    if row.minimum is not None or row.maximum is not None:
        if isinstance(row.default, float):
            low = -1.0e308 if row.minimum is None else float(row.minimum)
            high = 1.0e308 if row.maximum is None else float(row.maximum)
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            low = -(2**62) if row.minimum is None else int(row.minimum)
            high = 2**62 if row.maximum is None else int(row.maximum)
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return descriptor


def _title(node: Node, row: Parameter) -> str:
    return f"parameter '{row.name}' of node '{node.get_name()}' ({row.meaning})"


def _type_name(row: Parameter) -> str:
    return f"a list of {type(row.default[0]).__name__}" if isinstance(row.default, list) else type(row.default).__name__


def _range_text(row: Parameter) -> str:
    unit = f" {row.unit}" if row.unit else ""
    if row.maximum is None:
        return f"at least {row.minimum}{unit}"
    if row.minimum is None:
        return f"at most {row.maximum}{unit}"
    return f"{row.minimum} to {row.maximum}{unit}"
