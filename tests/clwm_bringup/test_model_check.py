"""Policy, encoder, cameras and settings that do not belong together are refused before anything starts."""

import json
import subprocess
import sys

import pytest

from clwm_bringup.model_check import check_model
from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import CheckpointError
from clwm_common.robot.camera_source import CameraSource, Crop
from clwm_common.robot.description import RobotDescription
from clwm_embodichain.episodes.choices import choices
from clwm_embodichain.training.trained_inputs import trained_inputs
from clwm_evaluation.virtual.model_check import check_simulated
from clwm_perception.checkpoint import open_checkpoint
from clwm_policy.model.checkpoint import load_policy
from clwm_policy.model.language import SentenceEncoder

MODEL = ModelFiles.load("nano")
CAMERAS = ("head", "left_wrist", "right_wrist")


ROBOT = RobotDescription.load("dual_fr3_mujoco")


def check(cameras=CAMERAS, sources=None, **others):
    robot = ROBOT.model_copy(update={"cameras": list(cameras), "camera_sources": sources or {}})
    return check_model(MODEL.policy, MODEL.encoder, robot, **others)


def test_the_shipped_model_fits_the_simulated_robot():
    assert check_simulated(MODEL.policy, MODEL.encoder).weights_hash == load_policy(MODEL.policy).encoder_hash


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cameras": ("left_wrist", "head", "right_wrist")}, "are left_wrist, head, right_wrist; .* in this order"),
        ({"cameras": CAMERAS[:2]}, "are head, left_wrist; the policy was trained on head, left_wrist, right_wrist"),
        ({"picture_size": (480, 640)}, "they are 640 x 480; the encoder was trained on 128 x 128.*'resize' of 'head'"),
        ({"perception": {"pool": 1}}, "the encoder gives 8 x 8; set perception's 'pool'"),
        ({"perception": {"pool": 3}}, "pool factor 3 does not divide"),
        ({"executor": {"execution_horizon": 8}}, "execution_horizon is 8; the policy was trained for 12 or 16"),
        ({"executor": {"execution_horizon": 14}}, "execution_horizon is 14"),
        ({"executor": {"adapt_pace": True}}, "execution_horizon_min is 10; the policy was trained for 12 or 16"),
        ({"executor": {"execution_horizon": "twelve"}}, "executor:"),
    ],
)
def test_what_does_not_fit_is_named(given, said):
    with pytest.raises(CheckpointError, match=said):
        check(**given)


def test_what_was_trained_for_or_is_stated_is_accepted():
    check(picture_size=(480, 640), sources=dict.fromkeys(CAMERAS, CameraSource(resize="stretch")))
    check(picture_size=(480, 640), sources=dict.fromkeys(CAMERAS, CameraSource(crop="centre", resize="scale")))
    check(executor={"execution_horizon": 16})
    check(executor={"execution_horizon": 12, "adapt_pace": True, "execution_horizon_min": 12})


def test_an_encoder_that_does_not_say_what_it_takes_is_refused(tmp_path):
    for name in ("config.json", "clwm.json", "model.safetensors"):
        (tmp_path / name).write_bytes((MODEL.encoder / name).read_bytes())
    facts = json.loads((tmp_path / "clwm.json").read_text())
    (tmp_path / "clwm.json").write_text(json.dumps(facts | {"inputs": {**facts["inputs"], "std": [0.2, 0.0, 0.2]}}))
    with pytest.raises(CheckpointError, match=r"clwm.json: 'inputs.std' is \[0.2, 0.0, 0.2\]"):
        check_model(MODEL.policy, tmp_path, ROBOT)
    del facts["inputs"]
    (tmp_path / "clwm.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="does not say what the encoder's inputs are.*clwm train-encoder"):
        check_model(MODEL.policy, tmp_path, ROBOT)


def test_it_needs_no_torch():
    code = (
        "import sys\nfrom clwm_bringup.model_check import check_model\n"
        "from clwm_common.files.model_files import ModelFiles\n"
        "from clwm_common.robot.description import RobotDescription\n"
        "m = ModelFiles.load('nano'); check_model(m.policy, m.encoder, RobotDescription.load('dual_fr3_mujoco'))\n"
        "print([name for name in ('torch', 'transformers', 'mujoco', 'rclpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("policy", "tasks"),
    [(MODEL.policy, MODEL.tasks), (MODEL.policy.parents[1] / "memory" / "ttt.safetensors", ["remember_side"])],
)
def test_the_shipped_documents_say_what_the_trainers_would_write(policy, tasks):
    played = [choice for task in tasks for choice in choices("table", task)]
    stated = load_policy(policy).inputs
    found = trained_inputs(played, open_checkpoint(MODEL.encoder), SentenceEncoder().embed)
    # Another machine's embeddings differ in their last digits.
    assert stated.least_similarity == pytest.approx(found.least_similarity, abs=0.01)
    assert stated == found.model_copy(update={"least_similarity": stated.least_similarity})


def test_pictures_that_a_robots_file_enlarges_fit_by_its_crop_whatever_is_rendered():
    robot = RobotDescription.load("dual_fr3_640x480")
    check_model(MODEL.policy, MODEL.encoder, robot, picture_size=(128, 128))
    source = CameraSource(crop=Crop(left=0, top=0, width=384, height=384), simulated_size=[640, 480])
    unscaled = robot.model_copy(update={"camera_sources": {"head": source}})
    with pytest.raises(CheckpointError, match="they are 640 x 480, cropped to 384 x 384; .* trained on 128 x 128"):
        check_model(MODEL.policy, MODEL.encoder, unscaled, picture_size=(128, 128))
