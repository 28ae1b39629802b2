"""`clwm up` with the simulated world and the shipped policy, as a process of its own."""

import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

NODES = 4
PATIENCE = 120.0  # s


@contextmanager
def running_stack(log):
    """Until all nodes work; what it says goes to the file `log`."""
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "clwm_bringup", "up"],
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while len(set(re.findall(r"(\w+)\s+activate: done", log.read_text()))) < NODES:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
