"""No shared memory is left behind, however its owner ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from clwm_embodichain.stream.shared_memory import OwnedMemory, remove_orphans

FOLDER = Path("/dev/shm")
OWNER = """
from multiprocessing import resource_tracker
from clwm_embodichain.stream.shared_memory import OwnedMemory
owned = OwnedMemory(4096)
print(owned.memory.name, resource_tracker._resource_tracker._pid, flush=True)
input()
"""


def test_what_an_owner_left_that_was_killed_with_its_tracker_is_removed_by_the_next():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    name, tracker = owner.stdout.readline().split()
    remove_orphans()
    assert (FOLDER / name).exists(), "it has an owner"
    os.kill(int(tracker), signal.SIGKILL)
    owner.kill()
    owner.wait()
    assert (FOLDER / name).exists()
    owned = OwnedMemory(4096)
    assert not (FOLDER / name).exists() and (FOLDER / owned.memory.name).exists()
    owned.close()
    assert not (FOLDER / owned.memory.name).exists()


def test_memory_that_lost_its_lock_while_it_was_made_is_made_again(monkeypatch):
    from clwm_embodichain.stream import shared_memory

    made, real = [], shared_memory.SharedMemory

    def removed_at_once(name, create, size):
        memory = real(name, create=create, size=size)
        if not made:
            (FOLDER / name).unlink()
        made.append(name)
        return memory

    monkeypatch.setattr(shared_memory, "SharedMemory", removed_at_once)
    owned = OwnedMemory(4096)
    assert len(made) == 2 and owned.memory.name == made[1]
    owned.close()
