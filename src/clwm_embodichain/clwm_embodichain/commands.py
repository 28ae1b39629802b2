"""`clwm data`: what scenes, goals and experts are worth as a source of experience."""

from __future__ import annotations

from clwm_common.terminal.lazy_commands import CommandPlace, lazy_group

COMMANDS = {
    "check": CommandPlace("clwm_embodichain.expert_check.command", "check", "How often the experts achieve each goal"),
    "look": CommandPlace(
        "clwm_embodichain.expansion.look_command", "look", "A contact sheet of random looks of a scene"
    ),
    "coverage": CommandPlace(
        "clwm_embodichain.expansion.coverage", "coverage", "How evenly initial states cover how hands reach"
    ),
    "record": CommandPlace("clwm_embodichain.episodes.command", "record", "Record the experts' episodes"),
    "export": CommandPlace("clwm_embodichain.lerobot.command", "export", "Write episodes as a LeRobot data set"),
    "import": CommandPlace("clwm_embodichain.lerobot.command", "import_", "Make episodes of a LeRobot data set"),
}
EPILOG = "Examples:  clwm data record --scene blocks --episodes 600  |  clwm data export out/data --out out/lerobot"
app = lazy_group(COMMANDS, "Scenes, goals and experts as a source of experience.", EPILOG)
