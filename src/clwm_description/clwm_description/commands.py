"""`clwm describe`: scenes and robots in the forms that other simulators read."""

from __future__ import annotations

from clwm_common.terminal.lazy_commands import CommandPlace, lazy_group

COMMANDS = {
    "scene": CommandPlace("clwm_description.scene_command", "scene", "Write scenes as SDF worlds"),
}
EPILOG = "Examples:  clwm describe scene --scene blocks --seed 3 --out out/sdf"
app = lazy_group(COMMANDS, "Scenes and robots in the forms that other simulators read.", EPILOG)
