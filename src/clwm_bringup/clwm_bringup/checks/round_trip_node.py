"""Two processes, a number there and back: whether DDS works here, and how fast. Run by `clwm doctor`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import rclpy
from std_msgs.msg import Float64

from clwm_common.ros import qos

COUNT = 20
DISCOVERY_TIMEOUT = 20.0  # s


def main() -> None:
    """Print the median round trip; raise TimeoutError when no answer comes."""
    echo = subprocess.Popen([sys.executable, "-c", "from clwm_bringup.checks.round_trip_node import echo; echo()"])
    rclpy.init()
    node = rclpy.create_node("clwm_doctor")
    try:
        print(f"median round trip {1e3 * statistics.median(_measure(node)):.1f} ms")
    finally:
        echo.terminate()
        echo.wait()
        node.destroy_node()
        rclpy.shutdown()


def _measure(node: rclpy.node.Node) -> list[float]:
    answers: list[float] = []
    node.create_subscription(Float64, "/clwm_doctor/answer", lambda message: answers.append(message.data), qos.CRITICAL)
    question = node.create_publisher(Float64, "/clwm_doctor/question", qos.CRITICAL)
    deadline = time.monotonic() + DISCOVERY_TIMEOUT
    durations: list[float] = []
    while len(durations) < COUNT:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(durations)} of {COUNT} answers within {DISCOVERY_TIMEOUT:.0f} s")
        number, started = float(len(durations)), time.perf_counter()
        question.publish(Float64(data=number))
        while (not answers or answers[-1] != number) and time.perf_counter() - started < 0.5:
            rclpy.spin_once(node, timeout_sec=0.1)
        if answers and answers[-1] == number:
            durations.append(time.perf_counter() - started)
    return durations


def echo() -> None:
    """The other process: sends every question back until it is terminated."""
    rclpy.init()
    node = rclpy.create_node("clwm_doctor_echo")
    answer = node.create_publisher(Float64, "/clwm_doctor/answer", qos.CRITICAL)
    node.create_subscription(Float64, "/clwm_doctor/question", answer.publish, qos.CRITICAL)
    try:
        rclpy.spin(node)
    except rclpy.executors.ExternalShutdownException:
        pass
