"""`ros2 launch` starts the graph of `clwm up`, leaves alone what is exported, and restarts what dies as that does."""

import importlib.util
import inspect
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from clwm_bringup import graph
from clwm_bringup.restarts import MAX_DEATHS, WRONG_PARAMETERS
from clwm_common.enclaves import enclave_arguments
from clwm_common.files.model_files import project_root
from clwm_common.ros_environment import RosEnvironmentError

FILE = project_root() / "launch" / "clwm.launch.py"


def module_of(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stand_in = module_of("launch_stand_in", Path(__file__).with_name("launch_stand_in.py"))


@pytest.fixture
def launch_file(monkeypatch, tmp_path):
    """The launch file as a module, with what it makes of nodes and variables written down: `made`, `exported`."""
    if not stand_in.is_real():
        for name, module in stand_in.modules().items():
            monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("HOME", str(tmp_path))
    module = module_of("clwm_launch_file", FILE)
    monkeypatch.delitem(sys.modules, "clwm_launch_file")
    module.made, module.exported = [], {}
    node_class, variable_class = module.LifecycleNode, module.SetEnvironmentVariable

    def node(**given):
        module.made.append(given)
        return node_class(**given)

    def variable(name, value):
        module.exported[name] = value
        return variable_class(name, value)

    monkeypatch.setattr(module, "LifecycleNode", node)
    monkeypatch.setattr(module, "SetEnvironmentVariable", variable)
    return module


def started(module, **chosen):
    """The entities of the nodes, with these arguments."""
    context = module.LaunchContext()
    given = {name: default for name, (default, _) in module.ARGUMENTS.items()} | chosen
    context.launch_configurations.update(given)
    return module._nodes(context)


def test_every_process_of_the_graph_is_a_lifecycle_node_of_the_same_parameters(launch_file):
    started(launch_file, task="place_block", seed="7", autostart="false")
    specs = graph.build_graph(graph.StackOptions(task="place_block", seed=7))
    assert [made["name"] for made in launch_file.made] == [spec.name for spec in specs]
    for made, spec in zip(launch_file.made, specs, strict=True):
        assert (made["package"], made["executable"]) == (spec.package, spec.executable)
        assert made["parameters"] == [{**spec.parameters, "autostart": False}]
        assert made["ros_arguments"] == enclave_arguments(spec.name) and made["respawn"]


def test_every_option_of_the_stack_is_an_argument_but_those_of_measurements(launch_file):
    options = {field.name for field in fields(graph.StackOptions)} - {"untrained_seed", "backends"}
    assert set(launch_file.ARGUMENTS) == options | {"autostart"}


@pytest.mark.parametrize("name", ["ROS_AUTOMATIC_DISCOVERY_RANGE", *graph.PROFILE_VARIABLES, "MUJOCO_GL"])
def test_what_is_exported_is_not_set_anew(launch_file, monkeypatch, tmp_path, name):
    profile = tmp_path / "mine.xml"
    profile.write_text("<dds/>")
    for each in graph.PROFILE_VARIABLES:
        monkeypatch.delenv(each, raising=False)
    value = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "MUJOCO_GL": "osmesa"}.get(name, str(profile))
    monkeypatch.setenv(name, value)
    launch_file.generate_launch_description()
    assert name not in launch_file.exported
    if name in graph.PROFILE_VARIABLES:  # under its other name, too
        assert set(launch_file.exported[each] for each in graph.PROFILE_VARIABLES if each != name) == {str(profile)}


def test_what_nobody_has_exported_is_set(launch_file, monkeypatch):
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE")
    launch_file.generate_launch_description()
    assert launch_file.exported["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"


def test_a_setting_with_which_ros_does_not_start_is_refused_before_a_node_is(launch_file, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "300")
    with pytest.raises(RosEnvironmentError, match="ROS_DOMAIN_ID is '300'; expected a whole number from 0 to 232"):
        launch_file.generate_launch_description()


class Death:
    """A process that has ended; an event of the real package has ten fields more, which nobody looks at."""

    def __init__(self, code):
        self.returncode = code


@pytest.fixture
def die(launch_file):
    """code, times, is_shutdown -> the kinds of what follows upon the last death."""
    node = started(launch_file)[-1]
    restarts = launch_file.Restarts(longest_delay=launch_file.FIRST_DELAY)

    def die(code, times=1, is_shutdown=False):
        context = launch_file.LaunchContext()
        if is_shutdown:
            context = type("EndingContext", (), {"is_shutdown": True})()
        for _ in range(times):
            restarts.started("policy", 0.0)
            entities = launch_file._on_exit("policy", node, restarts, Death(code), context)
        return [type(entity).__name__ for entity in entities]

    restarts._lived_well = float("inf")
    return die


def test_a_node_that_dies_is_started_again_and_said_so(die):
    assert die(-9) == ["LogInfo"]


def test_a_node_that_dies_again_and_again_is_given_up(die):
    assert die(1, MAX_DEATHS) == ["LogInfo"] and die(1) == ["LogInfo", "EmitEvent"]


def test_a_node_with_wrong_parameters_is_not_started_again(die):
    assert die(WRONG_PARAMETERS) == ["LogInfo", "EmitEvent"]


def test_what_ends_because_the_launch_ends_is_no_death(die):
    assert die(-2, is_shutdown=True) == []


@pytest.mark.skipif(not stand_in.is_real(), reason="ROS's launch packages are not installed")
@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in stand_in.NAMES.items() for name in names]
)
def test_the_stand_in_has_nothing_that_the_real_packages_lack(module, name):
    real, own = getattr(importlib.import_module(module), name), getattr(stand_in, name)
    if not inspect.isclass(own):
        assert list(inspect.signature(own).parameters) == list(inspect.signature(real).parameters)
    elif is_dataclass(own) and name != "LaunchContext" and name != "ProcessExited":
        known = {word for base in real.__mro__ for word in inspect.signature(base.__init__).parameters}
        assert {field.name for field in fields(own)} - {"entities"} <= known
    for attribute in {"LaunchContext": ("launch_configurations", "is_shutdown"), "ProcessExited": ("returncode",)}.get(
        name, ()
    ):
        assert isinstance(inspect.getattr_static(real, attribute), property)
