"""The encoder against transformers itself, its identity, and folders that must not load."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel, DINOv3ViTConfig, DINOv3ViTModel

from clwm_perception import backends
from clwm_perception.checkpoint import EncoderError, weights_hash
from clwm_perception.encoder import Encoder

SIDE, CHANNELS, REGISTERS = 64, 32, 4


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with random weights large enough that every part of the network shows in the output."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(3)
    config = DINOv3ViTConfig(
        patch_size=16,
        hidden_size=CHANNELS,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        num_register_tokens=REGISTERS,
        initializer_range=0.2,
    )
    DINOv3ViTModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy to damage."""
    return shutil.copytree(saved, tmp_path / "encoder")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)


def _reference(folder, images, pool):
    """Pooled tokens from transformers alone, with loops instead of our reshapes."""
    model = DINOv3ViTModel.from_pretrained(folder).eval()
    pixels = (images / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        hidden = model(
            pixel_values=torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32)
        ).last_hidden_state.numpy()
    side = SIDE // 16
    grid = np.zeros((len(images), side // pool, side // pool, CHANNELS))
    for row in range(side):
        for column in range(side):
            grid[:, row // pool, column // pool] += hidden[:, 1 + REGISTERS + row * side + column] / pool**2
    return grid


@pytest.fixture(scope="module")
def convnext(tmp_path_factory):
    """The other member of the family, of the same grid and width."""
    folder = tmp_path_factory.mktemp("convnext")
    torch.manual_seed(3)
    config = DINOv3ConvNextConfig(
        hidden_sizes=[8, 16, CHANNELS],
        depths=[1, 1, 2],
        image_size=SIDE,
        initializer_range=0.2,
        layer_scale_init_value=1.0,
    )
    DINOv3ConvNextModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pool", [1, 2])
def test_a_convnexts_features_are_the_last_stage_in_its_place_in_the_picture(convnext, images, pool):
    encoder = Encoder.load(convnext, backend="torch", pool=pool)
    pixels = encoder.checkpoint.preprocessing(images)
    model = DINOv3ConvNextModel.from_pretrained(convnext).eval()
    with torch.no_grad():
        stage = model.layer_norm(model.model(pixels).last_hidden_state.permute(0, 2, 3, 1)).numpy()
    side = SIDE // 16
    assert encoder.checkpoint.grid(1) == (side, side)
    expected = np.zeros((len(images), side // pool, side // pool, CHANNELS))
    for row, column in np.ndindex(side, side):
        expected[:, row // pool, column // pool] += stage[:, row, column] / pool**2
    np.testing.assert_allclose(encoder._backend(pixels), expected, atol=1e-5)


def test_a_convnext_runs_on_onnx_runtime_as_on_torch(convnext, images, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    monkeypatch.setenv("CLWM_CACHE", str(tmp_path))
    encoder = Encoder.load(convnext, backend="onnxruntime")
    np.testing.assert_allclose(encoder(images), Encoder.load(convnext, backend="torch")(images), atol=2e-3)


@pytest.mark.parametrize("pool", [1, 2, 4])
def test_pooled_features_equal_those_of_transformers(saved, images, pool):
    encoder = Encoder.load(saved, backend="torch", pool=pool)
    pixels = encoder.checkpoint.preprocessing(images)
    np.testing.assert_allclose(encoder._backend(pixels), _reference(saved, images, pool), atol=1e-5)


def test_a_frame_is_the_float16_of_the_features(saved, images):
    frame = Encoder.load(saved, backend="torch")(images)
    assert frame.dtype == np.float16 and frame.shape == (3, 2, 2, CHANNELS)
    np.testing.assert_allclose(frame, _reference(saved, images, 2), rtol=1e-3, atol=1e-3)


def test_pictures_of_different_sizes_make_one_frame(saved, images):
    encoder = Encoder.load(saved, backend="torch")
    larger = np.kron(images[0], np.ones((2, 2, 1), np.uint8))
    frame = encoder([larger, images[1], images[2]])
    np.testing.assert_array_equal(frame[1:], encoder(images)[1:])
    np.testing.assert_array_equal(frame[:1], encoder(larger[None]))


def test_onnx_runtime_agrees_with_torch_and_keeps_its_graph(saved, images, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    monkeypatch.setenv("CLWM_CACHE", str(tmp_path))
    encoder = Encoder.load(saved, backend="onnxruntime")
    assert encoder.backend_name == "onnxruntime"
    np.testing.assert_allclose(
        encoder._backend(encoder.checkpoint.preprocessing(images)), _reference(saved, images, 2), atol=1e-5
    )
    monkeypatch.setattr(
        backends, "export_graph", lambda *_: pytest.fail("exported again although the graph was cached")
    )
    assert Encoder.load(saved, backend="auto").backend_name == "onnxruntime"


def test_a_graph_made_from_other_weights_is_not_used(saved, tmp_path):
    onnx = pytest.importorskip("onnx")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("pixels", "features")]
    nodes = [onnx.helper.make_node("Identity", ["pixels"], ["features"])]
    graph = onnx.helper.make_graph(nodes, "identity", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.helper.set_model_props(model, {"clwm.weights_sha256": "77c1"})
    (tmp_path / "graph.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(EncoderError, match=f"exported from weights 77c1, not {weights_hash(saved)}"):
        backends.OnnxBackend(tmp_path / "graph.onnx", weights_hash(saved))


def test_a_damaged_graph_is_refused_with_its_path(tmp_path):
    (tmp_path / "graph.onnx").write_bytes(b"no graph")
    with pytest.raises(EncoderError, match="graph.onnx cannot be loaded.*delete it"):
        backends.OnnxBackend(tmp_path / "graph.onnx", "77c1")


def test_missing_export_package_is_named_and_torch_takes_over(saved, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CLWM_CACHE", str(tmp_path))
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    encoder = Encoder.load(saved, backend="auto")
    assert encoder.backend_name == "torch"
    assert "onnx" in encoder.backend_note and "not installed" in caplog.text
    with pytest.raises(EncoderError, match="'onnx'.*not installed"):
        Encoder.load(saved, backend="onnxruntime")


@pytest.mark.parametrize("where", [0.0, 0.3, 0.7, 1.0])
def test_hash_changes_with_any_flipped_byte(folder, where):
    weights = folder / "model.safetensors"
    before = weights_hash(folder)
    content = bytearray(weights.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    weights.write_bytes(content)
    assert weights_hash(folder) != before


def test_hash_does_not_depend_on_where_the_folder_lies(saved, folder):
    assert Encoder.load(folder, backend="torch").weights_hash == Encoder.load(saved, backend="torch").weights_hash


def test_weights_cut_short_are_refused(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EncoderError, match="cannot be loaded"):
        Encoder.load(folder, backend="torch")


def test_weights_of_another_size_than_the_configuration_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 64, "intermediate_size": 128}))
    with pytest.raises(EncoderError, match="safetensors|cannot be loaded"):
        Encoder.load(folder, backend="torch")


def test_a_missing_weight_is_not_replaced_by_random_numbers(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if "register" in name)
    del weights[gone]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match="missing keys.*register"):
        Encoder.load(folder, backend="torch")


def test_weights_that_are_not_finite_are_refused(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["norm.bias"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match="not finite"):
        Encoder.load(folder, backend="torch")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: shutil.rmtree(folder), "does not exist"),
        (lambda folder: (folder / "config.json").unlink(), "config.json does not exist"),
        (lambda folder: (folder / "config.json").write_text("{"), "not JSON"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "dinov2"}'),
            "'dinov2'; expected 'dinov3_vit' or",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "pickles can run code"),
    ],
)
def test_an_unusable_folder_is_refused_with_the_reason(folder, damage, named):
    damage(folder)
    with pytest.raises(EncoderError, match=named):
        Encoder.load(folder, backend="torch")


def test_an_unknown_backend_and_an_uneven_pool_factor_are_refused(saved):
    with pytest.raises(EncoderError, match="'tensorrt' is unknown"):
        Encoder.load(saved, backend="tensorrt")
    with pytest.raises(EncoderError, match="pool factor 3"):
        Encoder.load(saved, backend="torch", pool=3)


def test_an_array_that_is_no_picture_set_is_refused(saved):
    with pytest.raises(EncoderError, match=r"expected \(cameras, height, width, 3\)"):
        Encoder.load(saved, backend="torch")(np.zeros((3, SIDE, SIDE), np.uint8))


def test_the_image_processor_of_a_hugging_face_folder_decides_size_and_statistics(folder, images):
    processor = {"size": {"height": 32, "width": 48}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    encoder = Encoder.load(folder, backend="torch", pool=1)
    pixels = encoder.checkpoint.preprocessing(np.full((1, 10, 10, 3), 255, np.uint8))
    np.testing.assert_allclose(pixels, 2.0, rtol=1e-6)
    assert encoder(images).shape == (3, 2, 3, CHANNELS)


SHIPPED = Path(__file__).parents[2] / "models" / "nano" / "encoder"


def test_the_shipped_encoder_runs_on_the_graph_beside_it(monkeypatch, tmp_path, images):
    monkeypatch.setenv("CLWM_CACHE", str(tmp_path))
    monkeypatch.setattr(backends, "export_graph", lambda *_: pytest.fail("the shipped graph was not used"))
    encoder = Encoder.load(SHIPPED, backend="onnxruntime")
    pictures = np.kron(images, np.ones((1, 2, 2, 1), np.uint8))
    frame = encoder(pictures)
    assert frame.shape == (3, 4, 4, 128)
    np.testing.assert_allclose(frame, Encoder.load(SHIPPED, backend="torch")(pictures), atol=2e-3)


def test_the_recorded_probe_is_of_both_encoders_weights_and_the_shipped_one_passed_in_its_own_looks():
    models = SHIPPED.parents[1]
    result = json.loads((models.parent / "benchmarks" / "results" / "encoder_probe.json").read_text())
    assert result["encoder_hash"] == weights_hash(models / "next" / "encoder")
    before = result["shipped_in_its_own_looks"]
    assert result["shipped_hash"] == before["encoder_hash"] == weights_hash(SHIPPED)
    assert before["randomised"]["tray_mm"] <= 8.0 and before["randomised"]["block_mm"] <= 10.0


def test_the_next_encoder_finds_objects_better_than_the_shipped_one_in_every_scene():
    result = json.loads((SHIPPED.parents[2] / "benchmarks" / "results" / "encoder_probe.json").read_text())
    for scene, kinds in result["errors"]["encoder"].items():
        for kind, found in kinds.items():
            assert found["mm"] < result["errors"]["shipped"][scene][kind]["mm"], f"{scene}: {kind}"
