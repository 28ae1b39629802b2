"""What a hand does, in a process without pylibfranka, which franky cannot share one with. Argument: its address.

Lines on the standard input are commands, `grasp 0.02` or `move 0.08`; one with `!` behind it is overtaken by the next.
Each one that is not is answered by how it ended, as JSON.
"""

import json
import sys
import time
from dataclasses import asdict

from clwm_franka.hand_goal import Grasp, Move, ending_of
from clwm_franka.hand_link import HandLink, HandLost

SPEED, FORCE = 0.1, 20.0  # m/s, N


def main(address: str) -> None:
    try:
        link = HandLink(address)
    except HandLost as error:
        print(json.dumps({"lost": str(error)}), flush=True)
        return
    for line in sys.stdin:
        kind, width, *overtaken = line.split()
        command = Grasp(float(width), SPEED, FORCE) if kind == "grasp" else Move(float(width), SPEED)
        link.start(command)
        while link.is_busy and not overtaken:
            time.sleep(0.01)
        if not overtaken:
            problem = link.outcome()
            print(json.dumps(asdict(ending_of(command, link.look(), problem))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
