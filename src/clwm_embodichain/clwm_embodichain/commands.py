"""`clwm data`: what scenes, goals and experts are worth as a source of experience."""

from __future__ import annotations

from clwm_common.terminal.lazy_commands import CommandPlace, lazy_group

COMMANDS = {
    "check": CommandPlace("clwm_embodichain.expert_check.command", "check", "How often the experts achieve each goal"),
    "record": CommandPlace("clwm_embodichain.episodes.command", "record", "Record the experts' episodes"),
}
EPILOG = "Examples:  clwm data record --scene blocks --episodes 600  |  clwm data check --goal stack --seeds 40"
app = lazy_group(COMMANDS, "Scenes, goals and experts as a source of experience.", EPILOG)
