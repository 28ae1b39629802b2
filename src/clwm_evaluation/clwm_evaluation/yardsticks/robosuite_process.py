"""robosuite in a process of its own environment."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clwm_evaluation.simulator_process import SimulatorProcess, probed

INSTALL = (
    "python -m venv E && E/bin/pip install --no-deps robosuite==1.5.2 && E/bin/pip install mujoco==3.8.1 numba scipy "
    "opencv-python-headless pillow termcolor pynput tqdm h5py 'qpsolvers[quadprog]'"
)
_SCRIPT = Path(__file__).with_name("robosuite_world.py")
_TOLD = (_SCRIPT.name, "robosuite_process.py", "cell.py", "lift_world.py")
_PROBE = "from importlib.metadata import version as v; print(v('robosuite'), 'on MuJoCo', v('mujoco'))"


class YardstickError(RuntimeError):
    """A yardstick that cannot be measured by; the message says why, and what to do."""


class RobosuiteProcess:
    """One TwoArmLift, commanded by orders; to be closed.

    version: of robosuite, and a hash of what drives it: what both are, results depend on. about: what
    robosuite_world.py says of the environment.
    """

    def __init__(self, python: str) -> None:
        """python: of an environment with robosuite. Raises YardstickError when it has none."""
        remedy = f"make an environment with `{INSTALL}` and name it by --python"
        found = probed(python, "robosuite", _PROBE, YardstickError, remedy)
        told = hashlib.sha256(b"".join(_SCRIPT.with_name(name).read_bytes() for name in _TOLD)).hexdigest()
        self.version = f"robosuite {found}, told by {told[:8]}"
        self._folder = tempfile.TemporaryDirectory(prefix="clwm_robosuite_")
        surroundings = {"MUJOCO_GL": "egl", **os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": self._folder.name}
        log = Path(self._folder.name) / "robosuite.log"
        self._process = SimulatorProcess("robosuite", python, _SCRIPT, log, YardstickError, surroundings)
        try:
            self.about = self._process.order("about")
        except YardstickError:
            self.close()
            raise

    def reset(self, seed: int, home: Iterable[ArrayLike]) -> dict[str, Any]:
        """Begin an episode with arms around home (robots, 7); the state, as robosuite_world.py answers it."""
        return self._process.order("reset", seed=seed, home=np.stack(list(home)).tolist())

    def advance(self, actions: NDArray[np.float64]) -> dict[str, Any]:
        """One step for each of the actions (n, 16); the state after the last."""
        return self._process.order("advance", actions=actions.tolist())

    def place(self, camera: str, position: NDArray, quaternion: NDArray, fovy: float) -> None:
        """A camera to a pose (m, wxyz) in robosuite's world as it stands now; field of view in deg."""
        self._process.order(
            "place", camera=camera, position=position.tolist(), quaternion=quaternion.tolist(), fovy=fovy
        )

    def render(self, camera: str, size: int) -> NDArray[np.uint8]:
        """RGB (size, size, 3)."""
        answer = self._process.order("render", camera=camera, size=size)
        return np.frombuffer(base64.b64decode(answer["rgb"]), np.uint8).reshape(size, size, 3)

    def close(self) -> None:
        """End the process."""
        self._process.close()
        self._folder.cleanup()
