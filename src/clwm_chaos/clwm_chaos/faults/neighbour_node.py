"""A process beside the stack that listens to one topic, as `ros2 topic echo` is one. For `clwm chaos` only.

python -m clwm_chaos.faults.neighbour_node TOPIC: says READY, waits for a line, then joins the graph and says JOINED
when it hears something.
"""

from __future__ import annotations

import sys

import rclpy
from sensor_msgs.msg import JointState

from clwm_common.ros import qos

READY, JOINED = "ready", "joined"


def main() -> None:
    print(READY, flush=True)
    sys.stdin.readline()
    heard = []

    def on_joints(message: JointState) -> None:
        if not heard:
            print(JOINED, flush=True)
        heard[:] = [message]

    rclpy.init()
    node = rclpy.create_node("clwm_neighbour")
    node.create_subscription(JointState, sys.argv[1], on_joints, qos.SENSOR)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
