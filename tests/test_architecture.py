"""The arrows between packages, the layer that knows ROS, and the sizes of files and folders, read off the source."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
LINES, MODULES = 400, 15
CORES = {"clwm_common"}
STACK = CORES | {"clwm_perception", "clwm_policy", "clwm_sai_executor"}
EVERYDAY = STACK | {"clwm_sim", "clwm_bringup", "clwm_operator"}
MAY_IMPORT = {
    "clwm_common": set(),
    "clwm_perception": CORES,
    "clwm_policy": CORES,
    "clwm_sai_executor": CORES,
    "clwm_sim": CORES,
    "clwm_description": CORES | {"clwm_sim"},
    "clwm_franka": CORES,
    "clwm_embodichain": CORES | {"clwm_perception", "clwm_policy", "clwm_sim"},
    "clwm_bringup": STACK,
    "clwm_operator": CORES | {"clwm_bringup", "clwm_description", "clwm_perception", "clwm_policy", "clwm_sim"},
    "clwm_chaos": EVERYDAY,
    "clwm_evaluation": EVERYDAY | {"clwm_description", "clwm_embodichain", "clwm_franka"},
}


@dataclass(frozen=True)
class Import:
    """`module` imports `target`, a module where it is one of ours."""

    module: str
    target: str


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.glob("clwm_*/clwm_*/**/*.py")):
        parts = path.relative_to(SOURCE).parts[1:]
        name = ".".join((*parts[:-1], path.stem)).removesuffix(".__init__")
        found[name] = path
    return found


def _imports() -> Iterator[Import]:
    """Of all modules, those in functions and under TYPE_CHECKING too."""
    for module, path in MODULES_OF_SRC.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: imports name the module in full"
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [it if it in MODULES_OF_SRC else str(node.module) for it in whole]
            else:
                continue
            yield from (Import(module, target) for target in targets)


def _top(module: str) -> str:
    return module.partition(".")[0]


MODULES_OF_SRC = _modules()
IMPORTS = sorted(set(_imports()), key=lambda it: (it.module, it.target))


def test_there_is_a_rule_for_every_package():
    assert {_top(module) for module in MODULES_OF_SRC} == set(MAY_IMPORT)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_those_below_it(package):
    allowed = {package, "clwm_msgs", *MAY_IMPORT[package]}
    of_ours = [it for it in IMPORTS if _top(it.module) == package and it.target.startswith("clwm_")]
    assert of_ours and not [it for it in of_ours if _top(it.target) not in allowed]


def test_a_package_declares_those_that_it_imports():
    for package in MAY_IMPORT:
        declared = (SOURCE / package / "package.xml").read_text()
        used = {_top(it.target) for it in IMPORTS if _top(it.module) == package and it.target.startswith("clwm_")}
        assert not [name for name in sorted(used - {package}) if f"<exec_depend>{name}</exec_depend>" not in declared]


def test_only_nodes_and_the_ros_room_know_rclpy():
    knowing = {it.module for it in IMPORTS if _top(it.target) == "rclpy"}
    assert not [
        module for module in sorted(knowing) if not (module.endswith("node") or module.startswith("clwm_common.ros."))
    ]


def test_the_executor_knows_no_torch():
    assert not [it for it in IMPORTS if _top(it.module) == "clwm_sai_executor" and _top(it.target) == "torch"]


def test_no_modules_import_each_other_in_a_circle():
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for it in IMPORTS:
        if it.target in MODULES_OF_SRC:
            sorter.add(it.module, it.target)
    sorter.prepare()  # raises CycleError, which shows the circle


def test_no_module_is_too_long_to_read():
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES_OF_SRC.items()}
    assert not {name: count for name, count in lengths.items() if count > LINES}


def test_no_folder_holds_more_modules_than_a_glance_takes_in():
    folders = {path.parent for path in MODULES_OF_SRC.values()}
    counts = {str(it.relative_to(SOURCE)): len([*it.glob("*.py")]) - (it / "__init__.py").exists() for it in folders}
    assert not {folder: count for folder, count in counts.items() if count > MODULES}
