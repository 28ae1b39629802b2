"""Two arms behind libfranka's protocol that follow at once, in a process of their own: clients hold the interpreter.

Arguments: the addresses of both. Lines on the standard input disturb: `left joint_reflex`, `left 0.1` (cut for 0.1 s),
`left put` (0.2 rad away at once, as a world does that begins anew).
"""

import queue
import sys
import threading

import numpy as np

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.libfranka import Libfranka
from clwm_sim.franka.control import FrankaServers

PATIENCE = 2.0  # s; however busy the machine is, no cycle is missed


def disturbed(servers: FrankaServers, arm: str, what: str) -> str:
    if what == "put":
        own = servers.robots[("left", "right").index(arm)]
        return own.put(own.set_point + 0.2, own.opening) or ""
    return servers.disturb(arm, what if what.isidentifier() else float(what))


def main(left: str, right: str) -> None:
    robot = RobotDescription.load("dual_fr3_libfranka")
    arms = {
        side: arm.model_copy(update={"libfranka": Libfranka(address=address)})
        for side, arm, address in zip(("left", "right"), robot.arms, (left, right), strict=True)
    }
    robot = robot.model_copy(update=arms)
    servers = FrankaServers(robot, PATIENCE)
    for arm, own in zip(robot.arms, servers.robots, strict=True):
        own.put(np.array(arm.home), 0.08)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: [lines.put(line) for line in sys.stdin] and lines.put("end"), daemon=True).start()
    print("ready", flush=True)
    width = [0.08, 0.08]
    while True:
        while not lines.empty():
            arm, what = lines.get().split()
            print(disturbed(servers, arm, what) or "done", flush=True)
        for index, own in enumerate(servers.robots):
            # A block of 4 cm is between the fingers of the left hand.
            goal = max(own.opening, 0.04) if index == 0 else own.opening
            width[index] += float(np.clip(goal - width[index], -1e-4, 1e-4))
            own.measure(own.set_point, np.zeros(7), width[index])
        servers.tick()


if __name__ == "__main__":
    main(*sys.argv[1:])
