"""The node `policy` over DDS: from a request to a chunk, and what it says when it cannot."""

import time
from dataclasses import replace
from threading import Event
from types import SimpleNamespace

import pytest
import rclpy
import torch
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter

from clwm_common import messages as core
from clwm_common.files.model_files import ModelFiles
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_msg, to_msg
from clwm_common.ros.diagnostics import Level
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_msgs import msg as ros
from clwm_msgs.srv import CheckTask, PolicyMemory
from clwm_policy.engine.re_entry import Point
from clwm_policy.loading import PolicySettings, load_engine
from clwm_policy.model.checkpoint import save_policy
from clwm_policy.node import PolicyNode
from clwm_policy.recording.episode_log import PlayedStopwatch
from clwm_policy.recording.replay import replay

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


pytestmark = pytest.mark.usefixtures("ros_context")


PARAMETERS = {"sai": "fixed:0.5", "video_steps": 2, "action_steps": 4}


@pytest.fixture(scope="module")
def checkpoint(tiny_policy, tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy.safetensors"
    save_policy(path, tiny_policy)
    return path


class Graph:
    """The policy and a peer that plays executor and perception, spun together."""

    def __init__(self, **parameters):
        overrides = [RosParameter(name, value=value) for name, value in parameters.items()]
        self.policy = PolicyNode(parameter_overrides=overrides)
        self.peer = rclpy.create_node("peer")
        self.heard = []
        self.to = {
            core.ChunkRequest: self.peer.create_publisher(ros.ChunkRequest, "/clwm/chunk_request", qos.CRITICAL),
            core.FeatureFrame: self.peer.create_publisher(ros.FeatureFrame, "/clwm/feature_frame", qos.CRITICAL),
            core.DualArmState: self.peer.create_publisher(ros.DualArmState, "/clwm/state", qos.STATE),
        }
        for kind, topic, profile in (
            (ros.ObservationRequest, "/clwm/observation_request", qos.CRITICAL),
            (ros.ActionChunk, "/clwm/action_chunk", qos.CRITICAL),
            (ros.SaiReport, "/clwm/sai_report", qos.REPORT),
            (ros.ChunkRefusal, "/clwm/chunk_refusal", qos.CRITICAL),
        ):
            self.peer.create_subscription(kind, topic, lambda msg: self.heard.append(from_msg(msg)), profile)
        self.executor = StaticSingleThreadedExecutor()
        for node in (self.policy, self.peer):
            self.executor.add_node(node)

    def connect(self):
        """Wait until discovery has matched both sides."""
        mine, theirs = self.to.values(), self.policy._outputs.values()
        self.until(lambda: all(publisher.get_subscription_count() for publisher in (*mine, *theirs)))

    def send(self, message):
        self.to[type(message)].publish(to_msg(message))

    def until(self, condition, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (
                f"not within {seconds} s; heard {[type(m).__name__ for m in self.heard]}"
            )
            self.executor.spin_once(timeout_sec=0.05)

    def wait_for(self, kind):
        self.until(lambda: any(isinstance(message, kind) for message in self.heard))
        index = next(i for i, message in enumerate(self.heard) if isinstance(message, kind))
        return self.heard.pop(index)

    def close(self):
        self.policy.trigger_shutdown()
        self.executor.shutdown()
        for node in (self.policy, self.peer):
            node.destroy_node()


@pytest.fixture
def graph(checkpoint, made_up_embedding, monkeypatch):
    """graph(**parameters) -> Graph; without the sentence model, whose loading takes seconds."""
    monkeypatch.setattr("clwm_policy.loading.SentenceEncoder", lambda tokens: SimpleNamespace(embed=made_up_embedding))
    made = []

    def make(**parameters):
        made.append(Graph(**{**PARAMETERS, "checkpoint": str(checkpoint), **parameters}))
        return made[-1]

    yield make
    for entry in made:
        entry.close()


def test_requests_are_answered_with_chunks_and_reports(graph, make_episode):
    stack, episode = graph(), make_episode()
    assert stack.policy.trigger_configure() == SUCCESS
    assert stack.policy.trigger_activate() == SUCCESS
    stack.connect()
    for goal in (Point(), Point(2, 2), Point(2, 2)):
        stack.send(episode.next_request())
        assert stack.wait_for(core.ObservationRequest).observe_at == pytest.approx(episode.chunk_id * 0.6)
        stack.send(episode.state())
        session = stack.policy._session
        stack.until(lambda: len(session._states) == episode.chunk_id and session._engine.speculated_to == goal)  # noqa: B023
        stack.send(episode.frame())
        episode.last = stack.wait_for(core.ActionChunk)
        report = stack.wait_for(core.SaiReport)
        assert episode.last.chunk_id == report.chunk_id == episode.chunk_id
    assert report.re_entry_s == 0.5
    assert report.requested_at < report.frame_arrived_at < report.finished_at
    assert stack.policy.diagnose().level is Level.OK


def test_a_request_while_inactive_is_answered_with_that(graph, make_episode):
    stack, episode = graph(), make_episode()
    assert stack.policy.trigger_configure() == SUCCESS
    stack.connect()
    request = episode.next_request()
    stack.send(request)
    refusal = stack.wait_for(core.ChunkRefusal)
    assert (refusal.chunk_id, refusal.task_epoch) == (request.chunk_id, request.task_epoch)
    assert (refusal.kind, refusal.may_pass) == (core.RefusalKind.INACTIVE, True)
    assert "not active" in refusal.reason and stack.policy._worker is None


def test_a_request_of_another_release_is_answered_with_what_is_wrong(graph, make_episode):
    stack, episode = graph(), make_episode()
    stack.policy.trigger_configure()
    stack.policy.trigger_activate()
    stack.connect()
    stack.send(episode.next_request(layout_version=9))
    refusal = stack.wait_for(core.ChunkRefusal)
    assert "layout version" in refusal.reason and not refusal.may_pass


def test_a_task_is_checked_before_it_is_begun(graph):
    stack = graph()
    stack.policy.trigger_configure()
    client = stack.peer.create_client(CheckTask, "/clwm/check_task")
    stack.until(client.service_is_ready)

    def check(**request):
        answer = client.call_async(CheckTask.Request(instruction="dance", **request))
        stack.until(answer.done)
        return answer.result()

    assert "not active" in check().message
    stack.policy.trigger_activate()
    assert check(memory_policy=1).accepted
    refused = check(memory_policy=2)
    assert not refused.accepted and "no memory was kept for the task 'dance'" in refused.message
    assert "9" in check(memory_policy=9).message
    refused = check(accept_estimate=True)
    assert not refused.accepted and "the policy has no success head" in refused.message


def test_a_memory_is_saved_listed_and_restored_by_a_service_that_says_what_it_refuses(graph, tmp_path):
    stack = graph(memories=str(tmp_path / "memories"))
    stack.policy.trigger_configure()
    client = stack.peer.create_client(PolicyMemory, "/clwm/policy_memory")
    stack.until(client.service_is_ready)
    ask = PolicyMemory.Request

    def remember(act, name=""):
        answer = client.call_async(ask(act=act, name=name))
        stack.until(answer.done)
        return answer.result()

    refused = remember(ask.SAVE, "monday")
    assert not refused.accepted and "not active" in refused.message
    stack.policy.trigger_activate()
    saved = remember(ask.SAVE, "monday")
    assert saved.accepted and "0 real observations taken in, hash " in saved.message and saved.names == ["monday"]
    assert remember(ask.LIST).names == ["monday"]
    assert remember(ask.RESTORE, "monday").accepted
    refused = remember(ask.RESTORE, "sunday")
    assert not refused.accepted and "there are: monday" in refused.message
    assert "act 7 is unknown" in remember(7).message


def test_a_sentence_unlike_all_known_ones_is_refused_with_the_nearest_until_somebody_insists(
    graph, tiny_policy, tmp_path, monkeypatch
):
    def embed(sentence):
        return torch.nn.functional.one_hot(torch.tensor(len(sentence)), 384).float()

    monkeypatch.setattr("clwm_policy.loading.SentenceEncoder", lambda tokens: SimpleNamespace(embed=embed))
    inputs = tiny_policy.inputs.model_copy(update={"least_similarity": 0.5})
    save_policy(tmp_path / "policy.safetensors", replace(tiny_policy, inputs=inputs))
    stack = graph(checkpoint=str(tmp_path / "policy.safetensors"))
    stack.policy.trigger_configure()
    stack.policy.trigger_activate()
    client = stack.peer.create_client(CheckTask, "/clwm/check_task")
    stack.until(client.service_is_ready)

    def check(instruction, **request):
        answer = client.call_async(CheckTask.Request(instruction=instruction, **request))
        stack.until(answer.done)
        return answer.result()

    refused = check("dance")
    assert (
        not refused.accepted and "the nearest is 'lift the tray' (similarity 0.00, known from 0.50" in refused.message
    )
    assert check("dance", insist=True).accepted and check("lift the tray").accepted


def test_a_frame_that_never_comes_shows_in_the_diagnostics(graph, make_episode):
    stack, episode = graph(frame_late=0.1), make_episode()
    stack.policy.trigger_configure()
    stack.policy.trigger_activate()
    stack.connect()
    stack.send(episode.next_request())
    stack.until(lambda: stack.policy.diagnose().level is Level.WARN)
    assert "no usable picture" in stack.policy.diagnose().message
    stack.send(episode.next_request())
    # An INFO after the WARN: rclpy raises when one line logs with two severities.
    stack.send(episode.next_request(chunk_id=1, cancel=True))
    stack.until(lambda: stack.policy._session._engine.pending is None)
    assert stack.policy.is_active
    assert stack.policy.trigger_deactivate() == SUCCESS


def test_features_of_another_encoder_show_as_an_error_and_make_no_chunk(graph, make_episode):
    stack, episode = graph(), make_episode()
    stack.policy.trigger_configure()
    stack.policy.trigger_activate()
    stack.connect()
    stack.send(episode.next_request())
    stack.send(episode.state())
    stack.wait_for(core.ObservationRequest)
    stack.send(episode.frame(encoder_hash="0" * 64))
    stack.until(lambda: stack.policy.diagnose().level is Level.ERROR)
    assert "encoder 000000000000" in stack.policy.diagnose().message
    assert not any(isinstance(message, core.ActionChunk) for message in stack.heard)


def test_swapped_cameras_show_as_an_error_with_both_orders_and_make_no_chunk(graph, make_episode):
    stack, episode = graph(), make_episode()
    stack.policy.trigger_configure()
    stack.policy.trigger_activate()
    stack.connect()
    stack.send(episode.next_request())
    stack.send(episode.state())
    stack.wait_for(core.ObservationRequest)
    stack.send(episode.frame(cameras=("left_wrist", "head", "right_wrist")))
    stack.until(lambda: stack.policy.diagnose().level is Level.ERROR)
    said = stack.policy.diagnose().message
    assert "cameras are left_wrist, head, right_wrist; the policy was trained on head, left_wrist, right_wrist" in said
    assert not any(isinstance(message, core.ActionChunk) for message in stack.heard)


def test_an_engine_that_breaks_stops_the_node_with_the_reason(graph, make_episode):
    stack, episode = graph(), make_episode()
    stack.policy.trigger_configure()
    stack.policy.trigger_activate()
    stack.connect()
    stack.policy._session.on_request = lambda *args: 1 / 0
    stack.send(episode.next_request())
    stack.until(lambda: not stack.policy.is_active)
    assert "division by zero" in stack.policy.fault


class Blocking:
    """Idle-time work that does not come back until it is let go."""

    def __init__(self, session):
        self._advance, self.entered, self.let_go, self.calls = session.advance, Event(), Event(), 0
        session.advance = self

    def __call__(self):
        self.calls += 1
        self.entered.set()
        self.let_go.wait(30.0)
        return self._advance()


def test_a_stuck_engine_refuses_configuration_and_never_touches_the_session_after_it(graph, make_episode, monkeypatch):
    monkeypatch.setattr("clwm_policy.node.JOIN_TIMEOUT", 0.05)
    stack, episode = graph(), make_episode()
    policy = stack.policy
    policy.trigger_configure()
    blocking = Blocking(old := policy._session)
    policy.trigger_activate()
    stuck = policy._worker
    assert blocking.entered.wait(10.0)
    stuck.put(episode.next_request(), 0.0)
    policy.trigger_deactivate()
    assert "the engine did not stop within 0.05 s; end this process" in policy.fault
    assert policy.trigger_configure() == FAILURE
    assert "still in a step that it did not end" in policy.fault and "end this process" in policy.fault

    blocking.let_go.set()
    stuck._thread.join(10.0)
    assert not stuck.is_alive and blocking.calls == 1, "its step is the last, whatever was queued"
    assert policy.trigger_configure() == SUCCESS and policy.trigger_activate() == SUCCESS
    assert policy._session is not old and old._engine.pending is None
    stack.connect()
    stack.send(episode.next_request(chunk_id=9))
    assert stack.wait_for(core.ObservationRequest).chunk_id == 9


def test_a_step_that_fails_after_the_stop_does_not_stop_the_session_after_it(graph, monkeypatch):
    monkeypatch.setattr("clwm_policy.node.JOIN_TIMEOUT", 0.05)
    policy = graph().policy
    policy.trigger_configure()
    blocking = Blocking(policy._session)
    blocking._advance = lambda: 1 / 0
    policy.trigger_activate()
    stuck = policy._worker
    assert blocking.entered.wait(10.0)
    policy.trigger_deactivate()
    blocking.let_go.set()
    stuck._thread.join(10.0)
    assert policy.trigger_configure() == SUCCESS and policy.trigger_activate() == SUCCESS
    for _ in range(3):
        policy.executor.spin_once(timeout_sec=0.02)
    assert policy.is_active and not policy.fault


def test_a_backend_that_cannot_run_is_passed_over_visibly(graph):
    stack = graph(backends=["tensorrt", "torch"])
    assert stack.policy.trigger_configure() == SUCCESS
    values = stack.policy.diagnose().values
    assert values["backend"] == "torch"
    assert "not tensorrt: this onnxruntime has no" in values["backends_refused"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"checkpoint": "/nowhere/policy.safetensors"}, "/nowhere/policy"),
        ({"sai": "fixed:2"}, "s_mid is 2.0"),
        ({"encoder_hash": "0" * 64}, "000000000000"),
        ({"backends": ["onnxruntime"]}, "run `clwm export`"),
    ],
)
def test_configuration_is_refused_with_a_remedy(graph, parameters, said):
    stack = graph(**parameters)
    assert stack.policy.trigger_configure() == FAILURE
    assert said in stack.policy.fault


def test_what_a_recording_node_did_replays_bit_for_bit(graph, make_episode, checkpoint, made_up_embedding, tmp_path):
    from clwm_policy.recording.episode_file import as_recorded, read_episode  # brings the MCAP library with it

    path = tmp_path / "node.mcap"
    path.write_text("of an earlier start")
    stack, episode = graph(record=str(path)), make_episode()
    assert stack.policy.trigger_configure() == SUCCESS
    assert stack.policy.trigger_activate() == SUCCESS
    stack.connect()
    for _ in range(3):
        stack.send(episode.next_request())
        stack.wait_for(core.ObservationRequest)
        stack.send(episode.state())
        session = stack.policy._session
        stack.until(lambda: len(session._states) == episode.chunk_id)  # noqa: B023
        stack.send(episode.frame())
        episode.last = stack.wait_for(core.ActionChunk)
    stack.policy.trigger_deactivate()
    stack.policy.trigger_cleanup()
    assert path.read_text() == "of an earlier start"
    facts, entries = read_episode(tmp_path / "node-2.mcap")
    stopwatch = PlayedStopwatch()
    engine = load_engine(PolicySettings(checkpoint, facts["sai"], 2, 4), made_up_embedding, stopwatch)
    outcome = replay(entries, engine, stopwatch, as_recorded)
    assert (outcome.chunks, outcome.difference) == (3, None)


def test_a_recording_that_cannot_be_written_refuses_the_configuration(graph, tmp_path):
    (tmp_path / "file").write_text("")
    stack = graph(record=str(tmp_path / "file" / "node.mcap"))
    assert stack.policy.trigger_configure() == FAILURE
    assert "cannot be written" in stack.policy.fault


def test_a_node_started_by_hand_runs_the_shipped_policy_as_it_is_configured():
    shipped, defaults = ModelFiles.load("nano"), {row.name: row.default for row in PolicyNode.PARAMETERS}
    assert shipped.policy.match(defaults["checkpoint"])
    for name in ("sai", "video_steps", "action_steps"):
        assert defaults[name] == getattr(shipped, name), name
