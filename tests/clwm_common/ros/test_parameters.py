"""Every parameter of every node says what it means and what it may be; what it may not be is refused in words."""

import importlib
import math
from typing import Literal

import pytest
import rclpy
from pydantic import BaseModel, Field
from rclpy.parameter import Parameter as RosParameter

from clwm_common.ros.lifecycle import ClwmNode
from clwm_common.ros.parameters import Parameter, ParameterError, parameters_of

MODULES = (
    "clwm_sim.node",
    "clwm_perception.node",
    "clwm_policy.node",
    "clwm_sai_executor.node",
    "clwm_chaos.faults.relay_node",
)
# Names and paths that only the files of the installation can answer; configuration refuses the unknown ones.
FREE_TEXTS = {
    "robot", "task", "encoder", "cameras", "checkpoint", "policy_document", "sai", "encoder_hash", "record", "memories",
}  # fmt: skip


def node_class(module):
    (found,) = [
        value
        for value in vars(importlib.import_module(module)).values()
        if isinstance(value, type) and issubclass(value, ClwmNode) and value is not ClwmNode
    ]
    return found


ROWS = [(module.split(".")[0], row) for module in MODULES for row in node_class(module).PARAMETERS]
every_row = pytest.mark.parametrize("row", [row for _, row in ROWS], ids=[f"{name}-{row.name}" for name, row in ROWS])


@every_row
def test_every_parameter_says_what_it_means(row):
    assert len(row.meaning.split()) >= 3


@every_row
def test_every_number_has_a_range_that_holds_its_default(row):
    if isinstance(row.default, int | float) and not isinstance(row.default, bool):
        assert row.minimum is not None and row.minimum <= row.default <= (row.maximum or math.inf)
    if isinstance(row.default, float):
        assert row.maximum is not None


@every_row
def test_every_text_has_choices_or_is_a_name_of_a_file_or_a_task(row):
    texts = row.default if isinstance(row.default, list) else [row.default]
    if isinstance(texts[0], str):
        assert set(texts) <= set(row.choices) if row.choices else row.name in FREE_TEXTS


class Probe(ClwmNode):
    PARAMETERS = (
        Parameter("rate", 20.0, "frames a second", "Hz", 1.0, 100.0, reconfigurable=True),
        Parameter("count", 2, "pictures at a time", minimum=1, maximum=8, reconfigurable=True),
        Parameter("backend", "onnx", "what runs the encoder", choices=("onnx", "torch"), reconfigurable=True),
        Parameter("backends", ["onnx"], "what may run it", choices=("onnx", "torch"), reconfigurable=True),
    )

    def __init__(self, **kwargs):
        super().__init__("probe", **kwargs)


WRONG = [
    ("rate", 1000.0, "range"),
    ("rate", math.nan, "range"),
    ("rate", "fast", "type"),
    ("count", 0, "range"),
    ("count", 2.5, "type"),
    ("backend", "tpu", "'tpu'; expected one of onnx, torch"),
    ("backends", ["onnx", "tpu"], "'tpu'; expected one of onnx, torch"),
]


@pytest.fixture(autouse=True)
def ros_context():
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.mark.parametrize(("name", "value", "reason"), WRONG)
def test_a_wrong_value_at_the_start_is_refused_by_name(name, value, reason):
    with pytest.raises(ParameterError, match=f"'{name}'.*{reason}"):
        Probe(parameter_overrides=[RosParameter(name, value=value)])


@pytest.mark.parametrize(
    ("name", "reason"), [("rat", "did you mean 'rate'"), ("zoom", "expected one of autostart, backend")]
)
def test_a_name_that_the_table_does_not_have_is_refused(name, reason):
    with pytest.raises(ParameterError, match=f"node 'probe' has no parameter '{name}'; {reason}"):
        Probe(parameter_overrides=[RosParameter(name, value=1.0)])


def test_parameters_of_ros_itself_are_none_of_the_tables_business():
    qos = "qos_overrides./parameter_events.publisher.depth"
    names = {"use_sim_time": True, "start_type_description_service": True, qos: 10}
    node = Probe(parameter_overrides=[RosParameter(name, value=value) for name, value in names.items()])
    assert node.get_parameter("use_sim_time").value
    node.destroy_node()


@pytest.mark.parametrize(("name", "value", "reason"), WRONG)
def test_a_wrong_value_while_the_node_runs_is_refused_and_the_old_one_stays(name, value, reason):
    node = Probe()
    before = node.get_parameter(name).value
    result = node.set_parameters([RosParameter(name, value=value)])[0]
    assert not result.successful and reason in result.reason
    assert node.get_parameter(name).value == before
    node.destroy_node()


def test_the_descriptor_that_ros_shows_has_meaning_unit_range_and_choices():
    node = Probe()
    rate, backend = node.describe_parameter("rate"), node.describe_parameter("backend")
    assert rate.description == "frames a second [Hz]"
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (1.0, 100.0)
    assert backend.additional_constraints == "one of onnx, torch"
    node.destroy_node()


def test_fields_with_a_meaning_become_parameters_with_their_range_and_choices():
    class Model(BaseModel):
        speed: float = Field(1.0, ge=0.5, le=2.0, description="how fast", json_schema_extra={"unit": "m/s"})
        way: Literal["left", "right"] = Field("left", description="where to")
        hidden: int = 3

    speed, way = parameters_of(Model)
    assert speed == Parameter("speed", 1.0, "how fast", "m/s", 0.5, 2.0)
    assert way == Parameter("way", "left", "where to", choices=("left", "right"))
