"""`clwm export`: the policy's graphs for ONNX Runtime and TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clwm_common.files.model_files import ModelFiles
from clwm_common.terminal.console import PlainConsole


def export(
    model: Annotated[str, typer.Option(help="name of a file in config/models")] = "nano",
    policy: Annotated[Path | None, typer.Option(help="another checkpoint (.safetensors) than the model's")] = None,
    folder: Annotated[Path | None, typer.Option(help="default: beside the checkpoint")] = None,
) -> None:
    """Write the model's calls as ONNX graphs and check them against torch. Takes minutes.

    The graphs hold no weights, these come from the checkpoint: export again when the architecture or the model's code
    has changed, not after a training.
    """
    # Here, since torch takes seconds to import and --help must not wait for it.
    import torch

    from clwm_policy.backends.choice import check_parity
    from clwm_policy.backends.errors import BackendError
    from clwm_policy.backends.flat_model import FlatModel
    from clwm_policy.backends.graph_files import graph_folder
    from clwm_policy.backends.onnx_export import export as export_graphs
    from clwm_policy.backends.onnx_sessions import Sessions
    from clwm_policy.model.checkpoint import CheckpointError, load_policy

    torch.set_num_threads(1)
    console = PlainConsole(highlight=False, soft_wrap=True)
    checkpoint = policy or ModelFiles.load(model).policy
    try:
        loaded = load_policy(checkpoint).model
        target = folder or graph_folder(checkpoint)
        with console.status("exporting") as status:

            def on_call(name: str, done: int, of: int) -> None:
                status.update(f"exporting {name} ({done + 1} of {of})")
                if not console.is_terminal:
                    console.print(f"exporting {name} ({done + 1} of {of})")

            export_graphs(loaded, target, on_call)
            difference = check_parity(FlatModel(loaded, Sessions(loaded, target), "onnxruntime"), loaded)
    except (CheckpointError, BackendError) as error:
        console.error(error)
        raise typer.Exit(2) from None
    console.print(f"{target}: differs from torch by at most {difference:.1e}, relative")
