"""The fuzzer finds nothing in the executor, finds what is broken on purpose, and repeats itself from its seed."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from clwm_bringup.cli import app
from clwm_chaos.fuzzer import fuzzer
from clwm_chaos.fuzzer import policy as fuzz_policy
from clwm_chaos.fuzzer import run as fuzz_run
from clwm_chaos.fuzzer import stream as fuzz_stream
from clwm_chaos.fuzzer.fuzzer import FuzzSettings, run_fuzzer
from clwm_chaos.fuzzer.run import FuzzRun
from clwm_common.robot.description import ForwardController, RobotDescription
from clwm_sai_executor import scheduler as scheduler_module
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.outputs import position_stream as forward
from clwm_sai_executor.path import splice
from clwm_sai_executor.path.limits import MotionLimits
from clwm_sai_executor.path.motion import Motion
from clwm_sai_executor.scheduler import Scheduler
from clwm_sai_executor.tasks.task_epoch import TaskEpoch


@pytest.fixture(scope="module")
def robot():
    return RobotDescription.load("dual_fr3_mujoco")


@pytest.fixture
def often(monkeypatch):
    """Ten times as many disturbances, and every fate as likely as any other."""
    monkeypatch.setattr(fuzz_run, "RATE", 10.0 * fuzz_run.RATE)
    count = len(fuzz_policy.FATES)
    monkeypatch.setattr(fuzz_policy, "_FATE_ENDS", [(index + 1) / count for index in range(count)])


def rules(robot, chunks=30, run=0):
    result = FuzzRun(robot, seed=7, run=run).run(chunks)
    return {one.rule for one in [*result.violations, *result.deadlocks]}


@pytest.mark.parametrize("run", range(2))
def test_executor_breaks_no_rule_and_never_locks(robot, run, often):
    result = FuzzRun(robot, seed=3, run=run).run(40)
    assert result.violations == [] and result.deadlocks == []
    assert result.chunks >= 40 and result.counts["requests"] > 40


@pytest.mark.parametrize("kind", ["jtc", "forward"])
def test_executor_of_six_joints_breaks_no_rule(kind, often):
    six = RobotDescription.load("dual_aloha")
    if kind == "forward":
        arms = {
            side: getattr(six, side).model_copy(
                update={"controller": ForwardController(kind="forward", topic=f"/{side}/c")}
            )
            for side in ("left", "right")
        }
        six = six.model_copy(update=arms)
    result = FuzzRun(six, seed=5, run=9).run(40)
    assert result.violations == [] and result.deadlocks == [] and result.chunks >= 40


def test_executor_that_asks_again_in_an_epoch_that_was_refused_is_found(robot, monkeypatch, often):
    monkeypatch.setattr(TaskEpoch, "may_ask", lambda self, now: self.task is not None)
    assert "request" in rules(robot)


def test_executor_that_takes_a_refusal_of_another_request_for_its_own_is_found(robot, monkeypatch):
    fates = list(fuzz_policy.FATES)
    ends = [0.5 if fate != "refusal of another" else 1.0 for fate in fates]
    monkeypatch.setattr(fuzz_policy, "_FATE_ENDS", ends)
    honest = Scheduler._take_refusal

    def gullible(self, refusal):
        if self._chunks.pending is not None:
            request = self._chunks.pending.request
            refusal = replace(refusal, chunk_id=request.chunk_id, task_epoch=request.task_epoch)
        honest(self, refusal)

    monkeypatch.setattr(Scheduler, "_take_refusal", gullible)
    assert "dead-lock" in rules(robot)


def test_executor_that_streams_positions_breaks_no_rule_either(often):
    result = FuzzRun(RobotDescription.load("dual_fr3_forward"), seed=3, run=0).run(30)
    assert result.violations == [] and result.deadlocks == []


def test_stream_that_leaps_after_a_pause_is_found(monkeypatch):
    monkeypatch.setattr(fuzz_stream, "_LATENESS", (0.0, 0.15))
    monkeypatch.setattr(forward, "LATE_TICKS", 100.0)
    assert "leap" in rules(RobotDescription.load("dual_fr3_forward"), chunks=10)


def test_stream_that_samples_the_past_is_found(monkeypatch):
    honest = forward.sample
    monkeypatch.setattr(forward, "sample", lambda path, instant: honest(path, instant - instant % 0.04))
    assert {"stream acceleration", "stream velocity"} & rules(RobotDescription.load("dual_fr3_forward"), chunks=10)


def test_wider_limits_than_the_robots_are_found(robot, monkeypatch):
    honest = MotionLimits.of

    def doubled(robot, **_):
        limits = honest(robot)
        return MotionLimits(limits.lower - 0.5, limits.upper + 0.5, 2 * limits.velocity, 2 * limits.acceleration)

    monkeypatch.setattr(MotionLimits, "of", doubled)
    run = FuzzRun(robot, seed=7, run=0)
    run._arms._limits = [honest(robot).columns(slice(0, 7))] * 2
    found = {one.rule for one in run.run(20).violations}
    assert {"acceleration", "velocity"} <= found


def test_missing_braking_tail_is_found(robot, monkeypatch):
    monkeypatch.setattr(splice, "_with_tail", lambda path, limits: path)
    assert "end velocity" in rules(robot, chunks=10)


def test_splice_into_the_past_is_found_as_a_jump(robot, monkeypatch):
    honest = Motion.extend

    def without_lead(self, now, after, rows, openings):
        self.lead = -0.1
        return honest(self, now, min(after, self.path.index_until(now)), rows, openings)

    monkeypatch.setattr(Motion, "extend", without_lead)
    assert {"position jump", "velocity jump"} & rules(robot)


def test_chunk_of_an_old_epoch_that_is_executed_is_found(robot, monkeypatch, often):
    honest = Scheduler._take_chunk

    def credulous(self, chunk):
        if self._chunks.pending is not None:
            request = self._chunks.pending.request
            chunk = scheduler_module.ActionChunk(
                request.chunk_id, request.task_epoch, chunk.stamp, chunk.rows, prefix_rows=len(request.committed_prefix)
            )
        honest(self, chunk)

    monkeypatch.setattr(Scheduler, "_take_chunk", credulous)
    assert "stale rows" in rules(robot)


def test_hold_that_does_not_brake_is_found(robot, monkeypatch, often):
    monkeypatch.setattr(Scheduler, "_brake", lambda self: None)
    monkeypatch.setattr(fuzz_run, "random_config", lambda rng: SchedulerConfig())
    assert "motion" in rules(robot)


def test_executor_that_never_asks_again_is_a_dead_lock(robot, monkeypatch):
    monkeypatch.setattr(Scheduler, "_request_at_rest", lambda self: None)
    assert "dead-lock" in rules(robot)


def test_same_seed_gives_the_same_report_with_any_number_of_workers():
    first, second = (run_fuzzer(FuzzSettings(chunks=20, seed=5)) for _ in range(2))
    for name in ("events", "virtual_hours", "chunks", "violations", "deadlocks"):
        assert first[name] == second[name], name


def test_command_writes_the_report_and_prints_the_seed(tmp_path):
    file = tmp_path / "deep" / "chaos.json"
    call = ["chaos", "--virtual", "--chunks", "20", "--seed", "11", "--workers", "1", "--json", str(file)]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert (report["violations"], report["deadlocks"], report["stale_epoch_rows"], report["seed"]) == (0, 0, 0, 11)
    assert report["is_complete"] and report["cpu_ms_per_chunk"] > 0.0
    assert "seed 11" in result.output and report["events"]["requests"] >= 20


def test_interrupted_fuzzer_reports_the_runs_that_had_finished_and_exits_130(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzer, "CHUNKS_PER_RUN", 5)
    honest = fuzzer._run

    def interrupted(job):
        if job[2] == 2:
            raise KeyboardInterrupt
        return honest(job)

    monkeypatch.setattr(fuzzer, "_run", interrupted)
    file = tmp_path / "chaos.json"
    call = ["chaos", "--virtual", "--chunks", "40", "--seed", "11", "--workers", "1", "--json", str(file)]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 130, result.output
    report = json.loads(file.read_text())
    assert 10 <= report["chunks"] < 20 and not report["is_complete"]
    assert "interrupted after" in result.output


def test_command_without_virtual_says_what_is_missing():
    result = CliRunner().invoke(app, ["chaos"])
    assert result.exit_code == 2 and "--virtual" in result.output
