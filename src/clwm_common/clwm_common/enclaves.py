"""SROS2 enclaves by name: under which rights a process runs."""

from __future__ import annotations

OPERATOR = "operator"  # the command line: clwm demo, soak, teleop, foxglove, task, mode, watch, record and preflight


def enclave_path(name: str) -> str:
    """The enclave of a process of the graph, or of OPERATOR."""
    return f"/clwm/{name}"


def enclave_arguments(name: str) -> list[str]:
    """What tells ROS its enclave; without ROS_SECURITY_ENABLE it is only a name."""
    return ["--enclave", enclave_path(name)]
