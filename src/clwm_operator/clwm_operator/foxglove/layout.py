"""What Foxglove shows at once: config/foxglove/clwm.json, made for the topics of a robot."""

from __future__ import annotations

import json

import foxglove.layouts as fl

from clwm_common.actions import JOINTS
from clwm_common.recordings import names
from clwm_common.robot.description import RobotDescription
from clwm_operator.foxglove.topics import DESCRIPTION, TIMELINE

WIDTH = 60.0  # s that plots show


def layout_of(robot: RobotDescription) -> str:
    """JSON, for a live stack and for a recording alike."""
    left = fl.SplitContainer(
        direction="column",
        items=[
            fl.SplitItem(proportion=3, content=_scene()),
            fl.SplitItem(proportion=1, content=_states()),
            fl.SplitItem(proportion=1, content=fl.LogPanel(config=fl.LogConfig(topic_to_render="/rosout"))),
        ],
    )
    middle = fl.SplitContainer(
        direction="column", items=[fl.SplitItem(content=_camera(robot, name)) for name in robot.cameras]
    )
    right = fl.SplitContainer(
        direction="column", items=[fl.SplitItem(content=it) for it in (*_plots(robot), _health())]
    )
    items = [fl.SplitItem(proportion=share, content=it) for share, it in ((3, left), (1, middle), (2, right))]
    layout = fl.Layout(content=fl.SplitContainer(direction="row", items=items))
    return json.dumps(json.loads(layout.to_json()), indent=1) + "\n"


def _scene() -> fl.ThreeDeePanel:
    layers = {
        "robot": fl.BaseRendererUrdfLayerSettings(
            instance_id="robot",
            label="Robot",
            source_type="topic",
            topic=DESCRIPTION,
            control_mode="transforms",
            display_mode="visual",
        ),
        "table": fl.BaseRendererGridLayerSettings(instance_id="table", label="Table", frame_id="world", size=4.0),
    }
    view = fl.ThreeDeeCameraState(perspective=True, distance=2.5, phi=55.0, theta_offset=-90.0, target=(0.4, 0.0, 0.3))
    return fl.ThreeDeePanel(
        title="Arms",
        config=fl.ThreeDeeConfig(camera_state=view, follow_tf="world", fixed_frame="world", layers=layers),
    )


def _camera(robot: RobotDescription, name: str) -> fl.ImagePanel:
    source = robot.camera_source(name)
    mode = fl.ImageModeConfig(image_topic=names.recorded_pictures(source), calibration_topic=source.info_topic)
    return fl.ImagePanel(title=name, config=fl.ImageConfig(image_mode=mode))


def _states() -> fl.StateTransitionsPanel:
    shown = {"mode": f"{names.MODE}.mode", "phase": f"{names.TASK}.phase", "chunk": f"{TIMELINE}.outcome"}
    series = [fl.StateTransitionsSeries(value=value, label=label) for label, value in shown.items()]
    return fl.StateTransitionsPanel(title="Who moves the arms, and how", config=fl.StateTransitionsConfig(paths=series))


def _plots(robot: RobotDescription) -> list[fl.PlotPanel]:
    joints = {
        name: f"{names.STATE}.values[{JOINTS.start + place}]"
        for name, place in zip(robot.joint_names, robot.channels.tolist(), strict=True)
    }
    times = {name.removesuffix("_ms"): f"{TIMELINE}.{name}" for name in ("blocking_ms", "stall_ms", "speculation_ms")}
    sight = {name.replace("_", " "): f"{TIMELINE}.{name}" for name in ("surrogate_error", "re_entry_s")}
    return [_plot("Joints [rad]", joints), _plot("Of a chunk [ms]", times), _plot("Speculation", sight)]


def _plot(title: str, shown: dict[str, str]) -> fl.PlotPanel:
    paths = [fl.PlotSeries(value=value, label=label) for label, value in shown.items()]
    return fl.PlotPanel(title=title, config=fl.PlotConfig(paths=paths, following_view_width=WIDTH, show_legend=True))


def _health() -> fl.DiagnosticsSummaryPanel:
    return fl.DiagnosticsSummaryPanel(
        title="Health", config=fl.DiagnosticsSummaryConfig(topic_to_render="/diagnostics", min_level=0)
    )
