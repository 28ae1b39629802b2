"""`clwm describe`: scenes and robots in the forms that other simulators read."""

from __future__ import annotations

from clwm_common.terminal.lazy_commands import CommandPlace, lazy_group

COMMANDS = {
    "scene": CommandPlace("clwm_description.scene_command", "scene", "Write scenes as SDF worlds"),
    "robot": CommandPlace("clwm_description.robot_command", "robot", "Write a robot as URDF, with its controllers"),
    "publish": CommandPlace("clwm_description.publish_node", "publish", "Publish a robot's URDF on /robot_description"),
}
EPILOG = "Examples:  clwm describe scene --scene blocks --seed 3  |  clwm describe robot --hardware mock"
app = lazy_group(COMMANDS, "Scenes and robots in the forms that other simulators read.", EPILOG)
