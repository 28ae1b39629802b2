"""`clwm train-policy --cluster ray` as a program: what it refuses, whom it listens to, what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import typer

from clwm_embodichain.cluster.learner import free_port
from clwm_embodichain.cluster.session import ClusterError, ray_session
from clwm_embodichain.training.policy import train as train_policy
from clwm_policy.model.checkpoint import load_policy

PROGRAM = """
import sys
from contextlib import contextmanager
from pathlib import Path
import typer
from clwm_embodichain.stream import sources
from clwm_embodichain.training.policy import train

sources.HELD_OUT_EPISODES = 1

@contextmanager
def saying_when_it_steps(*where):
    with on_ray(*where) as placement:
        from clwm_embodichain.cluster.learner_group import LearnerGroup
        step = LearnerGroup.step
        def telling(group):
            found = step(group)
            print("STEP", flush=True)
            return found
        LearnerGroup.step = telling
        yield placement

if __name__ == "__main__":
    on_ray, train.on_ray = train.on_ray, saying_when_it_steps
    try:
        train.main(
            goals="table/lift_tray", online=True, cluster="ray", learners=2, out=Path(sys.argv[1]),
            streams=2, capacity=2, reuse=100,
        )
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
"""


def shared_memory_of(process):
    return {Path(it.path) for it in process.memory_maps() if it.path.startswith("/dev/shm/")}


def test_ctrl_c_ends_a_training_on_ray_with_its_policy_and_nothing_is_left(tmp_path, is_alive):
    pytest.importorskip("ray", reason="ray is not installed: pip install -e '.[cluster]'")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment | {"RAY_AUTH_MODE": "disabled"},
    )
    said = iter(program.stdout.readline, "")
    assert any("STEP" in line for line in said)
    ours = [psutil.Process(program.pid), *psutil.Process(program.pid).children(recursive=True)]
    listening = {
        each.laddr.ip for it in ours for each in it.net_connections("tcp") if each.status == psutil.CONN_LISTEN
    }
    shared = set().union(*(shared_memory_of(process) for process in ours))
    os.killpg(program.pid, signal.SIGINT)
    rest = "".join(said)
    assert program.wait() == 130, rest
    assert "stopped; the same command goes on from here" in rest
    assert listening and listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, listening
    deadline = time.monotonic() + 10.0
    while left := [process for process in ours if is_alive(process.pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert len(ours) > 4 and not [path for path in shared if path.exists()]
    facts = load_policy(tmp_path / "policy.safetensors").facts
    assert facts["steps"] >= 1 and facts["episodes"] == 2
    assert json.loads((tmp_path / "stream.json").read_text())["next_seed"] >= 2


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ClusterError, match=r"needs the package ray, which is not installed; `pip install -e '.\[cluster"
    ):
        with ray_session(None, 1):
            pass


@pytest.mark.parametrize("address", ["somewhere", "http://host:8265", "ray://host:10001", "host:"])
def test_an_address_that_is_none_is_refused_before_ray_is_imported(monkeypatch, address):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=f"--address is '{address}'; expected host:port"):
        with ray_session(address, 1):
            pass


def test_an_address_at_which_nobody_answers_is_refused_at_once_with_the_way_to_make_a_cluster():
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    with pytest.raises(ClusterError, match=f"nobody answers at {address} .*refused.*`ray start --head --port 6379`"):
        with ray_session(address, 1):
            pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": "ray"}, "--cluster is for trajectories that are simulated meanwhile; add --online"),
        ({"online": True, "learners": 2}, "--address and --learners are of a cluster; add --cluster ray"),
        ({"online": True, "address": "host:6379"}, "--address and --learners are of a cluster; add --cluster ray"),
    ],
)
def test_options_of_a_cluster_are_refused_without_one(tmp_path, capsys, options, message):
    with pytest.raises(typer.Exit):
        train_policy.main(out=tmp_path, **options)
    assert message in " ".join(capsys.readouterr().out.split())
