"""Exported graphs on disk: what is in them, and which are refused."""

import json
import shutil

import onnx
import pytest
import torch

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.signed_documents import document_hash
from clwm_policy.backends.calls import CALLS, examples
from clwm_policy.backends.errors import BackendError
from clwm_policy.backends.graph_files import MANIFEST, graph_folder, read_graphs, write_graphs
from clwm_policy.backends.onnx_export import export_call
from clwm_policy.backends.onnx_sessions import Sessions
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig

SHIPPED = graph_folder(ModelFiles.load("nano").policy)
TINY = ClwmConfig(width=8, layers=1, heads=2, ffn_width=16, memory_rank=4, feature_channels=3, grid=2, text_width=5)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(SHIPPED, tmp_path / "graphs")


def rewrite(folder, change):
    document = json.loads((folder / MANIFEST).read_text())
    change(document)
    (folder / MANIFEST).write_text(json.dumps(document))


DAMAGE = {
    "truncated": (
        lambda f: (f / "write.onnx").write_bytes((f / "write.onnx").read_bytes()[:-1]),
        "write.onnx is trunc",
    ),
    "flipped": (lambda f: (f / "absorb.onnx").write_bytes(b"\0" + (f / "absorb.onnx").read_bytes()[1:]), "damaged"),
    "absent": (lambda f: (f / "write.onnx").unlink(), "write.onnx is absent"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "no exported graphs"),
    "not JSON": (lambda f: (f / MANIFEST).write_text("{"), "not JSON"),
    "other format": (lambda f: (f / MANIFEST).write_text("{}"), "not of the format"),
    "changed": (lambda f: rewrite(f, lambda d: d["calls"]["write"]["weights"].pop()), "changed after it was written"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_graphs_are_refused_with_the_remedy(folder, damage):
    do, message = DAMAGE[damage]
    do(folder)
    with pytest.raises(BackendError, match=f"{message}.*clwm export"):
        read_graphs(folder, ClwmConfig(), list(CALLS))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("config", {"width": "wide"}, "field 'config.width'"), ("calls", {"write": {}}, "field 'calls.write.sha256'")],
)
def test_a_manifest_without_meaning_is_refused_by_field_though_its_hash_is_right(folder, name, value, said):
    def change(document):
        document[name] = value
        document["document_sha256"] = document_hash(document)

    rewrite(folder, change)
    with pytest.raises(BackendError, match=f"graphs.json: {said}.*clwm export"):
        read_graphs(folder, ClwmConfig(), list(CALLS))


def test_graphs_of_another_architecture_are_refused_by_what_differs():
    with pytest.raises(BackendError, match="another architecture .they differ in .*width.*clwm export"):
        read_graphs(SHIPPED, TINY, list(CALLS))


def test_shipped_graphs_say_nothing_about_the_machine_they_were_made_on():
    for name, (content, _) in read_graphs(SHIPPED, ClwmConfig(), list(CALLS)).items():
        graph = onnx.load_from_string(content).graph
        noted = [part.metadata_props or part.doc_string for part in (graph, *graph.node, *graph.value_info)]
        assert not any(noted), name
        assert b"site-packages" not in content and b".py" not in content, name


def test_an_exported_call_runs_weights_that_it_never_saw(tmp_path):
    torch.manual_seed(0)
    exported, other = Clwm(TINY).eval(), Clwm(TINY).eval()
    graph, weights = export_call(exported, CALLS["write"], examples(exported)["write"])
    assert set(weights) == {
        f"blocks.0.memory.{name}" for name in ("theta_k.weight", "theta_v.weight", "w1", "w2", "step_size")
    }
    # Stands for the other calls too, so that the folder is complete; only `write` is run.
    write_graphs(tmp_path, TINY, dict.fromkeys(CALLS, graph), dict.fromkeys(CALLS, weights), {})
    example = examples(other)["write"]
    for got, expected in zip(Sessions(other, tmp_path)("write", example.given), example.expected, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_a_graph_that_is_not_onnx_is_refused(tmp_path):
    write_graphs(tmp_path, TINY, dict.fromkeys(CALLS, b"nothing"), {name: [] for name in CALLS}, {})
    with pytest.raises(BackendError, match="encode_context.onnx cannot be loaded.*clwm export"):
        Sessions(Clwm(TINY), tmp_path)
