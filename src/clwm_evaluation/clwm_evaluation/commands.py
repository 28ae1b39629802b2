"""`clwm bench`: the project's claims, one measurement each. A module and a line here are all that a new one needs."""

from __future__ import annotations

from clwm_common.terminal.lazy_commands import CommandPlace, lazy_group

MEASUREMENTS = {
    "latency": CommandPlace(
        "clwm_evaluation.measurements.latency", "latency", "Blocking latency of the re-entry modes, in real time"
    ),
    "seam": CommandPlace(
        "clwm_evaluation.measurements.seam", "seam", "How much the velocity jumps where one chunk follows another"
    ),
    "executor": CommandPlace(
        "clwm_evaluation.process_cost.executor",
        "executor",
        "Memory and processor time of the process that holds the arms",
    ),
    "surprise": CommandPlace(
        "clwm_evaluation.measurements.surprise", "surprise", "What the next chunk makes of an object that was moved"
    ),
    "speculation": CommandPlace(
        "clwm_evaluation.measurements.speculation",
        "speculation",
        "Surrogate error, wasted work, coverage of stated bounds",
    ),
    "success": CommandPlace(
        "clwm_evaluation.measurements.success", "success", "Success of the modes on the same seeds"
    ),
    "controls": CommandPlace(
        "clwm_evaluation.measurements.controls",
        "controls",
        "The policy told something else, or shown other looks",
    ),
    "delay": CommandPlace(
        "clwm_evaluation.measurements.delay", "delay", "Success of the modes against an injected delay"
    ),
    "overhead": CommandPlace(
        "clwm_evaluation.measurements.overhead", "overhead", "What the engine adds to the model's own work"
    ),
    "streaming": CommandPlace(
        "clwm_evaluation.experience.streaming",
        "streaming",
        "What fresh simulated trajectories are worth to a training",
    ),
    "interventions": CommandPlace(
        "clwm_evaluation.interventions.command",
        "interventions",
        "What a policy learns from a human who corrects it where it fails",
    ),
    "export": CommandPlace(
        "clwm_evaluation.measurements.export", "export", "How fast episodes become a LeRobot data set"
    ),
    "stream": CommandPlace(
        "clwm_evaluation.experience.stream", "stream", "Fresh experience a minute of each scene, and lost workers"
    ),
    "waiting": CommandPlace(
        "clwm_evaluation.experience.waiting", "waiting", "How long a training waits for what is simulated meanwhile"
    ),
    "cameras": CommandPlace(
        "clwm_evaluation.process_cost.cameras", "cameras", "Processor time of perception for cameras of every encoding"
    ),
    "foxglove": CommandPlace(
        "clwm_evaluation.process_cost.foxglove", "foxglove", "Processor time of clwm foxglove, watched or not"
    ),
    "recorder": CommandPlace(
        "clwm_evaluation.process_cost.recorder", "recorder", "Processor time of clwm record, pictures and joints"
    ),
    "sentences": CommandPlace(
        "clwm_evaluation.suites.sentences", "sentences", "Unknown sentences told from known ones that are worded anew"
    ),
    "estimate": CommandPlace(
        "clwm_evaluation.measurements.success_estimate",
        "estimate",
        "How often the policy's own estimate of success is wrong",
    ),
    "libfranka": CommandPlace(
        "clwm_evaluation.libfranka.command", "libfranka", "The policy through libfranka's protocol, and missed cycles"
    ),
    "limits": CommandPlace(
        "clwm_evaluation.libfranka.limits",
        "limits",
        "Commands to an arm by libfranka before a simulator that enforces a robot's limits",
    ),
    "drake": CommandPlace(
        "clwm_evaluation.drake.command", "drake", "Experts and the policy in another simulator, from the same files"
    ),
    "two-arm-lift": CommandPlace(
        "clwm_evaluation.yardsticks.command", "two_arm_lift", "The policy at robosuite's TwoArmLift, zero-shot"
    ),
    "console": CommandPlace(
        "clwm_evaluation.process_cost.console",
        "console",
        "Processor time of the operator's console, without a page and with one",
    ),
    "gpu": CommandPlace("clwm_evaluation.gpu.command", "gpu", "Full-size models on a GPU against its roofline"),
    "memory": CommandPlace(
        "clwm_evaluation.memory.command", "memory", "What the memory keeps, what it costs, and that it stays bounded"
    ),
}
EPILOG = "Examples:  clwm bench surprise --episodes 40 --json FILE --png FILE  |  docs/benchmarks.md explains each"

bench = lazy_group(
    MEASUREMENTS, "Measure what the stack claims: a table to look at, a JSON file to keep, a plot.", EPILOG
)
