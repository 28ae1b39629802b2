"""The data engine with its real processes: fresh trajectories arrive, deaths are survived, nothing is left behind."""

import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clwm_common.files.model_files import ModelFiles
from clwm_embodichain.episodes.choices import GoalChoice, parse_choices
from clwm_embodichain.episodes.features import PolicyDataError
from clwm_embodichain.episodes.recorder import Recorder
from clwm_embodichain.episodes.schedule import Schedule
from clwm_embodichain.expansion.parts import NOTHING, Expansion
from clwm_embodichain.stream.engine import OnlineEngine, OnlineSettings
from clwm_embodichain.stream.processes import ProcessWorkers
from clwm_embodichain.stream.state import StreamState
from clwm_embodichain.stream.worker import Simulation, play_and_encode
from clwm_perception.encoder import Encoder

ENCODER = ModelFiles.load("nano").encoder
SHAPE = (3, 4, 4, 128)
CHOICES = parse_choices("table/lift_tray,table/place_block")


def processes(**options):
    return ProcessWorkers(Simulation(CHOICES, ENCODER, 1, SHAPE), **options)


def engine(workers, **options):
    return OnlineEngine(workers, OnlineSettings(capacity=4, reuse=2), **options)


def test_fresh_trajectories_of_both_goals_keep_coming_although_the_worker_is_killed(is_alive):
    workers = processes(first_seed=40)
    with engine(workers) as stream:
        first = stream.collect(2)
        stream.begin(lambda episode: episode)
        killed = workers.processes[0].pid
        os.kill(killed, signal.SIGKILL)
        drawn = [stream.draw() for _ in range(8)]
        counts = stream.counts()
        ring = Path("/dev/shm", workers.ring.name)
        assert ring.exists() and stream.state is StreamState.READY
        hung = workers.processes[0].pid
        os.kill(hung, signal.SIGSTOP)
        stream.silence, deadline = 0.2, time.monotonic() + 20.0
        while stream.counts().restarts < 2:
            assert time.monotonic() < deadline, "a worker that is silent is not replaced"
            stream._look_after_workers()
            time.sleep(0.02)
        last = workers.processes[0].pid
        assert not is_alive(hung) and hung != last
    assert {episode.goals[0] for episode in drawn} == {"lift_tray", "place_block"}
    assert stream.state is StreamState.STOPPED and not ring.exists()
    assert counts.rejected == {"table/lift_tray": 0.0, "table/place_block": 0.0}
    assert sum(counts.reuses.values()) == counts.trajectories
    assert sum(uses * count for uses, count in counts.reuses.items()) == counts.walks
    seeds = [episode.seed for episode in drawn]
    assert min(seeds) == 40 and len(set(seeds)) >= 4, seeds
    assert max(seeds.count(seed) for seed in seeds) <= 2
    assert counts.restarts == 1 and counts.walks == 8 and counts.trajectories >= 4
    assert stream.next_seed > max(seeds)
    assert not [process for process in (killed, last) if is_alive(process)]
    # The streamed trajectory is the one that would have been recorded.
    choice = GoalChoice("table", first[0].goals[0])
    again = play_and_encode(Recorder(), Encoder.load(ENCODER), choice, first[0].seed, NOTHING, longest=300)
    assert np.array_equal(again.executed, first[0].executed) and np.array_equal(again.plans, first[0].plans)
    assert np.array_equal(again.features, first[0].features)


def _hang(order):
    time.sleep(3600.0)


def test_workers_that_hang_from_the_start_end_the_training_with_a_reason():
    with engine(processes(worker=_hang), silence=0.2) as stream:
        with pytest.raises(PolicyDataError, match=r"worker 0 gave no sign of life for 0 s, and 3 times was lost"):
            stream.collect(1)


def test_a_learner_to_which_nothing_comes_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr("clwm_embodichain.stream.engine._PATIENCE", 0.001)
    monkeypatch.setattr("clwm_embodichain.stream.processes._END", 0.001)
    with engine(processes(worker=_hang), silence=100.0) as stream:
        with pytest.raises(PolicyDataError, match="no trajectory came within 0 s: 0 episodes succeeded, 0 failed"):
            stream.collect(1)


def test_a_worker_that_never_simulates_ends_the_training_with_a_reason():
    with engine(processes(worker=operator.not_)) as stream:
        with pytest.raises(PolicyDataError, match=r"worker 0 ended with code 0, and 3 times was lost .*doctor"):
            stream.collect(1)


def test_workers_of_a_learner_that_was_killed_end_by_themselves(is_alive):
    script = (
        "import time\nfrom pathlib import Path\n"
        "from clwm_embodichain.episodes.choices import parse_choices\n"
        "from clwm_embodichain.stream.engine import OnlineEngine, OnlineSettings\n"
        "from clwm_embodichain.stream.processes import ProcessWorkers\n"
        "from clwm_embodichain.stream.worker import Simulation\n"
        "if __name__ == '__main__':\n"
        "    choices = parse_choices('table/lift_tray')\n"
        f"    workers = ProcessWorkers(Simulation(choices, Path({str(ENCODER)!r}), 1, {SHAPE}))\n"
        "    with OnlineEngine(workers, OnlineSettings()) as stream:\n"
        "        stream.collect(1)\n"
        "        print(workers.processes[0].pid, workers.ring.name, flush=True)\n"
        "        time.sleep(60)\n"
    )
    learner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker, ring = learner.stdout.readline().split()
    learner.kill()
    learner.wait()
    deadline = time.monotonic() + 20.0
    while is_alive(int(worker)) or Path("/dev/shm", ring).exists():
        assert time.monotonic() < deadline, "the worker or its memory is still there"
        time.sleep(0.05)


def test_more_first_trajectories_than_the_pool_holds_are_refused():
    with pytest.raises(ValueError, match="5 trajectories do not fit into a pool of 4"):
        engine(processes(worker=operator.not_)).collect(5)


def test_no_worker_is_refused():
    with pytest.raises(ValueError, match="workers is 0"):
        OnlineSettings(workers=0)


def test_an_episode_that_fails_or_takes_too_long_is_not_handed_over():
    recorder, choice = Recorder(image_size=32), GoalChoice("blocks", "place")
    rows = len(recorder.record(choice, 3).executed)
    pictures = lambda images: np.zeros((3, 1, 1, 2), np.float16)  # noqa: E731
    assert play_and_encode(recorder, pictures, choice, 3, NOTHING, longest=rows).seed == 3
    assert play_and_encode(recorder, pictures, choice, 3, NOTHING, longest=rows - 1) is None


def test_a_stream_that_ends_because_of_its_workers_has_failed(monkeypatch):
    monkeypatch.setattr("clwm_embodichain.stream.processes._END", 0.001)
    stream = engine(processes(worker=_hang), silence=100.0)
    with pytest.raises(PolicyDataError, match="worker 0"), stream:
        assert stream.state is StreamState.STARTING
        raise PolicyDataError("worker 0")
    assert stream.state is StreamState.FAILED


def test_workers_follow_a_new_schedule_with_their_next_episode():
    workers = processes(worker=_hang)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("clwm_embodichain.stream.processes._END", 0.001)
        with engine(workers) as stream:
            assert workers.ring.shares.tolist() == [0.5, 0.5]
            stream.follow(Schedule(CHOICES, {"table/lift_tray": 1.0}))
            assert workers.ring.shares.tolist() == pytest.approx([0.2, 0.8])


def test_an_episode_seen_in_two_looks_is_two_trajectories_that_differ_in_features_alone():
    place = GoalChoice("blocks", "place")
    simulation = Simulation((place,), ENCODER, 1, (6, 4, 4, 128), expansion=Expansion.parse("visual"), looks=2)
    settings = OnlineSettings(capacity=4, reuse=2, looks=2)
    with OnlineEngine(ProcessWorkers(simulation, first_seed=40), settings) as stream:
        one, other = stream.collect(2)
    alone = play_and_encode(Recorder(), Encoder.load(ENCODER), place, one.seed, Expansion.parse("visual"), 1200)
    assert one.seed == other.seed and np.array_equal(one.features, alone.features)
    assert np.array_equal(one.executed, other.executed) and one.instructions == other.instructions
    assert one.features.shape == other.features.shape == (len(one.image_rows), 3, 4, 4, 128)
    assert not np.allclose(one.features, other.features, atol=0.1)
