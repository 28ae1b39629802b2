"""A policy's document says what its inputs mean, to whoever has no torch; what does not say it is refused."""

import json
import subprocess
import sys

import pytest

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import CheckpointError, check_weights, read_policy_document
from clwm_common.files.signed_documents import document_hash

NANO = ModelFiles.load("nano").policy
CAMERAS = ("head", "left_wrist", "right_wrist")


@pytest.fixture
def rewritten(tmp_path):
    """rewritten(**changes) -> the shipped document with these fields (None: left out), its own hash made right."""

    def make(**changes):
        document = json.loads(NANO.with_suffix(".json").read_text()) | changes
        document = {name: value for name, value in document.items() if value is not None}
        document["document_sha256"] = document_hash(document)
        path = tmp_path / "policy.json"
        path.write_text(json.dumps(document))
        return path

    return make


def inputs(**changes):
    return json.loads(NANO.with_suffix(".json").read_text())["inputs"] | changes


def test_the_shipped_policy_says_what_its_inputs_mean():
    document, _ = check_weights(NANO)
    found = document.inputs
    assert found.cameras == CAMERAS and found.picture_size == (128, 128) and document.feature_grid == (4, 4)
    assert (found.row_dt, found.execution_horizons, found.prefix_lengths) == (0.05, (12,), (1, 2, 4))
    assert found.known_horizons() == (12, 16)
    assert "put the block on the pad" in found.sentences["place_block"]


def test_reading_it_needs_neither_torch_nor_ros():
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from clwm_common.files.policy_document import read_policy_document as read\n"
        f"read(Path({str(NANO.with_suffix('.json'))!r}))\n"
        "print([name for name in ('torch', 'rclpy', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": None}, r"does not say what the policy's inputs mean.*resumes and writes the policy anew"),
        ({"facts": None}, "lacks 'facts'"),
        ({"weights_sha256": None}, "lacks 'weights_sha256'"),
        ({"config": {}}, "configuration cannot be read"),
        ({"inputs": inputs(row_dt=0.1)}, "inputs.row_dt is 0.1, this code works with 0.05"),
        ({"inputs": inputs(row_dt=float("nan"))}, "inputs.row_dt"),
        ({"inputs": inputs(layout_version=2)}, "inputs.layout_version is 2, this code works with 1"),
        ({"inputs": inputs(cameras=["head", "left_wrist"])}, "takes 3 cameras, 'inputs' names head, left_wrist"),
        ({"inputs": inputs(cameras=["head", "head", "right_wrist"])}, "are not distinct"),
        ({"inputs": inputs(execution_horizons=[12, 8])}, "horizon of 8 leaves 8 committed rows"),
        ({"inputs": inputs(prefix_lengths="4")}, "field 'inputs.prefix_lengths'"),
        ({"inputs": inputs(colour="red")}, "field 'inputs.colour'"),
    ],
)
def test_a_document_that_does_not_say_it_is_refused_by_field(rewritten, changes, said):
    with pytest.raises(CheckpointError, match=said):
        read_policy_document(rewritten(**changes))


def test_a_document_of_another_action_dimension_is_refused(rewritten):
    config = json.loads(NANO.with_suffix(".json").read_text())["config"]
    with pytest.raises(CheckpointError, match="config.action_dim is 14, this code works with 30"):
        read_policy_document(rewritten(config=config | {"action_dim": 14}))


def test_a_half_written_document_is_refused(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(NANO.with_suffix(".json").read_text()[:5000])
    with pytest.raises(CheckpointError, match="is not JSON"):
        read_policy_document(path)


def test_cameras_in_another_order_are_refused_with_both_orders():
    said = read_policy_document(NANO.with_suffix(".json")).inputs.problem_with_cameras(
        ("left_wrist", "head", "right_wrist")
    )
    assert "cameras are left_wrist, head, right_wrist;" in said
    assert "trained on head, left_wrist, right_wrist, in this order" in said and "config/robots" in said


@pytest.mark.parametrize("cameras", [CAMERAS[:2], (*CAMERAS, "belly"), ("front", *CAMERAS[1:])])
def test_other_cameras_are_refused_with_both_lists(cameras):
    said = read_policy_document(NANO.with_suffix(".json")).inputs.problem_with_cameras(cameras)
    assert f"cameras are {', '.join(cameras)};" in said and "trained on head, left_wrist, right_wrist;" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder_hash": "0" * 64}, "trained on encoder 1bed92f27068..., the encoder in use is 000000000000"),
        ({"picture_size": (240, 320)}, "pictures of 128 x 128, the encoder takes 320 x 240"),
        ({"grid": (8, 8)}, "4 x 4 features a camera, the encoder gives 8 x 8; set perception's 'pool'"),
    ],
)
def test_features_of_another_kind_are_refused(changes, said):
    document = read_policy_document(NANO.with_suffix(".json"))
    fitting = {"encoder_hash": document.encoder_hash, "picture_size": (128, 128), "grid": (4, 4)}
    document.check_features(CAMERAS, **fitting)
    with pytest.raises(CheckpointError, match=said):
        document.check_features(CAMERAS, **fitting | changes)
