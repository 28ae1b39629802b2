"""YAML files of an installation: read strictly, and what is wrong in one named by file, field, value and remedy."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

_SHOWN = 80  # characters of a value in a message


class ConfigFileError(ValueError):
    """A file that cannot be read as YAML; the message names it and the place in it."""


class Strict(BaseModel):
    """A section of a file: all names are known, all numbers finite, and no text or truth value passes for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Settings(Strict):
    """Settings that come from a command or from code. Raises ValueError: which one, its value, what was expected."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"setting {where} is {_short(first['input'])}; {_expected(first['msg'])}") from None


class _Loader(yaml.SafeLoader):
    """Refuses a name that comes twice, of which YAML would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """The content of a file. Raises FileNotFoundError, or ConfigFileError for any other reason why there is none."""
    try:
        return yaml.load(path.read_bytes().decode(), _Loader)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigFileError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigFileError(
            f"{path} is not UTF-8: byte 0x{byte:02X} at position {error.start}, line {line}; save the file as UTF-8"
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigFileError(f"{path} is not YAML: {_on_one_line(error)}") from None


def explain(path: Path, error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong in a file that was to hold a `model`: file, field, what was expected, value."""
    found = error.errors()
    # A name that is misspelt is missing, too; what was written says more than what was not.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    where = ".".join(str(part) for part in first["loc"])
    field = f"{path}: field '{where}': " if where else f"{path}: "
    if first["type"] == "extra_forbidden":
        known = _names_at(model, first["loc"][:-1])
        return f"{field}no such field{nearest(str(first['loc'][-1]), known)}"
    text = _expected(first["msg"])
    return field + text + ("" if first["type"] in ("value_error", "missing") else f" (got {_short(first['input'])})")


def nearest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?" for a name that is none of the known ones, or all of them when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; expected one of {', '.join(names)}"


def _names_at(model: type[BaseModel], place: tuple[int | str, ...]) -> set[str]:
    """The fields that a section may have; a place in a section of several kinds leads through its kind's name."""
    models = {model}
    for part in place:
        found = {inner for one in models if part in one.model_fields for inner in _models_in(one.model_fields[part])}
        models = found or models
    return {name for one in models for name in one.model_fields}


def _models_in(field: Any) -> set[type[BaseModel]]:
    annotation = getattr(field, "annotation", field)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for inner in typing.get_args(annotation) for model in _models_in(inner)}


def _expected(message: str) -> str:
    return message.removeprefix("Value error, ").replace(" after validation", "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _on_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
